"""The candles of a lake, for the periods of which the store has none any more."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final

from flows.model import DAY_MS, Candle, timeframe_ms
from flows.modules.late import late_module
from sinks.lake.place import Lake
from sinks.lake.series import LakeSeries, begin_of

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

_FIELDS: Final = tuple(name for name in Candle.__struct_fields__ if name not in ("venue", "symbol", "event_time"))


class LakeCandles:
    """The candles of a venue that are in the lake. `LakeError` when a file is damaged or missing."""

    def __init__(self, lake: Lake | None, venue: str) -> None:
        """Without a lake there are none."""
        self._lake = lake
        self._venue = venue

    def symbols(self) -> set[str]:
        """The symbols with candles in the lake."""
        if self._lake is None:
            return set()
        found = self._lake.series(self._venue)
        return {series.symbol for series in found if series.timeframe and self._lake.manifest(series).days}

    def timeframes(self, symbol: str) -> set[str]:
        """The timeframes with candles of a symbol in the lake."""
        found = self._lake.series(self._venue) if self._lake else ()
        return {one.timeframe for one in found if one.timeframe and one.symbol == symbol}

    def frames(self, symbol: str, timeframe: str, start: int, end: int) -> Iterator[pl.DataFrame]:
        """The candles that open in `[start, end)`, a day at a time, oldest first."""
        frames = (rows.collect() for rows in self._rows(symbol, timeframe, start, end))
        return (frame for frame in frames if frame.height)

    def filled(
        self, frames: Iterable[pl.DataFrame], symbol: str, timeframe: str, start: int, end: int
    ) -> Iterator[pl.DataFrame]:
        """The frames of stored candles that open in `[start, end)`, with those of the lake where a period has none.
        Frames of the lake have the same columns.
        """
        if self._lake is None:
            yield from frames
            return
        length = timeframe_ms(timeframe)
        expected = start
        for frame in frames:
            times = frame["open_time"].to_list()
            begin = 0
            for place, time in enumerate(times):
                if time > expected:
                    lacking = list(self.frames(symbol, timeframe, expected, time))
                    if lacking:
                        if place > begin:
                            yield frame[begin:place]
                        yield from lacking
                        begin = place
                expected = time + length
            if begin < len(times):
                yield frame[begin:]
        yield from self.frames(symbol, timeframe, expected, end)

    def newest(self, symbol: str, timeframe: str, start: int, end: int, count: int) -> list[Candle]:
        """The newest `count` candles that open in `[start, end)`, oldest first."""
        found: list[Candle] = []
        for rows in self._rows(symbol, timeframe, start, end, newest_first=True):
            frame = rows.select(*(name for name in _FIELDS if name != "timeframe")).tail(count - len(found)).collect()
            older = [
                Candle(venue=self._venue, symbol=symbol, timeframe=timeframe, **row)
                for row in frame.iter_rows(named=True)
            ]
            found = older + found
            if len(found) >= count:
                break
        return found

    def merged(self, stored: Sequence[Candle], of: tuple[str, str], start: int, end: int, count: int) -> list[Candle]:
        """The newest `count` candles of a symbol and timeframe, of which `stored` are the newest ones that the store
        has in `[start, end)`, oldest first: with those of the lake where a period has none.
        """
        symbol, timeframe = of
        length = timeframe_ms(timeframe)
        spans: list[tuple[int, int]] = []
        behind = end
        for candle in reversed(stored):
            spans.append((candle.open_time + length, behind))
            behind = candle.open_time
        if len(stored) < count:
            spans.append((start, behind))
        lacking = [
            candle
            for begin, stop in reversed(spans)
            if begin < stop
            for candle in self.newest(symbol, timeframe, begin, stop, count)
        ]
        if not lacking:
            return list(stored)
        return sorted([*stored, *lacking], key=lambda candle: candle.open_time)[-count:]

    def _rows(
        self, symbol: str, timeframe: str, start: int, end: int, *, newest_first: bool = False
    ) -> Iterator[pl.LazyFrame]:
        """The candles of each day that open in a span, the oldest day first."""
        if self._lake is None:
            return
        series = LakeSeries.of_candles(self._venue, timeframe, symbol)
        days = self._lake.manifest(series).days
        found = [day for day, entry in days.items() if entry.rows and start - DAY_MS < begin_of(day) < end]
        for day in reversed(found) if newest_first else found:
            yield self._lake.scan(series, day).filter(pl.col("open_time").is_between(start, end, closed="left"))
