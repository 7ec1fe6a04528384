"""The durable contents of a partition of the trade store at its last sync, in a small file beside its data.

RocksDB opens without an error when the end of its log or manifest is missing: both are append-only files whose last
part a crash may have truncated. Nor does it detect a missing log when there is a younger one. So the durable contents
are recorded here, and compared when the store is opened.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import msgspec
import structlog
from msgspec import structs

from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

log = structlog.get_logger(__name__)

DURABLE_FILE = "marketflow.json"
"""A line with the CRC32 of the second one, and a line of JSON."""
MOST_ID = 2**63 - 1
MOST_SPANS = 50
"""Most spans of ids of one symbol and log; beyond that the oldest are dropped, and not compared."""


class IdSpan(msgspec.Struct, frozen=True, array_like=True):
    """Consecutive ids of a symbol, and the time that their records start in, ms UTC, all bounds inclusive. That may be
    more than their own time: a trade that was moved is searched where it was and where it is.
    """

    first_id: int
    last_id: int
    begin: int
    end: int


Spans: TypeAlias = dict[str, list[IdSpan]]
"""By symbol, in the order in which they were written."""


class Durable(msgspec.Struct, frozen=True):
    """The state of a partition when it was last synced."""

    manifest: str
    """Name of RocksDB's manifest, and its size then."""
    manifest_bytes: int
    sequence: int
    """RocksDB's number of the last write; it never decreases."""
    newest: dict[str, int]
    """The highest trade id of each symbol."""
    logged: dict[str, Spans] = {}
    """What was written while each of RocksDB's logs was the newest; older contents are in tables."""
    lost: Spans = {}
    """What was durable, was missing when the store was opened, and has not been stored again."""

    def spans(self) -> Spans:
        """The contents of all logs together."""
        together: Spans = {}
        for spans in self.logged.values():
            _merge(together, spans)
        return together


class Moves(NamedTuple):
    """Stored trades of a symbol that a write takes out of their records."""

    symbol: str
    places: list[IdSpan]
    """Where it puts them."""
    gone: list[IdSpan]
    """Ids that it puts nowhere."""


class LostTrades(msgspec.Struct, frozen=True):
    """Ids of a symbol that were durable and are no longer stored, both inclusive."""

    symbol: str
    first_id: int
    last_id: int


_decode = msgspec.json.Decoder(Durable).decode


class DurableState:
    """Maintains the file in the process that writes the partition. Every method may be called from any thread."""

    def __init__(self, path: Path, known: Durable | None) -> None:
        """`known` is what was durable before the partition was opened. Its logs' contents are in tables since."""
        self._path = path
        self._lock = threading.Lock()
        self._newest = dict(known.newest) if known else {}
        self._lost: Spans = {symbol: list(spans) for symbol, spans in known.lost.items()} if known else {}
        self._unsynced: Spans = {}
        self._logged: dict[str, Spans] = {}
        self._synced: tuple[int, dict[str, int]] = (known.sequence if known else 0), dict(self._newest)

    def on_stored(self, symbol: str, spans: Iterable[IdSpan]) -> None:
        """Records what was written of a symbol; the next `on_sync` makes it count as durable."""
        with self._lock:
            for span in spans:
                self._newest[symbol] = max(self._newest.get(symbol, -1), span.last_id)
                _add(self._unsynced, symbol, span)
                if symbol in self._lost:
                    self._lost[symbol] = [part for lost in self._lost[symbol] for part in _without(lost, span)]

    def on_lost(self, newest: dict[str, int], lost: Spans) -> None:
        """The store ends at the `newest` id of each of these symbols, and `lost` is missing."""
        with self._lock:
            self._newest |= newest
            _merge(self._lost, lost)

    def on_moving(self, moves: Iterable[Moves]) -> None:
        """Stored trades are about to be moved or removed; recorded before they are. Either place of a moved trade
        counts from now on, as the process may end before the move.
        """
        with self._lock:
            is_changed = False
            for symbol, places, gone in moves:
                for spans in (self._unsynced, *self._logged.values()):
                    known = spans.get(symbol, [])
                    kept = [_widened(part, places) for span in known for part in _without_all(span, gone)]
                    if kept != known:
                        spans[symbol] = kept[-MOST_SPANS:]
                        is_changed = True
            if is_changed:
                self._write(is_synced=True)

    def begin_of(self, symbol: str) -> int | None:
        """Least time of what is recorded of a symbol; None where nothing is."""
        with self._lock:
            found = [span.begin for spans in (self._unsynced, *self._logged.values()) for span in spans.get(symbol, [])]
        return min(found, default=None)

    def on_deleted(self, symbol: str, before_id: int | None, others: Iterable[IdSpan] = ()) -> None:
        """Ids of a symbol before `before_id`, or all, and `others` are about to be deleted; recorded before that."""
        gone = [IdSpan(0, MOST_ID if before_id is None else before_id - 1, 0, 0), *others]
        with self._lock:
            for spans in (self._unsynced, self._lost, *self._logged.values()):
                if symbol in spans:
                    spans[symbol] = [part for span in spans[symbol] for part in _without_all(span, gone)][-MOST_SPANS:]
            self._write(is_synced=True)

    def on_sync(self, sequence: int) -> None:
        """All that was recorded is durable, up to this write."""
        with self._lock:
            logs = sorted(entry.name for entry in os.scandir(self._path) if entry.name.endswith(".log"))
            before = max(self._logged, default="")
            for name in logs:
                if name >= before or name == logs[-1]:
                    _merge(self._logged.setdefault(name, {}), self._unsynced)
            self._logged = {name: spans for name, spans in self._logged.items() if name in logs}
            self._unsynced = {}
            self._synced = sequence, dict(self._newest)
            self._write()

    def _write(self, *, is_synced: bool = False) -> None:
        sequence, newest = self._synced
        lost = {symbol: spans for symbol, spans in self._lost.items() if spans}
        write_durable(self._path, sequence=sequence, newest=newest, logged=self._logged, lost=lost, is_synced=is_synced)


