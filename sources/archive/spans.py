"""Spans, the unit of an import: the files of a symbol that cover the same days.

Trades are proven by klines of the same time, so these files belong together: a span is imported as a whole, and
recorded in the manifest as a whole when it is stored.
"""

from collections.abc import Container, Iterable, Iterator
from itertools import pairwise

from msgspec import Struct

from sources.archive.files import ArchiveFile

_NEVER_MS = 1 << 62


class Span(Struct, frozen=True):
    """Days of one symbol, and the files that cover them."""

    symbol: str
    begin: int
    """First millisecond, UTC."""
    end: int
    """First millisecond after it."""
    files: tuple[ArchiveFile, ...]
    """Klines first, then trades, each in order of time; no two of a kind overlap."""

    @property
    def name(self) -> str:
        """Its name in logs: that of its last file, which is one of trades if it has any."""
        return self.files[-1].name

    def is_followed_by(self, other: "Span") -> bool:
        """Whether the other span begins where this one ends."""
        return self.symbol == other.symbol and self.end == other.begin

    def part(self, file: ArchiveFile) -> tuple[int, int]:
        """The times `[begin, end)` of a file within the span."""
        return max(file.begin, self.begin), min(file.end, self.end)

    def cut(self, file: ArchiveFile) -> tuple[int, int]:
        """Times `[begin, end)` to read from a file. One that lies within the span is read without bounds, as a trade of
        it may lie a moment outside its day and is in no other file.
        """
        begin = self.begin if self.begin > file.begin else 0
        return begin, self.end if self.end < file.end else _NEVER_MS


def spans_of(files: Iterable[ArchiveFile], begin: int, end: int, vouched: Container[ArchiveFile] = ()) -> list[Span]:
    """The spans that reach into `[begin, end)`, cut to it, by symbol and in order of time.

    Of two files of a kind that cover the same days one is read: that which is among the `vouched` ones if the other is
    not, else the longer one, else the first by name. `left_out` returns the others.
    """
    spans: list[Span] = []
    for group in _overlapping(sorted(files, key=lambda file: (file.symbol, file.begin, -file.end, file.name))):
        for piece in _pieces(group, vouched):
            first, last = max(begin, piece[0]), min(end, piece[1])
            inside = [file for file in group if file.begin < last and first < file.end]
            if first < last and inside:
                chosen = sorted(_distinct(inside, vouched), key=lambda file: (file.is_trades, file.kind, file.begin))
                spans.append(Span(group[0].symbol, first, last, tuple(chosen)))
    return spans


def left_out(files: Iterable[ArchiveFile], spans: Iterable[Span]) -> list[ArchiveFile]:
    """The files that are not read, as others cover the same days."""
    spans = list(spans)
    read = {file for span in spans for file in span.files}
    return [
        file
        for file in files
        if file not in read
        and any(span.symbol == file.symbol and span.begin < file.end and file.begin < span.end for span in spans)
    ]


def _pieces(group: list[ArchiveFile], vouched: Container[ArchiveFile]) -> list[tuple[int, int]]:
    """The times of a group, cut where a vouched file lies within a longer one that is not vouched."""
    cuts = {group[0].begin, max(file.end for file in group)}
    for file in group:
        if file in vouched and any(_surrounds(other, file) and other not in vouched for other in group):
            cuts |= {file.begin, file.end}
    return list(pairwise(sorted(cuts)))


def _surrounds(outer: ArchiveFile, inner: ArchiveFile) -> bool:
    is_longer = outer.end - outer.begin > inner.end - inner.begin
    return outer.kind == inner.kind and is_longer and outer.begin <= inner.begin and inner.end <= outer.end


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


def _distinct(group: list[ArchiveFile], vouched: Container[ArchiveFile]) -> Iterator[ArchiveFile]:
    """Without the files that another, preferred file of the kind covers."""
    taken: dict[str, list[ArchiveFile]] = {}
    for file in sorted(group, key=lambda file: (file not in vouched, file.begin - file.end, file.begin, file.name)):
        others = taken.setdefault(file.kind, [])
        if all(file.end <= other.begin or other.end <= file.begin for other in others):
            others.append(file)
            yield file
