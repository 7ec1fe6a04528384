"""One partition of the trade store: a RocksDB database.

This module opens it and writes records atomically (`codec.py`), `stored_records.py` reads them; `writer.py` and
`compaction.py` decide what is written, merged or deleted, and when.
"""

import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Self

import structlog
from rocksdict import (
    AccessType,
    CompactOptions,
    DbClosedError,
    Rdict,
    WriteBatch,
    WriteOptions,
)

from flows.texts import counted
from sinks.trades.codec import encode_key, first_id
from sinks.trades.database import (
    MOST_RETRIES,
    READER_CACHE_BYTES,
    REMEDY_LOST,
    RETRY_S,
    WRITER_CACHE_BYTES,
    StoreBusyError,
    StoreDamagedError,
    StoreInUseError,
    TradeStoreError,
    check_files,
    check_store,
    damaged,
    options_of,
)
from sinks.trades.durable import (
    Durable,
    DurableState,
    IdSpan,
    LostTrades,
    Moves,
    Spans,
    damage_before_open,
    read_durable,
    runs_of,
)
from sinks.trades.losses import lost_of
from sinks.trades.record_checks import RecordError
from sinks.trades.stored_records import Extent, StoredRecords, leave_out

__all__ = [
    "Extent",
    "Moves",
    "RecordError",
    "StoreBusyError",
    "StoreDamagedError",
    "StoreInUseError",
    "TradeStore",
    "TradeStoreError",
    "check_store",
]

log = structlog.get_logger(__name__)


