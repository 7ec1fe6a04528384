"""Stored and live candles in one list, without gaps at the seam and without duplicates."""

import asyncio
from collections.abc import Callable, Iterable
from typing import Final, Protocol

import structlog

from api.http.errors import Problem
from api.live.candle_cache import CandleCache, SeriesKey, newest_versions
from flows.clock import monotonic_ms
from flows.model import Candle

UNREADABLE: Final = "unreadable_data"
"""Code of the problem that something stored cannot be read: of one series, and the store is there for the others."""

_log = structlog.get_logger(__name__)


class StoredCandles(Protocol):
    """A store of candles."""

    async def candles(
        self, key: SeriesKey, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[Candle]:
        """The newest `count` candles that open in `[start_ms, before_ms)`, oldest first; `Problem` when it is down."""


class History:
    """Reads from memory where that is complete, and else from the store, with newer versions of the hub merged in."""

    def __init__(
        self, stored: StoredCandles, cache: CandleCache, *, local_ms: Callable[[], int] = monotonic_ms
    ) -> None:
        self._stored = stored
        self._cache = cache
        self._local_ms = local_ms

    async def newest(
        self, key: SeriesKey, count: int, before_ms: int | None = None, *, from_memory: bool = False
    ) -> list[Candle]:
        """The newest `count` candles that open before a time, the forming one included, oldest first. `from_memory`
        reads memory even when it was filled long ago, if no message was missed since: only changes by an importer may
        be missing. `Problem` when the candles are only in the store, and it is down.
        """
        now_ms = self._local_ms()
        known = self._cache.last(key, count, before_ms, now_ms, allow_stale=from_memory)
        if known is not None and (len(known) == count or not from_memory):
            return known
        try:
            return await self._from_store(key, count, before_ms, now_ms)
        except Problem as problem:
            if problem.code == UNREADABLE:
                raise
            held = self._cache.series(key).last(count, before_ms, now_ms, allow_stale=True)
            if not held:
                raise
            return held

    async def between(self, key: SeriesKey, start_ms: int, end_ms: int, count: int) -> list[Candle]:
        """The newest `count` candles that open in `[start_ms, end_ms)`, oldest first; `Problem` without the store."""
        stored = await self._stored.candles(key, count=count, start_ms=start_ms, before_ms=end_ms)
        cached = [candle for candle in self._cache.contents(key) if start_ms <= candle.open_time < end_ms]
        return newest_versions(stored, cached)[-count:]

    async def warm(self, keys: Iterable[SeriesKey]) -> None:
        """Fills the memory, so that first requests are answered from it."""
        for key in keys:
            try:
                await self._from_store(key, self._cache.size, None, self._local_ms())
            except Problem as problem:
                _log.warning("candle_cache_not_warmed", reason=problem.message)
                if problem.code != UNREADABLE:
                    return
            await asyncio.sleep(0)

    async def _from_store(self, key: SeriesKey, count: int, before_ms: int | None, now_ms: int) -> list[Candle]:
        series = self._cache.series(key)
        if before_ms is None and count <= self._cache.size:
            series.fill(await self._stored.candles(key, count=self._cache.size), now_ms)
            return series.contents()[-count:]
        stored = await self._stored.candles(key, count=count, before_ms=before_ms)
        return newest_versions(stored, series.contents(before_ms))[-count:]
