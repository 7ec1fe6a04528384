"""Reads stored trades: as frames, lazily or at once, also while the flow writes them in another process."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from heapq import merge
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, Self

from flows.modules.late import late_module
from sinks.trades.codec import COLUMNS, END_MS, MINUTE_MS, TradeColumns, decode_frame, minute_of
from sinks.trades.durable import DURABLE_FILE
from sinks.trades.record_checks import OnBad
from sinks.trades.store import TradeStore

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

FRAME_ROWS = 100_000
"""Default of the rows of a frame that `iterate` yields."""

FirstStored = Callable[[str, int, int], int | None]
"""Start of the first stored record of a symbol in `[begin, end)`, ms UTC; None without any."""


class OlderTrades(Protocol):
    """Trades that the partitions have no more. Every method raises `TradeStoreError` when they cannot be read."""

    def symbols(self) -> list[str]:
        """The symbols with such trades."""
        ...

    def has(self, symbol: str, begin_ms: int, end_ms: int) -> bool:
        """Whether there may be such trades in `[begin_ms, end_ms)`."""
        ...

    def records(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Start and columns of the minutes that start in `[begin_ms, end_ms)`, oldest first."""
        ...

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """Starts of these minutes."""
        ...

    def newest_of(self, symbol: str, *, until_ms: int) -> int | None:
        """Start of the last minute that begins at a time or before; None without any."""
        ...


OpenOlder = Callable[[FirstStored], OlderTrades]
"""Opens them beside a store."""


