"""Reads the records of an open database, one by one or in the order of time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from rocksdict import Rdict, ReadOptions

from flows.modules.late import late_module
from sinks.trades.codec import (
    END_MS,
    TradeColumns,
    begin_of_symbol,
    encode_key,
    end_of_symbol,
    first_id,
    last_id,
    minute_of,
)
from sinks.trades.database import MOST_RETRIES, TradeStoreError, naming_errors
from sinks.trades.record_checks import (
    BadRecord,
    OnBad,
    RecordError,
    StoredRecord,
    checked,
    place_of,
    read_record,
    start_of,
    stray_of,
)

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")


class Extent(NamedTuple):
    """The records of a symbol in a span of time."""

    records: int
    begin_ms: int
    """Start of the first record."""
    first_id: int
    """Id of the first trade, and of the last one; -1 where its record cannot be read."""
    last_id: int


class StoredRecords:
    """The records of one partition.

    A failed read is a `TradeStoreError`: RocksDB ends an iteration at a damaged block as it does at the last record, so
    the status is checked wherever one ends. A record that is none is a `RecordError`, unless the caller asks for the
    others.
    """

    # Iterations end by comparing keys. rocksdict offers an upper bound, but only keeps a pointer to it: once the
    # `ReadOptions` are collected, the iterator reads freed memory and ends anywhere.

    path: Path
    _db: Rdict
    _secondary_path: Path | None

    def catch_up(self) -> None:
        """Reads, as a secondary, what the writing process has written since. `TradeStoreError` when that fails."""
        with self._naming_errors("followed"):
            self._db.try_catch_up_with_primary()

    def value(self, key: bytes) -> bytes | None:
        """The stored bytes of a key. `TradeStoreError` when they cannot be read."""
        with self._naming_errors("read"):
            value: bytes | None = self._db.get(key)
        return value

    def record(self, key: bytes) -> TradeColumns | None:
        """The record of an `encode_key`. `TradeStoreError` when it cannot be read, `RecordError` when it is none."""
        value = self.value(key)
        record = None if value is None else read_record(self.path, key, value)
        if isinstance(record, BadRecord):
            raise RecordError(record)
        return record

    def records(
        self, symbol: str, begin_ms: int, end_ms: int, *, on_bad: OnBad | None = None
    ) -> Iterator[tuple[int, TradeColumns]]:
        """Start and columns of the records whose start lies in `[begin_ms, end_ms)`, oldest first, as of the first
        read: later writes are not included. `on_bad` gets those that are none, also those with keys that sort into the
        span; without it they are a `RecordError`.

        A secondary that loses a file while it reads catches up and continues with the current minute, whose records may
        then come a second time.
        """
        yield from checked(self._raw(symbol, begin_ms, end_ms), self.path, symbol, on_bad or refuse)

    def _raw(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[StoredRecord]:
        retries, reached_ms, prefix = 0, -1, begin_of_symbol(symbol)
        while True:
            try:
                for key, value in self._walk(symbol, begin_ms, end_ms):
                    start = start_of(key, prefix)
                    if start > reached_ms:
                        retries, reached_ms, begin_ms = 0, start, max(begin_ms, minute_of(start))
                    yield key, start, value
            except TradeStoreError:
                retries += 1
                if self._secondary_path is None or retries > MOST_RETRIES:
                    raise
                self.catch_up()
            else:
                return

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """Starts of the records in `[begin_ms, end_ms)`, oldest first, without reading the records."""
        prefix = begin_of_symbol(symbol)
        starts = (start_of(key, prefix) for key, _ in self._walk(symbol, begin_ms, end_ms, only_keys=True))
        return (start for start in starts if start >= 0)

    def _walk(
        self, symbol: str, begin_ms: int, end_ms: int, *, only_keys: bool = False
    ) -> Iterator[tuple[bytes, bytes]]:
        """Keys and values of a span. All that a key can hold is all keys of the symbol."""
        end = end_of_symbol(symbol) if end_ms >= END_MS else encode_key(symbol, end_ms)
        with self._naming_errors("read"):  # around all: for each record it would cost as much as reading it
            iterator = self._db.iter(ReadOptions())
            iterator.seek(begin_of_symbol(symbol) if begin_ms <= 0 else encode_key(symbol, begin_ms))
            while iterator.valid():
                key: Any = iterator.key()
                if key >= end:
                    return
                value: Any = b"" if only_keys else iterator.value()
                yield key, value
                iterator.next()
            iterator.status()

    def bounds(self, symbol: str) -> tuple[int, int] | None:
        """Starts of the first and the last record; None without any."""
        first = next(self.starts(symbol, 0, END_MS), None)
        last = self.newest_of(symbol)
        return None if first is None or last is None else (first, last)

    def newest_of(self, symbol: str, *, until_ms: int = END_MS) -> int | None:
        """Start of the newest record of a symbol that begins at `until_ms` or before; None without any."""
        if until_ms < 0:
            return None
        prefix = begin_of_symbol(symbol)
        with self._naming_errors("read"):
            iterator = self._db.iter(ReadOptions())
            iterator.seek_for_prev(encode_key(symbol, until_ms))
            while iterator.valid():
                key: Any = iterator.key()
                if key < prefix:
                    return None
                if (start := start_of(key, prefix)) >= 0:
                    return start
                iterator.prev()
            iterator.status()
        return None

    def extent(self, symbol: str, end_ms: int) -> Extent | None:
        """Extent of the records that start before `end_ms`; None without any. It reads the keys, and two records."""
        records, begin_ms, last_ms = 0, 0, 0
        for start in self.starts(symbol, 0, end_ms):
            begin_ms = begin_ms if records else start
            records, last_ms = records + 1, start
        if not records:
            return None
        first, last = self.readable(symbol, begin_ms), self.readable(symbol, last_ms)
        return Extent(records, begin_ms, first_id(first) if first else -1, last_id(last) if last else -1)

    def readable(self, symbol: str, start_ms: int) -> TradeColumns | None:
        """The record that starts at a time; None when there is none, or it cannot be read."""
        return next((columns for _, columns in self.records(symbol, start_ms, start_ms + 1, on_bad=leave_out)), None)

    def ids(
        self, symbol: str, begin_ms: int, end_ms: int, *, on_bad: OnBad | None = None
    ) -> np.ndarray[Any, np.dtype[np.int64]]:
        """The ids of the records that start between the minute of `begin_ms` and `end_ms`, exclusive; rising. Records
        that cannot be read as in `records`.
        """
        return np.unique(np.frombuffer(self.id_column(symbol, begin_ms, end_ms, on_bad=on_bad), "<i8"))

    def id_column(self, symbol: str, begin_ms: int, end_ms: int, *, on_bad: OnBad | None = None) -> bytes:
        """The column of the ids that `ids` gives, int64 each, as they are stored: in the order of the records."""
        return b"".join([columns.id for _, columns in self.records(symbol, minute_of(begin_ms), end_ms, on_bad=on_bad)])

    def last_id_of(self, symbol: str) -> int:
        """The id of the last trade in a symbol's newest record that can be read; -1 without any."""
        newest = self.before(symbol, END_MS)
        return -1 if newest is None else last_id(newest[1])

    def before(self, symbol: str, end_ms: int) -> tuple[int, TradeColumns] | None:
        """Start and columns of the last record before a time that can be read; None without any."""
        while (start := self.newest_of(symbol, until_ms=end_ms - 1)) is not None:
            if (columns := self.readable(symbol, start)) is not None:
                return start, columns
            end_ms = start
        return None

    def from_on(self, symbol: str, begin_ms: int) -> tuple[int, TradeColumns] | None:
        """Start and columns of the first record from a time on that can be read; None without any."""
        for start in self.starts(symbol, begin_ms, END_MS):  # one by one: the first is nearly always the one
            if (columns := self.readable(symbol, start)) is not None:
                return start, columns
        return None

    def symbols(self) -> list[str]:
        """The symbols that have records. It costs one seek for each symbol."""
        return [found for found in self._named() if isinstance(found, str)]

    def strays(self) -> list[BadRecord]:
        """What is stored under a key that is none of a record, and that is not among those of a symbol."""
        found = list(self._named())
        known = tuple(begin_of_symbol(symbol) for symbol in found if isinstance(symbol, str))
        keys = [key for key in found if isinstance(key, bytes) and not key.startswith(known)]
        return [stray_of(self.path, key) for key in keys]

    def _named(self) -> Iterator[str | bytes]:
        """The symbols, and each key that is none of a record, as far as none of its symbol comes before it."""
        with self._naming_errors("read"):
            iterator = self._db.iter(ReadOptions())
            iterator.seek(b"")
            while iterator.valid():
                key: Any = iterator.key()
                place = place_of(key)
                yield place[0] if place else key
                if place:
                    iterator.seek(end_of_symbol(place[0]))
                else:
                    iterator.next()
            iterator.status()

    def _naming_errors(self, action: str) -> AbstractContextManager[None]:
        return naming_errors(self.path, action)


def refuse(record: BadRecord) -> None:
    """Reads nothing behind a record that is none."""
    raise RecordError(record)


def leave_out(_: BadRecord) -> None:
    """Reads on without the records that are none: for a caller that only asks where the others are."""
