"""One partition of the trade store: a RocksDB database, and the few things that are asked of it.

Everything here is plain reading and atomic writing of records (`trade_codec`); what is written, merged or deleted, and
when, is decided in `trades` and `trade_upkeep`.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple, Self

from rocksdict import (
    AccessType,
    BlockBasedOptions,
    Cache,
    CompactOptions,
    DbClosedError,
    DBCompressionType,
    Options,
    Rdict,
    ReadOptions,
    WriteBatch,
    WriteOptions,
)

from sinks.trade_codec import (
    END_MS,
    TradeColumns,
    decode_record,
    decode_start,
    decode_symbol,
    encode_key,
    end_of_symbol,
    first_id,
    last_id,
)

_BLOCK_BYTES = 64 * 1024  # what zstd sees at once: larger blocks gain under 1 %, smaller ones lose 5 %
_ZSTD_LEVEL = 6  # costs only background threads; 8 % smaller than the default
_ZSTD_WINDOW_BITS = -14  # RocksDB's own default; it has no meaning for zstd
_WRITE_BUFFER_BYTES = 16 * 1024 * 1024
_WAL_BYTES = 64 * 1024 * 1024
_WRITER_CACHE_BYTES = 2 * 1024 * 1024  # it reads a record once, to merge it
_READER_CACHE_BYTES = 32 * 1024 * 1024


class TradeStoreError(Exception):
    """The store cannot be used; the text says which one, for what, and why."""


class StoreBusyError(TradeStoreError):
    """The store's background work is behind, and the write was refused rather than delayed. Try again."""


class Extent(NamedTuple):
    """What the records of a symbol in some time cover."""

    records: int
    begin_ms: int
    """Start of the first record."""
    first_id: int
    """Id of the first trade, and of the last one."""
    last_id: int


def _options(*, cache_bytes: int) -> Options:
    table = BlockBasedOptions()
    table.set_block_cache(Cache(cache_bytes))
    table.set_block_size(_BLOCK_BYTES)
    table.set_bloom_filter(10, block_based=False)
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_block_based_table_factory(table)
    options.set_compression_type(DBCompressionType.zstd())
    options.set_compression_options(_ZSTD_WINDOW_BITS, _ZSTD_LEVEL, 0, 0)
    options.set_write_buffer_size(_WRITE_BUFFER_BYTES)
    options.set_max_total_wal_size(_WAL_BYTES)
    options.set_keep_log_file_num(2)
    options.set_stats_dump_period_sec(0)
    return options