class TradeStore(StoredRecords):
    """A partition, open for reading and writing (one process at a time) or as a secondary (read only, any number).

    A failed read or write is a `TradeStoreError`. Any thread may read. Code that reads a record to write it back holds
    `lock`.
    """

    def __init__(self, path: Path, *, secondary_path: Path | None = None, accepts_loss: bool = False) -> None:
        """Opens it; as a secondary when `secondary_path` names a directory for that. `TradeStoreError` when it cannot
        be opened, for instance because another process writes to it.

        A store that holds less than at its last sync is an error too. With `accepts_loss` it is opened with what is
        left, and `lost_writes` and `losses` list what is missing.
        """
        self.path = path
        self.lock = threading.Lock()
        self.lost_writes = 0
        """Number of last writes that were durable and are missing."""
        self.losses: list[LostTrades] = []
        """Trades lost by that, or by the loss of an older log."""
        self.unreadable = ""
        """Why some of the last writes cannot be read; empty when they can."""
        self._secondary_path = secondary_path
        self._accepts_loss = accepts_loss
        self._write_options = WriteOptions()
        # A write holds the interpreter lock: it must never wait for a compaction.
        self._write_options.no_slowdown = True
        self._db = self._open()

    def _open(self) -> Rdict:
        self.lost_writes, self.losses, self.unreadable = 0, [], ""
        durable = read_durable(self.path)
        if damage := damage_before_open(self.path, durable):
            raise damaged(self.path, damage)
        self._db = db = self._opened()
        self._durable = DurableState(self.path, durable)
        try:
            if durable:
                self._compare(durable)
        except BaseException:
            self.close()
            raise
        if self._secondary_path is None:
            self._durable.on_sync(db.latest_sequence_number())
        return db

    def _opened(self) -> Rdict:
        with self._naming_errors("opened"):
            if self._secondary_path is None:
                self.path.mkdir(parents=True, exist_ok=True)
                return Rdict(str(self.path), options_of(cache_bytes=WRITER_CACHE_BYTES))
            check_files(self.path, self._secondary_path)
        options = options_of(cache_bytes=READER_CACHE_BYTES)
        try:
            with self._naming_errors("opened"):
                return Rdict(str(self.path), options, access_type=AccessType.secondary(str(self._secondary_path)))
        except StoreDamagedError as error:  # all tables are complete
            reason = error.__cause__
            raise StoreDamagedError(
                f"the trade store {self.path} lacks what a damaged log held ({reason}): {REMEDY_LOST}"
            ) from error

    def _compare(self, durable: Durable) -> None:
        """Checks that everything durable is stored. To a secondary it may seem otherwise, as it opens files while a
        writer replaces them: a log by a table, when it opens the store or its memtable is full, or what it deletes by
        its age. So the last of several looks decides.
        """
        missing, lost = self._lacking(durable)
        tries_left = MOST_RETRIES if self._secondary_path else 0
        while (missing or lost) and tries_left:
            tries_left -= 1
            self.catch_up()
            durable = read_durable(self.path) or durable
            missing, lost = self._lacking(durable)
            if missing or lost:
                time.sleep(RETRY_S)
        if not (missing or lost):
            return
        if not self._accepts_loss:
            what = f"the last {counted(missing, 'write')}" if missing else f"trades of {', '.join(sorted(lost))}"
            raise StoreDamagedError(f"the trade store {self.path} lacks {what} that it had: {REMEDY_LOST}")
        self.lost_writes = missing
        self.losses = [LostTrades(symbol, one.first_id, one.last_id) for symbol in sorted(lost) for one in lost[symbol]]
        newest = {symbol: self.last_id_of(symbol) for symbol in lost} if missing else {}
        self._durable.on_lost({symbol: min(id_, durable.newest[symbol]) for symbol, id_ in newest.items()}, lost)

    def _lacking(self, durable: Durable) -> tuple[int, Spans]:
        """How many of the last writes are missing, and which trades."""
        missing = max(0, durable.sequence - self._db.latest_sequence_number())
        return missing, lost_of(self, durable, with_newest=missing > 0, on_unreadable=self._on_unreadable)

    def _on_unreadable(self, error: TradeStoreError) -> bool:
        """Whether what cannot be read counts as lost. A single record does where losses are accepted, which has it
        fetched again; elsewhere it is refused when it is read.
        """
        if not self._accepts_loss and not isinstance(error, RecordError):
            raise error
        self.unreadable = str(error)
        return self._accepts_loss

    def close(self) -> None:
        """Closes the files. Reading afterwards raises `TradeStoreError`. A failed write of a table is logged as an
        error; its contents are in RocksDB's log.
        """
        try:
            with self._naming_errors("closed"):
                sequence = self._db.latest_sequence_number()
                self._db.close()
        except TradeStoreError as error:
            if not isinstance(error.__cause__, DbClosedError):  # closed before
                log.error("trade_store_not_closed", path=str(self.path), reason=str(error))  # noqa: TRY400
            return
        if self._secondary_path is None:  # closing has written a table, so the manifest has grown
            self._durable.on_sync(sequence)

    def reopen(self) -> None:
        """Closes and opens again, which ends the read-only state that RocksDB enters after some errors."""
        with self.lock:
            self.close()
            self._db = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, batch: WriteBatch) -> None:
        """Writes a batch atomically. Once it returns the batch survives the end of the process; `sync` makes it survive
        that of the machine. `StoreBusyError` or `TradeStoreError` when it was not written.
        """
        with self._naming_errors("written"):
            self._db.write(batch, self._write_options)

    def on_stored(self, symbol: str, spans: Iterable[IdSpan]) -> None:
        """Records the ids that were written of a symbol; they count as durable after the next `sync`."""
        self._durable.on_stored(symbol, spans)

    def on_moving(self, moves: Iterable[Moves]) -> None:
        """Records that the next write moves or removes stored trades. Called before that write: a reader that opens
        after it, or after the end of this process, must not take them for lost.
        """
        self._durable.on_moving(moves)

    def sync(self) -> None:
        """Syncs all writes to the disk, without the interpreter lock."""
        with self._naming_errors("synced"):
            sequence = self._db.latest_sequence_number()
            self._db.flush_wal(sync=True)
        self._durable.on_sync(sequence)

    def first_lost(self, symbol: str) -> IdSpan | None:
        """The lowest ids of a symbol that were durable, were lost, and are not stored again, as the writing process has
        found; None without any.
        """
        durable = read_durable(self.path)
        spans = durable.lost.get(symbol, []) if durable else []
        return min(spans, key=lambda span: span.first_id, default=None)

    def remove(self, key: bytes) -> None:
        """Removes a record that cannot be read. `TradeStoreError` when that fails."""
        batch = WriteBatch(raw_mode=True)
        batch.delete(key)
        self.write(batch)

    def delete_before(self, symbol: str, end_ms: int) -> None:
        """Deletes the records that start before `end_ms` in one write, and frees their space. Readers continue
        meanwhile. `TradeStoreError` when that fails.
        """
        kept = self.from_on(symbol, end_ms)
        before_id = None if kept is None else first_id(kept[1])
        self._durable.on_deleted(symbol, before_id, self._deleted_from(symbol, before_id, end_ms))
        begin, end = encode_key(symbol, 0), encode_key(symbol, end_ms)
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(begin, end)
        self.write(batch)
        compaction = CompactOptions()
        compaction.set_exclusive_manual_compaction(v=False)
        with self._naming_errors("compacted"):
            self._db.compact_range(begin, end, compaction)

    def _deleted_from(self, symbol: str, before_id: int | None, end_ms: int) -> list[IdSpan]:
        """Recorded ids from `before_id` on whose records start before `end_ms`: times do not always rise with the ids.
        Nearly always nothing that old is recorded, and nothing is read.
        """
        begin = self._durable.begin_of(symbol)
        if before_id is None or begin is None or begin >= end_ms:
            return []
        ids = self.ids(symbol, begin, end_ms, on_bad=leave_out)
        return runs_of(ids[ids >= before_id], 0, 0)

    def compact(self) -> None:
        """Compacts the whole store, for importers; live stores compact themselves. `TradeStoreError` on failure."""
        with self._naming_errors("compacted"):
            self._db.flush()
            self._db.compact_range(None, None)

    def file_bytes(self) -> int:
        """Size of the data files, without the log of recent writes."""
        return sum(int(file["size"]) for file in self._db.live_files())
