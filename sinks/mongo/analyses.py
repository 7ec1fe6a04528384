"""Stored results of the analysis, in MongoDB: one document for each instrument and minute.

Collection `market_analysis`: `venue symbol minute time price`, then the response of `/api/analysis` (`signal score
confidence agreement data calm timeframes reasons`), `updated_at` and `expires_at`. `minute` and `time` are feed time,
ms UTC; the two dates are the wall clock's. Writing a minute again replaces it.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from bson.datetime_ms import DatetimeMS
from msgspec import Struct
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne
from pymongo.asynchronous.database import AsyncDatabase

from flows.clock import wall_ms
from flows.model import DAY_MS
from sinks.mongo.documents import MINUTE_MS

MARKET_ANALYSIS = "market_analysis"

INDEXES: tuple[IndexModel, ...] = (
    IndexModel([("venue", ASCENDING), ("symbol", ASCENDING), ("minute", DESCENDING)], name="minute", unique=True),
    IndexModel([("expires_at", ASCENDING)], name="expiry", expireAfterSeconds=0),
)
"""The indexes of the collection."""


class StoredAnalysis(Struct, frozen=True):
    """The result for an instrument at a time of its feed."""

    venue: str
    symbol: str
    time: int
    """Ms UTC."""
    price: float
    values: Mapping[str, Any]
    """The other fields of the result."""


def analysis_upsert(analysis: StoredAnalysis, *, now_ms: int, retention_days: float) -> UpdateOne:
    """The write of a result at `now_ms` (wall clock), from which its retention counts; 0 days keeps it for ever. As the
    feed's time does not count, results of a replay are kept as long as those of live data.
    """
    key = {
        "venue": analysis.venue,
        "symbol": analysis.symbol,
        "minute": analysis.time - analysis.time % MINUTE_MS,
    }
    values = {
        **analysis.values,
        "time": analysis.time,
        "price": analysis.price,
        "updated_at": DatetimeMS(now_ms),
        "expires_at": DatetimeMS(now_ms + int(retention_days * DAY_MS)) if retention_days else None,
    }
    return UpdateOne(key, {"$set": values}, upsert=True)


class AnalysisStore:
    """The collection in one database. Every method raises `PyMongoError` when the server is unavailable, refuses, or
    takes too long.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database[MARKET_ANALYSIS]

    async def ensure_indexes(self) -> None:
        """Creates missing indexes."""
        await self._collection.create_indexes(list(INDEXES))

    async def store(self, analyses: Sequence[StoredAnalysis], *, retention_days: float) -> None:
        """Writes results, at least one."""
        now_ms = wall_ms()
        writes = [analysis_upsert(one, now_ms=now_ms, retention_days=retention_days) for one in analyses]
        await self._collection.bulk_write(writes, ordered=False)

    async def newest(
        self, venue: str, symbol: str, *, count: int, start_ms: int = 0, before_ms: int | None = None
    ) -> list[dict[str, Any]]:
        """The newest `count` documents whose minute begins in `[start_ms, before_ms)`, oldest first, without the texts
        and the timeframes.
        """
        span = {"$gte": start_ms} | ({} if before_ms is None else {"$lt": before_ms})
        found = self._collection.find(
            {"venue": venue, "symbol": symbol, "minute": span}, {"_id": 0, "timeframes": 0, "reasons": 0}
        )
        documents = await found.sort("minute", DESCENDING).limit(count).to_list()
        return documents[::-1]