class TradeView:
    """The trades of some partitions, read together.

    Times are exchange times, ms UTC. Frames have the columns `id first_id last_id time price quantity buyer_is_maker`,
    each id once. Fills that are not `MARKET` (insurance fund, deleveraging) are left out; with `every_fill` they are
    included, and a column `fill` has the kind of each. A symbol that is not stored has no trades, which is no error.

    Every method raises `TradeStoreError` when something cannot be read, a single record included: no answer has fewer
    trades than are stored. Where `on_bad` is given it gets those records, and the answer is that of the others.
    """

    def __init__(self, stores: Sequence[TradeStore], *, older: OpenOlder | None = None) -> None:
        """With `older` the trades that are there are read too."""
        self._stores = list(stores)
        self._older = older(self._first_stored) if older else None

    @property
    def stores(self) -> Sequence[TradeStore]:
        """The partitions."""
        return self._stores

    def symbols(self) -> list[str]:
        """The symbols that are stored, in alphabetical order."""
        older = self._older.symbols() if self._older else ()
        return sorted({*older, *(symbol for store in self._stores for symbol in store.symbols())})

    def trades(
        self,
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        every_fill: bool = False,
        columns: Sequence[str] = COLUMNS,
        on_bad: OnBad | None = None,
    ) -> pl.DataFrame:
        """The trades in `[start_ms, end_ms)` in the order of their ids. A trade takes about 50 bytes of memory, so a
        busy symbol's week is better read by `iterate`, or by naming the columns.
        """
        # All records as one frame: joining frames would copy the trades once more.
        found = next(self._frames(symbol, start_ms, end_ms, sys.maxsize, every_fill, columns, _by_id, on_bad), None)
        whole = decode_frame([], every_fill=every_fill, columns=columns) if found is None else found
        return whole[_shown(columns, every_fill)]

    def iterate(
        self,
        symbol: str,
        start_ms: int,
        end_ms: int,
        *,
        rows: int = FRAME_ROWS,
        every_fill: bool = False,
        every_version: bool = False,
        columns: Sequence[str] = COLUMNS,
        on_bad: OnBad | None = None,
    ) -> Iterator[pl.DataFrame]:
        """The trades in `[start_ms, end_ms)` as frames of whole minutes, one after another in time, none of them empty:
        each ends with the minute in which it reaches `rows`. Within a frame the ids rise. All frames show the store at
        the time of the first one. Fewer `columns` are read faster.

        With `every_version` ids of a frame may repeat: what is stored of them with several values stays, by time.
        """
        once = _by_version if every_version else _by_id
        for frame in self._frames(symbol, start_ms, end_ms, rows, every_fill, columns, once, on_bad):
            yield frame[_shown(columns, every_fill)]  # by name: a query would wake the threads of polars

    def _frames(
        self,
        symbol: str,
        start_ms: int,
        end_ms: int,
        rows: int,
        every_fill: bool,
        columns: Sequence[str],
        once: Callable[[pl.DataFrame], pl.DataFrame],
        on_bad: OnBad | None,
    ) -> Iterator[pl.DataFrame]:
        """The frames with id and time, which are needed to sort and filter."""
        read = [name for name in COLUMNS if name in {"id", "time", *columns}]
        for parts in _gathered(self._minutes(symbol, start_ms, end_ms, on_bad), rows):
            frame = _within(once(decode_frame(parts, every_fill=every_fill, columns=read)), start_ms, end_ms)
            if frame.height:
                yield frame

    def count(self, symbol: str, start_ms: int = 0, end_ms: int = END_MS, *, every_fill: bool = False) -> int:
        """Number of trades in `[start_ms, end_ms)`. It reads all of them."""
        return sum(frame.height for frame in self.iterate(symbol, start_ms, end_ms, every_fill=every_fill))

    def last_id(self, symbol: str, *, on_bad: OnBad | None = None) -> int | None:
        """The highest id, whatever the kind of fill; None without trades."""
        frame = self._newest(symbol, on_bad)
        return None if frame is None else int(frame["id"].to_numpy().max())

    def last_fill(self, symbol: str, *, on_bad: OnBad | None = None) -> int | None:
        """The highest raw trade id that a trade covers, whatever the kind of fill; None without trades."""
        frame = self._newest(symbol, on_bad)
        return None if frame is None else int(frame["last_id"].to_numpy().max())

    def first_time(self, symbol: str, start_ms: int = 0, *, on_bad: OnBad | None = None) -> int | None:
        """Time of the oldest trade from `start_ms` on, whatever the kind of fill; None without any."""
        minute = minute_of(start_ms)
        while (start := self._first_from(symbol, minute)) is not None:
            minute = minute_of(start)
            span = max(start_ms, minute), minute + MINUTE_MS
            frame = self.trades(symbol, *span, every_fill=True, columns=("time",), on_bad=on_bad)
            if frame.height:
                return int(frame["time"].to_numpy().min())
            minute += MINUTE_MS
        return None

    def last_time(self, symbol: str, end_ms: int = END_MS, *, on_bad: OnBad | None = None) -> int | None:
        """Time of the newest trade before `end_ms`, whatever the kind of fill; None without any."""
        frame = self._newest(symbol, on_bad, end_ms)
        return None if frame is None else int(frame["time"].to_numpy().max())

    def before_lost(self, symbol: str) -> tuple[int, int] | None:
        """Id before the first durable trades that the store has lost and not stored again, and their least time; None
        without any.
        """
        lost = [span for store in self._stores if (span := store.first_lost(symbol)) is not None]
        return min(((span.first_id - 1, span.begin) for span in lost), default=None)

    def _newest(self, symbol: str, on_bad: OnBad | None, end_ms: int = END_MS) -> pl.DataFrame | None:
        end, columns = end_ms, ("id", "last_id", "time")
        while (start := self._last_before(symbol, end)) is not None:
            # One minute more than the last record: futures' times may run back a little while the ids rise.
            begin = minute_of(start) - MINUTE_MS
            frame = self.trades(symbol, begin, end, every_fill=True, columns=columns, on_bad=on_bad)
            if frame.height:
                return frame
            end = begin
        return None

    def _first_from(self, symbol: str, begin_ms: int) -> int | None:
        """Start of the first record from a time on; None without any."""
        firsts = [self._first_stored(symbol, begin_ms, END_MS)]
        firsts += [next(self._older.starts(symbol, begin_ms, END_MS), None)] if self._older else []
        return min((start for start in firsts if start is not None), default=None)

    def _first_stored(self, symbol: str, begin_ms: int, end_ms: int) -> int | None:
        """The same, of a span of the partitions."""
        firsts = (next(store.starts(symbol, begin_ms, end_ms), None) for store in self._stores)
        return min((start for start in firsts if start is not None), default=None)

    def _last_before(self, symbol: str, end_ms: int) -> int | None:
        """Start of the last record before a time; None without any."""
        lasts = [store.newest_of(symbol, until_ms=end_ms - 1) for store in self._stores]
        lasts += [self._older.newest_of(symbol, until_ms=end_ms - 1)] if self._older else []
        return max((start for start in lasts if start is not None), default=None)

    def span_of(self, symbol: str, begin_ms: int, end_ms: int) -> tuple[int | None, int | None]:
        """Starts of the first and the last record of the partitions in `[begin_ms, end_ms)`; None without any."""
        first = self._first_stored(symbol, begin_ms, end_ms)
        lasts = [store.newest_of(symbol, until_ms=end_ms - 1) for store in self._stores]
        return first, max((start for start in lasts if start is not None and start >= begin_ms), default=None)

    def records_of(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Starts and columns of the records of the partitions that start in `[begin_ms, end_ms)`, oldest first."""
        return merge(*self._records_of(symbol, begin_ms, end_ms, None), key=itemgetter(0))

    def _records_of(
        self, symbol: str, begin_ms: int, end_ms: int, on_bad: OnBad | None
    ) -> list[Iterator[tuple[int, TradeColumns]]]:
        stores = (store for store in self._stores if store.bounds(symbol))
        return [store.records(symbol, begin_ms, end_ms, on_bad=on_bad) for store in stores]

    def _minutes(self, symbol: str, start_ms: int, end_ms: int, on_bad: OnBad | None) -> Iterator[list[TradeColumns]]:
        """The records of each minute: its seconds, their merged record, or both when a trade came late."""
        begin_ms = minute_of(start_ms)
        streams = self._records_of(symbol, begin_ms, end_ms, on_bad)
        if self._older and self._older.has(symbol, begin_ms, end_ms):
            streams.append(self._older.records(symbol, begin_ms, end_ms))
        records = streams[0] if len(streams) == 1 else merge(*streams, key=itemgetter(0))
        for _, found in groupby(records, lambda record: record[0] // MINUTE_MS):
            yield [columns for _, columns in found]


def _gathered(minutes: Iterator[list[TradeColumns]], rows: int) -> Iterator[list[TradeColumns]]:
    parts: list[TradeColumns] = []
    gathered = 0
    for minute in minutes:
        parts += minute
        gathered += sum(map(len, minute))
        if gathered >= rows:
            yield parts
            parts, gathered = [], 0
    if parts:
        yield parts


def _shown(columns: Sequence[str], every_fill: bool) -> list[str]:
    return [*columns, "fill"] if every_fill else list(columns)


def _within(frame: pl.DataFrame, start_ms: int, end_ms: int) -> pl.DataFrame:
    """The trades of a span. Nearly always that is all of them, and checking costs less than copying."""
    first, last = frame["time"].min(), frame["time"].max()
    if first is None or (start_ms <= first and last < end_ms):  # type: ignore[operator]
        return frame
    return frame.filter(pl.col("time").is_between(start_ms, end_ms, closed="left"))


def _by_id(frame: pl.DataFrame) -> pl.DataFrame:
    """The same trades, each once and ids rising. Nearly always they are so already, and checking is cheap."""
    ids = frame["id"].to_numpy()
    if (ids[:-1] < ids[1:]).all():
        return frame
    return frame.unique("id", keep="first").sort("id")


def in_order(frame: pl.DataFrame) -> pl.DataFrame:
    """The same trades by time and id, as frames nearly always are: times may run back a little while the ids rise."""
    return frame if frame["time"].is_sorted() else frame.sort("time", "id")


def _by_version(frame: pl.DataFrame) -> pl.DataFrame:
    """The same trades by id and time, each once with each of its values: the same row may be in several records."""
    ids = frame["id"].to_numpy()
    if (ids[:-1] < ids[1:]).all():
        return frame
    return frame.unique(keep="first", maintain_order=True).sort("id", "time", maintain_order=True)


class TradeReader(TradeView):
    """Follows a store that another process may be writing, as a RocksDB secondary of each partition.

    Reads return the state of the last `catch_up`. Any number of readers may follow one store, and never block the
    writer. Close it, or use it as a context manager: each reader has a small temporary directory.
    """

    def __init__(self, path: Path, *, older: OpenOlder | None = None) -> None:
        """`path` is the directory of a venue, or one partition in it. `FileNotFoundError` when there is no such
        directory and nothing `older`; `TradeStoreError` when a partition cannot be opened. A venue without a partition
        is empty.
        """
        super().__init__([], older=older)
        if not path.is_dir() and not (self._older and self._older.symbols()):
            raise FileNotFoundError(f"there is no trade store at {path}: start the flow, or set trades.path")
        self._path = path
        self._scratch = tempfile.TemporaryDirectory(prefix="marketflow-trades-")
        try:
            self._open_partitions()
        except BaseException:
            self.close()
            raise

    def catch_up(self) -> None:
        """Reads what was written since, new partitions included: about a millisecond. `TradeStoreError` when a
        partition cannot be followed.
        """
        for store in self._stores:
            store.catch_up()
        self._open_partitions()

    def _open_partitions(self) -> None:
        for path in sorted(self._new_partitions()):
            secondary_path = Path(self._scratch.name, path.name)
            self._stores.append(TradeStore(path, secondary_path=secondary_path))

    def _new_partitions(self) -> Iterator[Path]:
        """Directories with a store, or with the rest of one, that are not open yet."""
        known = {store.path for store in self._stores}
        for path in {self._path, *self._path.glob("*/")} - known:
            if any(next(path.glob(name), None) for name in ("CURRENT", DURABLE_FILE, "*.sst")):
                yield path

    def close(self) -> None:
        """Closes the partitions and removes its own directory."""
        for store in self._stores:
            store.close()
        self._stores.clear()
        self._scratch.cleanup()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