class TradeStore:
    """A partition, open for reading and writing (one process at a time) or as a secondary (read only, any number).

    Reads may come from any thread; those of whole spans raise rocksdict's own exceptions when the disk fails. Whoever
    reads a record to write it back holds `lock` meanwhile.
    """

    # Iterators are ended by comparing keys. rocksdict offers an upper bound, but only points to it: the iterator reads
    # freed memory as soon as the `ReadOptions` are collected, and then ends anywhere.

    def __init__(self, path: Path, *, secondary_path: Path | None = None) -> None:
        """Opens it; as a secondary when `secondary_path` names a directory of its own for that. `TradeStoreError`
        when it cannot be opened, for instance because another process writes to it.
        """
        self.path = path
        self.lock = threading.Lock()
        self._secondary_path = secondary_path
        self._write_options = WriteOptions()
        # A write holds the interpreter lock: it must never wait for a compaction.
        self._write_options.no_slowdown = True
        self._db = self._open()

    def _open(self) -> Rdict:
        with self._naming_errors("opened"):
            if self._secondary_path is None:
                self.path.mkdir(parents=True, exist_ok=True)
                return Rdict(str(self.path), _options(cache_bytes=_WRITER_CACHE_BYTES))
            options = _options(cache_bytes=_READER_CACHE_BYTES)
            return Rdict(str(self.path), options, access_type=AccessType.secondary(str(self._secondary_path)))

    @contextmanager
    def _naming_errors(self, action: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # rocksdict raises nothing narrower
            busy = str(error).startswith("Result incomplete")
            kind = StoreBusyError if busy else TradeStoreError
            raise kind(f"the trade store {self.path} cannot be {action}: {error}") from error

    def close(self) -> None:
        """Lets go of the files. Reading afterwards raises `rocksdict.DbClosedError`."""
        with suppress(DbClosedError):  # closed before
            self._db.close()

    def reopen(self) -> None:
        """Closes and opens again, which ends the read-only state that RocksDB falls into after some errors."""
        with self.lock:
            self.close()
            self._db = self._open()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, batch: WriteBatch) -> None:
        """Writes all of a batch or nothing. Once it returns the batch survives the end of the process; `sync` makes it
        survive that of the machine. `StoreBusyError` or `TradeStoreError` when it was not written.
        """
        with self._naming_errors("written"):
            self._db.write(batch, self._write_options)

    def sync(self) -> None:
        """Brings what was written to the disk. It leaves the interpreter to other threads meanwhile."""
        with self._naming_errors("synced"):
            self._db.flush_wal(sync=True)

    def record(self, key: bytes) -> TradeColumns | None:
        """The record of a key. `TradeStoreError` when it cannot be read."""
        with self._naming_errors("read"):
            value = self._db.get(key)
        return None if value is None else decode_record(value)

    def records(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Start and columns of the records whose start lies in `[begin_ms, end_ms)`, oldest first, as they are now:
        what is written while they are read is not among them.
        """
        items: Iterator[tuple[Any, Any]] = self._db.items(from_key=encode_key(symbol, begin_ms))
        end = encode_key(symbol, end_ms)
        for key, value in items:
            if key >= end:
                return
            yield decode_start(key), decode_record(value)

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """Starts of the records in `[begin_ms, end_ms)`, oldest first, without reading the records."""
        keys: Iterator[Any] = self._db.keys(from_key=encode_key(symbol, begin_ms))
        end = encode_key(symbol, end_ms)
        return map(decode_start, takewhile(lambda key: key < end, keys))

    def bounds(self, symbol: str) -> tuple[int, int] | None:
        """Starts of the first and the last record; None without any."""
        first = next(self.starts(symbol, 0, END_MS), None)
        last = self.newest_of(symbol)
        return None if first is None or last is None else (first, last)

    def newest_of(self, symbol: str, *, until_ms: int = END_MS) -> int | None:
        """Start of the newest record of a symbol that begins at `until_ms` or before; None without any."""
        iterator = self._db.iter(ReadOptions())
        iterator.seek_for_prev(encode_key(symbol, until_ms))
        if not iterator.valid() or iterator.key() < encode_key(symbol, 0):
            return None
        return decode_start(iterator.key())

    def extent(self, symbol: str, end_ms: int) -> Extent | None:
        """What the records cover that start before `end_ms`; None without any. It reads the keys, and two records."""
        records, begin_ms, last_ms = 0, 0, 0
        for start in self.starts(symbol, 0, end_ms):
            begin_ms = begin_ms if records else start
            records, last_ms = records + 1, start
        first, last = self.record(encode_key(symbol, begin_ms)), self.record(encode_key(symbol, last_ms))
        if first is None or last is None:
            return None
        return Extent(records, begin_ms, first_id(first), last_id(last))

    def symbols(self) -> list[str]:
        """The symbols that have records. It costs a seek a symbol."""
        found = []
        iterator = self._db.iter(ReadOptions())
        iterator.seek(b"trades:")
        while iterator.valid():
            found.append(decode_symbol(iterator.key()))
            iterator.seek(end_of_symbol(found[-1]))
        return found

    def delete_before(self, symbol: str, end_ms: int) -> None:
        """Deletes the records that start before `end_ms` in one stroke, and gives their space back. Readers go on
        meanwhile. `TradeStoreError` when that was not possible.
        """
        begin, end = encode_key(symbol, 0), encode_key(symbol, end_ms)
        batch = WriteBatch(raw_mode=True)
        batch.delete_range(begin, end)
        self.write(batch)
        compaction = CompactOptions()
        compaction.set_exclusive_manual_compaction(v=False)
        with self._naming_errors("compacted"):
            self._db.compact_range(begin, end, compaction)

    def compact(self) -> None:
        """Rewrites everything in its smallest form. For importers; a live store does this by itself."""
        self._db.flush()
        self._db.compact_range(None, None)

    def file_bytes(self) -> int:
        """Size of the data files, without the log of recent writes."""
        return sum(int(file["size"]) for file in self._db.live_files())

    def catch_up(self) -> None:
        """A secondary takes over what the writing process has written since. `TradeStoreError` when it cannot."""
        with self._naming_errors("followed"):
            self._db.try_catch_up_with_primary()
