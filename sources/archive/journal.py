"""Notes which files are stored for good, so that an import that is run again goes on where it was.

A file is known by its digest: one that was mended since is another file, and is imported. So is one in whose days
trades were missing, as it may be mended.
"""

import os
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import msgspec

from sources.archive.names import ArchiveFile
from sources.archive.rows import ArchiveError
from sources.archive.spans import Span

Days: TypeAlias = list[tuple[int, int]]
"""Times `[begin, end)`, ms UTC, in order and apart."""
_Note: TypeAlias = tuple[int, int, str]
"""Times `[begin, end)`, and the digest of the file that held them; empty where there was no file."""

_NOTES = msgspec.json.Decoder(dict[str, dict[str, list[list[int | str]]]])


class Journal:
    """What was imported into certain stores. Others, or other candles, have notes of their own in the same file."""

    def __init__(self, path: Path, *, stores: str) -> None:
        """`stores` tells apart all that makes a difference to what is stored; it may hold secrets, for only its digest
        is written. `ArchiveError` when the file is there and cannot be read.
        """
        self._path = path
        try:
            found = _NOTES.decode(path.read_bytes()) if path.is_file() else {}
            self._notes = {
                into: {kind: [_note_of(note) for note in notes] for kind, notes in kinds.items()}
                for into, kinds in found.items()
            }
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"{path} cannot be read ({error}): delete it, and all is imported again") from error
        self._days = self._notes.setdefault(blake2b(stores.encode(), digest_size=8).hexdigest(), {})
        self._digests: dict[ArchiveFile, str] = {}

    def prepare(self) -> None:
        """Writes it as it is: better now than when the work is done. `ArchiveError` when that cannot be."""
        try:
            self._write()
        except OSError as error:
            raise ArchiveError(
                f"{self._path} cannot be written ({error.strerror or error}): "
                "choose another directory by backfill.cache"
            ) from error

    def know(self, file: ArchiveFile, digest: str) -> None:
        """The file that is there now."""
        self._digests[file] = digest

    def holds(self, file: ArchiveFile, span: Span) -> bool:
        """Whether what a span has of a file is stored, and of the file that is there now, if one is."""
        begin, end = span.part(file)
        digest = self._digests.get(file)
        notes = self._days.get(_kind_of(file), [])
        days = [(first, last) for first, last, noted in notes if digest is None or noted == digest]
        return any(first <= begin and end <= last for first, last in _joined(days))

    def note(self, spans: Iterable[Span]) -> None:
        """Spans are stored; the file on disk is always whole."""
        for span in spans:
            for file in span.files:
                begin, end = span.part(file)
                digest = self._digests.get(file, "")
                apart = [note for note in self._days.get(_kind_of(file), []) if not _is_inside(note, begin, end)]
                same = _joined([(first, last) for first, last, noted in apart if noted == digest] + [(begin, end)])
                others = [note for note in apart if note[2] != digest]
                self._days[_kind_of(file)] = sorted([*others, *((first, last, digest) for first, last in same)])
        self._write()

    def forget(self, spans: Iterable[Span]) -> None:
        """What is stored of these spans lacks trades: it is to be imported again."""
        before = {kind: list(notes) for kind, notes in self._days.items()}
        for span in spans:
            for file in span.files:
                self._days[_kind_of(file)] = [
                    part for note in self._days.get(_kind_of(file), []) for part in _without(note, *span.part(file))
                ]
        if {kind: notes for kind, notes in self._days.items() if notes} != before:
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as to:
            to.write(msgspec.json.format(msgspec.json.encode(self._notes), indent=1))
            to.flush()
            os.fsync(to.fileno())
        new.replace(self._path)


def _note_of(found: list[int | str]) -> _Note:
    """A note; those of older versions name no file."""
    begin, end, *digest = found
    return int(begin), int(end), str(digest[0]) if digest else ""


def _kind_of(file: ArchiveFile) -> str:
    return f"{file.symbol} {file.kind}"


def _is_inside(note: _Note, begin: int, end: int) -> bool:
    return begin <= note[0] and note[1] <= end


def _without(note: _Note, begin: int, end: int) -> list[_Note]:
    """What is left of a note outside of a time."""
    first, last, digest = note
    parts = ((first, min(last, begin), digest), (max(first, end), last, digest))
    return [part for part in parts if part[0] < part[1]]


def _joined(days: Days) -> Days:
    joined: Days = []
    for begin, end in sorted(days):
        if joined and begin <= joined[-1][1]:
            joined[-1] = joined[-1][0], max(end, joined[-1][1])
        else:
            joined.append((begin, end))
    return joined
