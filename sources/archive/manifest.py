"""The manifest records which files are durably stored, so that a repeated import resumes.

A file is identified by its digest: one that was corrected since is another file and is imported. So is one in whose
days trades were missing, as it may have been corrected. And so is every file when a store that held them was lost: the
entries are those of stores with certain identities.
"""

import os
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import TypeAlias

import msgspec

from flows.model import KlineSource, Origin
from sources.archive.csv_reader import ArchiveError
from sources.archive.files import TRADES, ArchiveFile
from sources.archive.spans import Span

Days: TypeAlias = list[tuple[int, int]]
"""Times `[begin, end)`, ms UTC, in order, not overlapping."""
_Entry: TypeAlias = tuple[int, int, str]
"""Times `[begin, end)`, and the digest of the file that covered them; empty where there was no file."""

CANDLES = "candles"
"""The name of the store of candles."""
_STORES = "stores"
"""The kind of the entries that name the stores, with their identities; of no time."""
_ENTRIES = msgspec.json.Decoder(dict[str, dict[str, list[list[int | str]]]])


class Manifest:
    """What was imported into certain stores. Other stores, or other candles, have entries of their own in the file."""

    def __init__(self, path: Path, *, stores: str) -> None:
        """`stores` identifies the stores and all settings that change what is stored. It may contain secrets: only its
        digest is written. `ArchiveError` when the file exists and cannot be read.
        """
        self._path = path
        try:
            found = _ENTRIES.decode(path.read_bytes()) if path.is_file() else {}
            self._entries = {
                into: {kind: [_entry_of(entry) for entry in entries] for kind, entries in kinds.items()}
                for into, kinds in found.items()
            }
        except (OSError, ValueError, msgspec.MsgspecError) as error:
            raise ArchiveError(f"{path} cannot be read ({error}): delete it, and all is imported again") from error
        self._days = self._entries.setdefault(blake2b(stores.encode(), digest_size=8).hexdigest(), {})
        self._digests: dict[ArchiveFile, str] = {}
        self._vouched: set[ArchiveFile] = set()

    def prepare(self) -> None:
        """Writes the file, to fail before the import when it cannot be written (`ArchiveError`)."""
        try:
            self._write()
        except OSError as error:
            raise ArchiveError(
                f"{self._path} cannot be written ({error.strerror or error}): "
                "choose another directory by backfill.cache"
            ) from error

    def forget_lost(self, stores: Mapping[str, str]) -> list[str]:
        """Compares the identities of the stores, by name and empty for one that does not exist, with those of the
        stores that were written. When one is another, all must be imported again. Returns the names of the lost ones.
        """
        held = {kind: entries for kind, entries in self._days.items() if kind != _STORES}
        if not any(held.values()):
            return []
        known = dict(entry[2].split(" ") for entry in self._days.get(_STORES, []))
        # one of which no identity was recorded is believed to be the same
        lost = [name for name, identity in stores.items() if not identity or known.get(name, identity) != identity]
        if lost:
            # where candles come from is known as long as these are there
            kept = {} if CANDLES in lost else {kind: held[kind] for kind in held if _is_of_origins(kind)}
            self._days.clear()
            self._days.update(kept)
        return lost

    def bind(self, stores: Mapping[str, str]) -> None:
        """Records the identities of the stores that are written from now on. `ArchiveError` when that fails."""
        self._days[_STORES] = [(0, 0, f"{name} {identity}") for name, identity in sorted(stores.items())]
        self.prepare()

    def set_current(self, file: ArchiveFile, digest: str) -> None:
        """Sets the digest of the file that exists now."""
        self._digests[file] = digest

    def set_vouched(self, file: ArchiveFile) -> None:
        """Notes that the exchange vouches for the file that exists now."""
        self._vouched.add(file)

    def origin_of(self, symbol: str, timeframe: str, begin: int, end: int) -> Origin:
        """Where a candle of `[begin, end)`, ms UTC, that is stored comes from: what a checksum has vouched for once
        stays so, whatever was imported since. Klines that were not imported came from the exchange.
        """
        klines = f"{symbol} {timeframe}"
        source: KlineSource = "exchange"
        if self._covers(_vouched(klines), begin, end):
            source = "checksum"
        elif any(first < end and begin < last for first, last, _ in self._days.get(_unvouched(klines), [])):
            source = "file"
        return Origin(self._covers(_vouched(f"{symbol} {TRADES}"), begin, end), source)

    def _covers(self, kind: str, begin: int, end: int) -> bool:
        times = _joined([(first, last) for first, last, _ in self._days.get(kind, [])])
        return any(first <= begin and end <= last for first, last in times)

    def holds(self, file: ArchiveFile, span: Span) -> bool:
        """Whether the part of a file in a span is stored, from the file that exists now, if one does."""
        begin, end = span.part(file)
        digest = self._digests.get(file)
        entries = self._days.get(_kind_of(file), [])
        days = [(first, last) for first, last, entry_digest in entries if digest is None or entry_digest == digest]
        return any(first <= begin and end <= last for first, last in _joined(days))

    def add(self, spans: Iterable[Span]) -> None:
        """Records spans as stored. The file is replaced atomically."""
        for span in spans:
            for file in span.files:
                self._put(_kind_of(file), *span.part(file), self._digests.get(file, ""))
            self._note_origins(span)
        self._write()

    def _note_origins(self, span: Span) -> None:
        """Notes for which files of a span the exchange vouches; where there was no file, there is nothing to note."""
        for file in span.files:
            if file in self._vouched:
                self._put(_vouched(_kind_of(file)), *span.part(file), self._digests.get(file, ""))
            elif file in self._digests:
                self._put(_unvouched(_kind_of(file)), *span.part(file), self._digests[file])

    def _put(self, kind: str, begin: int, end: int, digest: str) -> None:
        apart = [entry for entry in self._days.get(kind, []) if not _is_inside(entry, begin, end)]
        same = _joined(
            [(first, last) for first, last, entry_digest in apart if entry_digest == digest] + [(begin, end)]
        )
        others = [entry for entry in apart if entry[2] != digest]
        self._days[kind] = sorted([*others, *((first, last, digest) for first, last in same)])

    def forget(self, spans: Iterable[Span]) -> None:
        """Removes spans with missing trades, so that they are imported again. What they have is stored all the same."""
        before = {kind: list(entries) for kind, entries in self._days.items()}
        for span in spans:
            for file in span.files:
                self._days[_kind_of(file)] = [
                    part for entry in self._days.get(_kind_of(file), []) for part in _without(entry, *span.part(file))
                ]
            self._note_origins(span)
        if {kind: entries for kind, entries in self._days.items() if entries} != before:
            self._write()

    def _write(self) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        new = self._path.with_suffix(".new")
        with new.open("wb") as to:
            to.write(msgspec.json.format(msgspec.json.encode(self._entries), indent=1))
            to.flush()
            os.fsync(to.fileno())
        new.replace(self._path)


def _entry_of(found: list[int | str]) -> _Entry:
    """Decodes an entry; those of older versions have no digest."""
    begin, end, *digest = found
    return int(begin), int(end), str(digest[0]) if digest else ""


def _kind_of(file: ArchiveFile) -> str:
    return f"{file.symbol} {file.kind}"


def _vouched(kind: str) -> str:
    """The kind under which times stand for which the exchange vouched."""
    return f"{kind} vouched"


def _unvouched(kind: str) -> str:
    """The kind under which times stand that were imported without that."""
    return f"{kind} unvouched"


def _is_of_origins(kind: str) -> bool:
    return kind.endswith((_vouched(""), _unvouched("")))


def _is_inside(entry: _Entry, begin: int, end: int) -> bool:
    return begin <= entry[0] and entry[1] <= end


def _without(entry: _Entry, begin: int, end: int) -> list[_Entry]:
    """The parts of an entry outside `[begin, end)`."""
    first, last, digest = entry
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
