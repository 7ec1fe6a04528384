"""What is imported in one go: the files of a symbol that cover the same days.

Trades are proven by klines of the same time, so these files belong together: a span is imported as a whole, and noted
as a whole when it is stored.
"""

from collections.abc import Iterable, Iterator

from msgspec import Struct

from sources.archive.names import ArchiveFile

_NEVER_MS = 1 << 62


class Span(Struct, frozen=True):
    """Days of one symbol, and the files that hold them."""

    symbol: str
    begin: int
    """First millisecond, UTC."""
    end: int
    """First millisecond behind it."""
    files: tuple[ArchiveFile, ...]
    """Klines first, then trades, each in order of time; no two of a kind overlap."""

    @property
    def name(self) -> str:
        """How it is called in logs: by its last file, which is one of trades if it has any."""
        return self.files[-1].name

    def is_followed_by(self, other: "Span") -> bool:
        """Whether the other one holds what comes next."""
        return self.symbol == other.symbol and self.end == other.begin

    def part(self, file: ArchiveFile) -> tuple[int, int]:
        """The times `[begin, end)` that a file has in it."""
        return max(file.begin, self.begin), min(file.end, self.end)

    def cut(self, file: ArchiveFile) -> tuple[int, int]:
        """Times `[begin, end)` of what is wanted of a file. One that lies within the span is wanted as it is, also if a
        trade of it stands a moment beside its day: it is nowhere else.
        """
        begin = self.begin if self.begin > file.begin else 0
        return begin, self.end if self.end < file.end else _NEVER_MS


def spans_of(files: Iterable[ArchiveFile], begin: int, end: int) -> list[Span]:
    """The spans that reach into `[begin, end)`, cut to it, by symbol and in order of time.

    A day that a month of the same kind holds too is left out, and so is the second of two files of the same days.
    """
    spans: list[Span] = []
    for group in _overlapping(sorted(files, key=lambda file: (file.symbol, file.begin, -file.end, file.name))):
        first, last = max(begin, group[0].begin), min(end, max(file.end for file in group))
        if first < last:
            chosen = sorted(_distinct(group), key=lambda file: (file.is_trades, file.kind, file.begin))
            spans.append(Span(group[0].symbol, first, last, tuple(chosen)))
    return spans


def _overlapping(files: list[ArchiveFile]) -> Iterator[list[ArchiveFile]]:
    """Runs of files of a symbol whose days overlap."""
    group: list[ArchiveFile] = []
    for file in files:
        if group and (file.symbol != group[0].symbol or file.begin >= max(f.end for f in group)):
            yield group
            group = []
        group.append(file)
    if group:
        yield group


def _distinct(group: list[ArchiveFile]) -> Iterator[ArchiveFile]:
    """Without what an earlier and longer file of the kind holds."""
    reached: dict[str, int] = {}
    for file in group:
        if file.begin >= reached.get(file.kind, 0):
            reached[file.kind] = file.end
            yield file
