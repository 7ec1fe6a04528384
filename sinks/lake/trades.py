"""The trades of a lake as records of minutes, as a partition of the trade store has them: what a reader gets where the
stores have a day no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from flows.model import DAY_MS
from flows.modules.late import late_module
from sinks.lake.manifest import LakeDay, LakeError
from sinks.lake.place import FILE_ROWS, Lake
from sinks.lake.series import TRADES, LakeSeries, begin_of
from sinks.trades.codec import MINUTE_MS, TradeColumns, minute_of
from sinks.trades.database import TradeStoreError
from sinks.trades.reader import FirstStored, OpenOlder

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
else:
    np, pl = late_module("numpy"), late_module("polars")

_WIDE: Final = ("id", "first_id", "last_id", "time", "price", "quantity")


class LakeTrades:
    """The trades of a venue that are in the lake, and before the first stored ones of the same day: so a day is read
    from one place, or, where retention has cut it, from both, and no trade twice.

    Every method raises `TradeStoreError` when a file is damaged or missing.
    """

    def __init__(self, lake: Lake, venue: str, first_stored: FirstStored) -> None:
        self._lake = lake
        self._venue = venue
        self._first_stored = first_stored

    def symbols(self) -> list[str]:
        """The symbols with days in the lake."""
        with _naming():
            found = self._lake.series(self._venue, kind=TRADES)
            return [series.symbol for series in found if self._lake.manifest(series).days]

    def has(self, symbol: str, begin_ms: int, end_ms: int) -> bool:
        """Whether there may be trades in `[begin_ms, end_ms)` that are read from the lake."""
        return next(self._spans(symbol, begin_ms, end_ms), None) is not None

    def records(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[int, TradeColumns]]:
        """Start and columns of the minutes that start in `[begin_ms, end_ms)`, oldest first."""
        with _naming():
            for day, end in self._spans(symbol, begin_ms, end_ms):
                yield from self._minutes(symbol, day, max(begin_ms, begin_of(day)), min(end_ms, end), end)

    def starts(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[int]:
        """Starts of these minutes."""
        with _naming():
            for day, end in self._spans(symbol, begin_ms, end_ms):
                times = self._times(symbol, day, end)
                minutes = times - times % MINUTE_MS
                yield from minutes.filter((minutes >= begin_ms) & (minutes < end_ms)).unique().sort().to_list()

    def newest_of(self, symbol: str, *, until_ms: int) -> int | None:
        """Start of the last minute that begins at a time or before; None without any."""
        with _naming():
            for day, end in reversed(list(self._spans(symbol, 0, until_ms + 1))):
                times = self._times(symbol, day, end)
                minutes = times - times % MINUTE_MS
                newest: Any = minutes.filter(minutes <= until_ms).max()
                if newest is not None:
                    return int(newest)
        return None

    def _days(self, symbol: str) -> dict[str, LakeDay]:
        with _naming():
            return dict(self._lake.manifest(self._of(symbol)).days)

    def _of(self, symbol: str) -> LakeSeries:
        return LakeSeries(self._venue, TRADES, symbol)

    def _spans(self, symbol: str, begin_ms: int, end_ms: int) -> Iterator[tuple[str, int]]:
        """The days that are read from the lake, and up to which time."""
        for day, entry in self._days(symbol).items():
            begin = begin_of(day)
            if begin + DAY_MS <= begin_ms or begin >= end_ms or not entry.rows:
                continue
            stored = self._first_stored(symbol, begin, begin + DAY_MS)
            end = begin + DAY_MS if stored is None else stored
            if entry.first_time < end:
                yield day, end

    def _times(self, symbol: str, day: str, end: int) -> pl.Series:
        found = self._lake.scan(self._of(symbol), day).select("time").filter(pl.col("time") < end).collect()
        return found["time"]

    def _minutes(self, symbol: str, day: str, begin: int, end: int, until: int) -> Iterator[tuple[int, TradeColumns]]:
        """The minutes that start in `[begin, end)`, with the trades before `until`."""
        last = min(minute_of(end - 1) + MINUTE_MS, until) if end > begin else begin
        rows = self._lake.scan(self._of(symbol), day)
        times = rows.select("time").collect()["time"]
        place = int(times.search_sorted(-(-begin // MINUTE_MS) * MINUTE_MS))
        behind = int(times.search_sorted(last))
        rest: pl.DataFrame | None = None
        while place < behind:
            frame = rows.slice(place, min(FILE_ROWS, behind - place)).collect()
            place += frame.height
            frame = frame if rest is None else pl.concat([rest, frame])
            minute = minute_of(frame.item(-1, "time"))
            whole = int(frame["time"].search_sorted(minute)) if place < behind else frame.height
            yield from _records(frame[:whole])
            rest = frame[whole:]


def older_trades(lake: Lake | None, venue: str) -> OpenOlder | None:
    """Opens the trades of a lake beside a store; None without a lake."""
    return None if lake is None else lambda first_stored: LakeTrades(lake, venue, first_stored)


def _records(frame: pl.DataFrame) -> Iterator[tuple[int, TradeColumns]]:
    """Each minute of trades in the order of time as a record, its ids rising."""
    if not frame.height:
        return
    columns = {name: frame[name].to_numpy() for name in _WIDE}
    sides = frame["buyer_is_maker"].cast(pl.UInt8).to_numpy()
    fills = frame["fill"].to_physical().to_numpy()
    own = {name for name in ("first_id", "last_id") if (columns[name] == columns["id"]).all()}
    is_own, has_fills = len(own) == 2, bool(fills.any())  # noqa: PLR2004 - both columns
    minutes = columns["time"] // MINUTE_MS
    starts = [0, *(np.flatnonzero(np.diff(minutes)) + 1).tolist(), frame.height]
    for first, end in pairwise(starts):
        part: Any = slice(first, end)
        ids = columns["id"][part]
        if (ids[1:] <= ids[:-1]).any():
            part = first + np.argsort(ids, kind="stable")
        blobs = {name: b"" if is_own and name in own else columns[name][part].tobytes() for name in _WIDE}
        yield (
            int(minutes[first]) * MINUTE_MS,
            TradeColumns(
                **blobs,
                buyer_is_maker=sides[part].tobytes(),
                fill=fills[part].astype("u1").tobytes() if has_fills and fills[part].any() else b"",
            ),
        )


@contextmanager
def _naming() -> Iterator[None]:
    """Makes errors of the lake those of a trade store."""
    try:
        yield
    except (LakeError, pl.exceptions.PolarsError) as error:
        raise TradeStoreError(" ".join(str(error).split())) from error
