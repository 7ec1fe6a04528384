"""Reads MongoDB for the API: a pool of connections, a bound on every wait, and a store that is down is known to be.

The driver must not be cancelled while it works: it may leave a socket open that nobody knows, or take the cancellation
for a broken connection and try again. So before the end comes, `drain` waits for whoever is using it.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

import pymongo
import structlog
from pymongo import DESCENDING, AsyncMongoClient
from pymongo.errors import PyMongoError

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey
from api.stores.health import Watch
from flows.model import Candle, Incident
from flows.settings import Mongo
from sinks.mongo.analyses import AnalysisStore
from sinks.mongo.commands import CommandClient
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, candle_of, incident_of

CHECK_S: Final = 2.0
"""Time between two looks whether the server is there."""
ANSWER_S: Final = 2.0
"""Longest wait for a server that may be away."""

_log = structlog.get_logger(__name__)


class MongoStore:
    """The document store. While the server is away, every method raises `Problem` at once instead of waiting for it."""

    def __init__(self, settings: Mongo, *, timeout_s: float) -> None:
        answer_ms = int(ANSWER_S * 1_000)
        self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
            settings.uri,
            appname="marketflow-api",
            maxPoolSize=settings.pool,
            serverSelectionTimeoutMS=answer_ms,
            connectTimeoutMS=answer_ms,
            serverMonitoringMode="poll",  # the other one opens lines of its own, which the end may meet half open
            tz_aware=True,
        )
        self._database = self._client[settings.database]
        self._timeout_s = timeout_s
        self._indexed = False
        self._uses = 0
        self._unused = asyncio.Event()
        self._ends = False
        self.commands = CommandClient(self._database)
        """What is asked of the flow; to be used within `guarded`."""
        self.analyses = AnalysisStore(self._database)
        """What was read of the market; to be used within `guarded`."""
        self.watch = Watch("mongodb")

    async def follow(self) -> None:
        """Looks again and again whether the server is there, until it is cancelled."""
        while True:
            await self.check()
            await asyncio.sleep(CHECK_S)

    async def check(self) -> None:
        """Looks whether the server is there, and makes the indexes of what the API writes when it comes."""
        try:
            async with self._used(ANSWER_S):
                await self._database.command("ping")
                if not self._indexed:
                    await self.commands.ensure_indexes()
                    await self.analyses.ensure_indexes()
                    self._indexed = True
        except PyMongoError as error:
            self._on_failure(error)
        else:
            self.watch.report(up=True)

    async def drain(self) -> None:
        """Waits for those who use the store, for as long as they may; who comes later waits to be cancelled."""
        self._ends = True
        while self._uses:
            self._unused.clear()
            await self._unused.wait()

    async def close(self) -> None:
        """Lets go of the connections."""
        with suppress(PyMongoError):
            await self._client.close()

    @asynccontextmanager
    async def guarded(self) -> AsyncIterator[None]:
        """Around every use: a bound on the time, and `Problem` when the server does not answer."""
        if not self.watch.state.up:
            raise self._unavailable()
        try:
            async with self._used(self._timeout_s):
                yield
        except PyMongoError as error:
            self._on_failure(error)
            raise self._unavailable() from error

    @asynccontextmanager
    async def _used(self, timeout_s: float) -> AsyncIterator[None]:
        if self._ends:
            await asyncio.Event().wait()
        self._uses += 1
        try:
            with pymongo.timeout(timeout_s):
                yield
        finally:
            self._uses -= 1
            self._unused.set()

    def _on_failure(self, error: PyMongoError) -> None:
        reason = str(error).partition(" (configured timeouts")[0].partition(", Timeout:")[0]
        if self.watch.state.up:
            _log.error("mongod does not answer", reason=reason)
        self.watch.report(up=False, reason=reason)

    def _unavailable(self) -> Problem:
        return Problem(
            "store_unavailable",
            f"the candle store does not answer (mongo.uri): {self.watch.state.reason}",
            retry_after_s=2,
        )

    # --- candles ---

    async def candles(
        self, key: SeriesKey, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[Candle]:
        """The newest `count` stored candles that open in `[start_ms, before_ms)`, oldest first."""
        span = {"$gte": start_ms} | ({} if before_ms is None else {"$lt": before_ms})
        found = {**key._asdict(), "open_time": span}
        async with self.guarded():
            newest = self._database[MARKET_DATA].find(found).sort("open_time", DESCENDING).limit(count)
            documents = await newest.to_list()
        return [candle_of(document) for document in reversed(documents)]

    async def venues(self) -> list[str]:
        """The venues of which candles are stored."""
        async with self.guarded():
            return await self._database[MARKET_DATA].distinct("venue")

    async def symbols(self, venue: str) -> list[str]:
        """The symbols of which candles are stored."""
        async with self.guarded():
            return sorted(await self._database[MARKET_DATA].distinct("symbol", {"venue": venue}))

    async def candle_counts(self, venue: str, symbol: str | None) -> list[dict[str, Any]]:
        """By symbol and timeframe: candles by `status` and by `proof`, open time of the first and the last, and
        whether the last one is closed. It reads the whole collection of the venue.
        """
        of = {"venue": venue} | ({} if symbol is None else {"symbol": symbol})
        group = {
            "_id": {
                "symbol": "$symbol",
                "timeframe": "$timeframe",
                "status": "$status",
                "proof": {"$ifNull": ["$proof", ""]},
            },
            "candles": {"$sum": 1},
            "first": {"$min": "$open_time"},
            "last": {"$max": "$open_time"},
            "updated": {"$max": "$updated_at"},
        }
        async with self.guarded():
            cursor = await self._database[MARKET_DATA].aggregate([{"$match": of}, {"$group": group}])
            return await cursor.to_list()

    async def incidents(self, venue: str, symbol: str | None, count: int) -> list[Incident]:
        """The newest incidents, newest first."""
        of = {"venue": venue} | ({} if symbol is None else {"symbol": {"$in": [symbol, ""]}})
        async with self.guarded():
            documents = await self._database[INCIDENTS].find(of).sort("begin", DESCENDING).limit(count).to_list()
        return [incident_of(document) for document in documents]
