"""The newest candles of every symbol and timeframe, merged from the hub and the store. Pure.

A series returns only ranges known to be complete: from the oldest candle read from the store on, and while no hub
message can have been missed. After a disconnect or a gap it must be filled again. What is still missing then is missing
in the store too, once the store has had `SETTLE_MS` to take what the hub published before.
"""

from bisect import bisect_left
from collections.abc import Container, Iterable
from operator import attrgetter
from typing import Final, NamedTuple

from msgspec import Struct

from flows.model import Candle, timeframe_ms

SETTLE_MS: Final = 5_000
"""Time in which a closed candle that the hub published reaches the store."""
FULL_MS: Final = 60_000
"""How long a filled series stays valid: an importer changes the store without a hub message."""
INCOMPLETE_MS: Final = 2_000
"""The same where the store had fewer candles than requested: history may be on its way."""

_OPEN_TIME = attrgetter("open_time")


class SeriesKey(NamedTuple):
    """Venue, symbol and timeframe of a series of candles."""

    venue: str
    symbol: str
    timeframe: str


class CacheCounters(Struct):
    """Reads answered from memory, and reads that needed the store."""

    hits: int = 0
    misses: int = 0


def is_newer(version: Candle, known: Candle) -> bool:
    """Whether a version of a candle replaces another, by the rule of the store: amended over closed over forming, and
    the later trade among forming ones.
    """
    if version.revision != known.revision:
        return version.revision > known.revision
    if version.is_closed != known.is_closed:
        return version.is_closed
    return version.last_id >= known.last_id


def newest_versions(*lists: Iterable[Candle]) -> list[Candle]:
    """Every period once, in its newest version, oldest first. All must be of one series."""
    newest: dict[int, Candle] = {}
    for candles in lists:
        for candle in candles:
            known = newest.get(candle.open_time)
            if known is None or is_newer(candle, known):
                newest[candle.open_time] = candle
    return [newest[open_time] for open_time in sorted(newest)]


class Series:
    """The newest `size` candles of one series; beyond that the oldest go. Times called `now_ms` are monotonic."""

    def __init__(self, timeframe: str, size: int) -> None:
        self._length_ms = timeframe_ms(timeframe)
        self._size = size
        self._candles: list[Candle] = []
        self._complete_from = 0
        self._valid_until_ms = -1
        self._invalidated_ms = -SETTLE_MS

    def __len__(self) -> int:
        return len(self._candles)

    def put(self, candle: Candle, now_ms: int) -> None:
        """Takes a version that the hub published. One older than the known version is ignored."""
        candles = self._candles
        if candles and candle.open_time > candles[-1].open_time:
            if candle.open_time > candles[-1].open_time + self._length_ms:
                self.invalidate(now_ms)
            candles.append(candle)
            self._shorten()
        elif candle.open_time >= self._complete_from:
            self._place(candle)

    def _place(self, candle: Candle) -> None:
        """Inserts or replaces a candle at its period."""
        candles = self._candles
        place = bisect_left(candles, candle.open_time, key=_OPEN_TIME)
        if place == len(candles) or candles[place].open_time != candle.open_time:
            candles.insert(place, candle)
            self._shorten()
        elif is_newer(candle, candles[place]):
            candles[place] = candle

    def fill(self, stored: list[Candle], now_ms: int) -> None:
        """Takes the newest candles of the store, oldest first: `size` of them, or all when there are fewer."""
        is_short = len(stored) < self._size
        self._complete_from = 0 if is_short else stored[0].open_time
        self._candles = newest_versions(stored, self._candles)
        self._shorten()
        if now_ms - self._invalidated_ms >= SETTLE_MS:
            self._valid_until_ms = now_ms + (INCOMPLETE_MS if is_short else FULL_MS)

    def invalidate(self, now_ms: int) -> None:
        """Messages may have been missed: `last` returns None until the next `fill`."""
        self._invalidated_ms = now_ms
        self._valid_until_ms = -1

    def last(self, count: int, before_ms: int | None, now_ms: int, *, allow_stale: bool = False) -> list[Candle] | None:
        """The newest `count` candles that open before a time, oldest first; None when the store must be read. With
        `allow_stale` also from a series that was filled too long ago, but never from an invalidated one.
        """
        if now_ms > self._valid_until_ms and not (allow_stale and self._valid_until_ms >= 0):
            return None
        found = self.contents(before_ms)[-count:]
        return found if len(found) == count or not self._complete_from else None

    def contents(self, before_ms: int | None = None) -> list[Candle]:
        """All candles held, oldest first, complete or not."""
        if before_ms is None:
            return list(self._candles)
        return [candle for candle in self._candles if candle.open_time < before_ms]

    def _shorten(self) -> None:
        if len(self._candles) > self._size:
            del self._candles[: -self._size]
            self._complete_from = max(self._complete_from, self._candles[0].open_time)


class CandleCache:
    """All series: one for each instrument and timeframe that the hubs publish or that was requested."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.counters = CacheCounters()
        self._series: dict[SeriesKey, Series] = {}

    def __len__(self) -> int:
        """Candles held."""
        return sum(map(len, self._series.values()))

    def series(self, key: SeriesKey) -> Series:
        """The series of a key, empty at first."""
        found = self._series.get(key)
        if found is None:
            found = self._series[key] = Series(key.timeframe, self.size)
        return found

    def put(self, candle: Candle, now_ms: int) -> None:
        """Takes a version that the hub published."""
        self.series(SeriesKey(candle.venue, candle.symbol, candle.timeframe)).put(candle, now_ms)

    def invalidate(self, venue: str, now_ms: int) -> None:
        """Invalidates all series of a venue, as after a disconnect."""
        for key, series in self._series.items():
            if key.venue == venue:
                series.invalidate(now_ms)

    def forget(self, venue: str, symbols: Container[str]) -> None:
        """Drops the series of symbols that were removed."""
        self._series = {
            key: series for key, series in self._series.items() if key.venue != venue or key.symbol not in symbols
        }

    def last(
        self, key: SeriesKey, count: int, before_ms: int | None, now_ms: int, *, allow_stale: bool = False
    ) -> list[Candle] | None:
        """The newest candles of a series, or None when the store must be read; counts a hit or a miss."""
        series = self._series.get(key)
        found = series.last(count, before_ms, now_ms, allow_stale=allow_stale) if series else None
        if found is None:
            self.counters.misses += 1
        else:
            self.counters.hits += 1
        return found

    def contents(self, key: SeriesKey) -> list[Candle]:
        """The candles held of a series, complete or not."""
        return self._series[key].contents() if key in self._series else []

    def keys(self) -> list[SeriesKey]:
        """The keys of all series."""
        return list(self._series)