def _add(spans: Spans, symbol: str, new: IdSpan) -> None:
    known = spans.setdefault(symbol, [])
    if known and known[-1].first_id <= new.first_id <= known[-1].last_id + 1:
        last = known[-1]
        known[-1] = IdSpan(
            last.first_id, max(last.last_id, new.last_id), min(last.begin, new.begin), max(last.end, new.end)
        )
    else:
        known.append(new)
        del known[:-MOST_SPANS]


def _merge(spans: Spans, more: Spans) -> None:
    for symbol, found in more.items():
        for span in found:
            _add(spans, symbol, span)


def _without(span: IdSpan, other: IdSpan) -> list[IdSpan]:
    """The rest of a span without the ids of another one."""
    if other.last_id < span.first_id or other.first_id > span.last_id:
        return [span]
    parts = (
        structs.replace(span, last_id=other.first_id - 1),
        structs.replace(span, first_id=other.last_id + 1),
    )
    return [part for part in parts if part.first_id <= part.last_id]


def _without_all(span: IdSpan, others: Iterable[IdSpan]) -> list[IdSpan]:
    parts = [span]
    for other in others:
        parts = [part for known in parts for part in _without(known, other)]
    return parts


def _widened(span: IdSpan, places: Iterable[IdSpan]) -> IdSpan:
    """The span with the times of all places that share ids with it. It is not split where a single trade has moved:
    every part would count for `MOST_SPANS`, and the oldest would no longer be compared.
    """
    shared = [place for place in places if place.first_id <= span.last_id and span.first_id <= place.last_id]
    begin = min((place.begin for place in shared), default=span.begin)
    end = max((place.end for place in shared), default=span.end)
    return structs.replace(span, begin=min(span.begin, begin), end=max(span.end, end))


def runs_of(ids: Sequence[int] | np.ndarray[Any, Any], begin: int, end: int) -> list[IdSpan]:
    """Rising ids of records that start in `[begin, end]`, ms UTC, as spans."""
    if not len(ids):
        return []
    runs = np.split(np.asarray(ids), np.flatnonzero(np.diff(ids) > 1) + 1)
    return [IdSpan(int(run[0]), int(run[-1]), begin, end) for run in runs]


def read_durable(path: Path) -> Durable | None:
    """The durable contents of the partition at `path`; None where unknown. A file that cannot be read costs a warning
    and the comparison; the trades do not depend on it.
    """
    try:
        checksum, _, text = (path / DURABLE_FILE).read_bytes().partition(b"\n")
        if int(checksum, 16) != zlib.crc32(text):
            raise ValueError("its checksum differs")  # noqa: TRY301
        return _decode(text)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, msgspec.DecodeError) as error:
        log.warning("durable_state_unreadable", path=str(path / DURABLE_FILE), reason=str(error))
        return None


def write_durable(
    path: Path,
    *,
    sequence: int,
    newest: dict[str, int],
    logged: dict[str, Spans] | None = None,
    lost: Spans | None = None,
    is_synced: bool = False,
) -> None:
    """Replaces the file atomically. When that fails, the older one stays, which lists less. With `is_synced` it is on
    the disk when this returns: before trades are moved or deleted, as the older one would list these where they were.
    """
    try:
        manifest = _manifest_of(path)
        durable = Durable(manifest.name, manifest.stat().st_size, sequence, newest, logged or {}, lost or {})
        text = msgspec.json.encode(durable)
        new = path / f"{DURABLE_FILE}.new"
        new.write_bytes(b"%08x\n%b" % (zlib.crc32(text), text))
        if is_synced:
            _sync(new)
        new.replace(path / DURABLE_FILE)
        if is_synced:
            _sync(path)
    except OSError as error:
        log.warning("durable_state_not_written", path=str(path), reason=str(error))


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def damage_before_open(path: Path, durable: Durable | None) -> str:
    """Why the partition must not be opened: RocksDB would take what is left as complete and delete the rest. Empty when
    no damage is known.
    """
    if not (path / "CURRENT").exists():
        return "its file CURRENT is missing" if durable or _has_data(path) else ""
    manifest = _manifest_of(path)
    if durable and manifest.name == durable.manifest and _size_of(manifest) < durable.manifest_bytes:
        return f"its file {manifest.name} has {_size_of(manifest)} bytes and had {durable.manifest_bytes}"
    return ""


def _manifest_of(path: Path) -> Path:
    """The current manifest. A damaged name is no file of the folder, which RocksDB reports."""
    return path / Path((path / "CURRENT").read_text(errors="replace").strip() or "CURRENT").name


def _has_data(path: Path) -> bool:
    return any(path.glob("*.sst")) or any(_size_of(file) for file in path.glob("*.log"))


def _size_of(file: Path) -> int:
    """Size in bytes; 0 without the file."""
    try:
        return file.stat().st_size
    except (OSError, ValueError):  # a damaged name may hold a zero byte
        return 0
