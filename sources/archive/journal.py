"""Notes which days are stored for good, so that an import that is run again goes on where it was."""

import os
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import msgspec

from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span

Days: TypeAlias = list[tuple[int, int]]
"""Times `[begin, end)`, ms UTC, in order and apart."""

_NOTES = msgspec.json.Decoder(dict[str, dict[str, Days]])


class Journal:
    """What was imported into certain stores. Others, or other candles, have notes of their own in the same file."""

    def __init__(self, path: Path, *, stores: str) -> None:
        """`stores` tells apart all that makes a difference to what is stored; it may hold secrets, for only its digest
        is written. `ArchiveError` when the file is there and cannot be read.
        """
        self._path = path
        try:
            self._notes = _NOTES.decode(path.read_bytes()) if path.is_file() else {}
        except (OSError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"{path} cannot be read ({error}): delete it, and all is imported again") from error
        self._days = self._notes.setdefault(blake2b(stores.encode(), digest_size=8).hexdigest(), {})

    def holds(self, file: ArchiveFile, span: Span) -> bool:
        """Whether what a span has of a file is stored."""
        begin, end = max(file.begin, span.begin), min(file.end, span.end)
        return any(first <= begin and end <= last for first, last in self._days.get(_kind_of(file), []))

    def note(self, spans: list[Span]) -> None:
        """Spans are stored; the file on disk is always whole."""
        for span in spans:
            for file in span.files:
                days = self._days.setdefault(_kind_of(file), [])
                days.append((max(file.begin, span.begin), min(file.end, span.end)))
                days[:] = _joined(days)
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as to:
            to.write(msgspec.json.format(msgspec.json.encode(self._notes), indent=1))
            to.flush()
            os.fsync(to.fileno())
        new.replace(self._path)


def _kind_of(file: ArchiveFile) -> str:
    return f"{file.symbol} {file.kind}"


def _joined(days: Days) -> Days:
    joined: Days = []
    for begin, end in sorted(days):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
