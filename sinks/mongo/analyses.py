"""The readings of the market over time, in MongoDB: one document an instrument and minute.

Collection `market_analysis`: `venue symbol minute time price`, then all that `/api/analysis` answers (`signal score
confidence agreement data calm timeframes reasons`), `updated_at` and `expires_at`. `minute` and `time` are of the feed,
ms UTC; the two dates are of the wall clock. Writing a minute again replaces it.
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
"""What the collection is indexed by."""


class StoredAnalysis(Struct, frozen=True):
    """What was read of an instrument at a moment of its feed."""

    venue: str
    symbol: str
    time: int
    """Ms UTC."""
    price: float
    values: Mapping[str, Any]
    """The reading itself, by field."""


def analysis_upsert(analysis: StoredAnalysis, *, now_ms: int, retention_days: float) -> UpdateOne:
    """The write of a reading at `now_ms` (wall clock); it is kept for so many days from then on, with 0 for ever. What
    counts is when it was made, not the feed's time, so the readings of a replay are kept as long as those of today.
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
    """The collection in one database. Every method raises `PyMongoError` when the server is away, refuses, or takes too
    long.
    """

    def __init__(self, database: AsyncDatabase[dict[str, Any]]) -> None:
        self._collection = database[MARKET_ANALYSIS]

    async def ensure_indexes(self) -> None:
        """Makes the indexes that are missing."""
        await self._collection.create_indexes(list(INDEXES))

    async def store(self, analyses: Sequence[StoredAnalysis], *, retention_days: float) -> None:
        """Writes readings, at least one."""
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
