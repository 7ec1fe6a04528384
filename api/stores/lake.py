"""Stored candles, with those of the lake where the database has none any more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey
from api.stores.history import UNREADABLE, StoredCandles
from flows.model import Candle
from flows.modules.late import late_module
from sinks.lake.candles import LakeCandles
from sinks.lake.manifest import LakeError
from sinks.lake.place import Lake

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

LATEST_MS: Final = 1 << 62


class WithLake:
    """The candles of a store and of a lake in one list. `Problem` as of the store, and where a file of the lake cannot
    be read.
    """

    def __init__(self, stored: StoredCandles, lake: Lake) -> None:
        self._stored = stored
        self._lake = lake

    async def candles(
        self, key: SeriesKey, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[Candle]:
        """The newest `count` candles that open in `[start_ms, before_ms)`, oldest first."""
        stored = await self._stored.candles(key, count=count, start_ms=start_ms, before_ms=before_ms)
        older = LakeCandles(self._lake, key.venue)
        of, end = (key.symbol, key.timeframe), LATEST_MS if before_ms is None else before_ms
        try:
            return await asyncio.to_thread(older.merged, stored, of, start_ms, end, count)
        except (LakeError, pl.exceptions.PolarsError) as error:
            raise Problem(UNREADABLE, " ".join(str(error).split())) from error

    async def symbols(self, venue: str) -> set[str]:
        """The symbols with candles in the lake; none where that cannot be read: an answer about one of them says so."""
        try:
            return await asyncio.to_thread(LakeCandles(self._lake, venue).symbols)
        except LakeError:
            return set()
