"""Stores the analysis of every instrument of the hubs once a minute."""

import asyncio
from collections.abc import AsyncIterator
from typing import Final

import msgspec
import structlog

from api.analysis import AnalysisService
from api.http.errors import Problem
from api.live.freshness import now_ms
from api.live.view import LiveView
from api.stores.history import UNREADABLE
from api.stores.mongo import MongoStore
from sinks.mongo.analyses import StoredAnalysis
from sinks.mongo.documents import MINUTE_MS

SETTLE_MS: Final = 3_000
"""Delay after a full minute of the feed's time at which a round begins: by then the closed candles have arrived."""

_log = structlog.get_logger(__name__)


def wait_ms(feed_ms: int) -> int:
    """Time from a moment of the feed to the next round, ms, at most a minute."""
    return MINUTE_MS - (feed_ms - SETTLE_MS) % MINUTE_MS


class AnalysisRecorder:
    """One round a minute of the feed. Rounds never overlap: minutes that pass during a long round are skipped.

    An instrument without a candle, or with a stale one, gets no document for that minute. Failures are logged, and the
    next round tries again.
    """

    def __init__(self, analysis: AnalysisService, live: LiveView, mongo: MongoStore, *, retention_days: float) -> None:
        self._analysis = analysis
        self._live = live
        self._mongo = mongo
        self._retention_days = retention_days

    async def follow(self) -> None:
        """Records now and then every minute, until cancelled."""
        while True:
            try:
                await self.record()
            except Problem as problem:
                _log.warning("analyses_not_stored", reason=problem.message)
            except Exception:  # noqa: BLE001 - any failure: the next minute tries again
                _log.exception("analyses_not_stored")
            await asyncio.sleep(wait_ms(now_ms(self._live.venue_states()) or 0) / 1_000)

    async def record(self) -> int:
        """Stores the current analyses and returns their number. `Problem` when the store is down."""
        found = [analysis async for analysis in self._read_all()]
        if found:
            async with self._mongo.guarded():
                await self._mongo.analyses.store(found, retention_days=self._retention_days)
        return len(found)

    async def _read_all(self) -> AsyncIterator[StoredAnalysis]:
        for venue in sorted({venue_state.venue for venue_state in self._live.venue_states()}):
            time = now_ms(self._live.venue_states(venue))
            for symbol in sorted(self._live.symbols(venue)) if time else ():
                try:
                    result = await self._analysis.read(venue, symbol, from_memory=True)
                except Problem as problem:
                    if problem.code != UNREADABLE:
                        raise
                    _log.warning("analysis_not_stored", symbol=symbol, reason=problem.message)
                    continue
                if result.newest and not result.stale:
                    values = msgspec.to_builtins(result.analysis)
                    yield StoredAnalysis(venue, symbol, time or 0, result.newest.close, values)
                await asyncio.sleep(0)  # lets requests in: an analysis takes some milliseconds
