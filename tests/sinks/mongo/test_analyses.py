"""Readings go into a real server and come back."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from pymongo import AsyncMongoClient
from pymongo.database import Database

from flows.model import DAY_MS
from sinks.mongo.analyses import MARKET_ANALYSIS, AnalysisStore, StoredAnalysis
from tests.fakes.candles import BEGIN

READING = StoredAnalysis(
    "binance",
    "BTCUSDT",
    BEGIN + 3_000,
    101.5,
    {"signal": "up", "score": 0.25, "confidence": 0.5, "timeframes": [{"timeframe": "1m"}], "reasons": ["so it is"]},
)


def after(minutes: int, *, seconds: int = 3, **changes: Any) -> StoredAnalysis:
    """The reading of a later minute."""
    return msgspec.structs.replace(READING, time=BEGIN + minutes * 60_000 + seconds * 1_000, **changes)


@pytest.fixture
async def store(mongod_uri: str, mongo_database: Database[dict[str, Any]]) -> AsyncIterator[AnalysisStore]:
    async with AsyncMongoClient[dict[str, Any]](mongod_uri, tz_aware=True) as client:
        store = AnalysisStore(client[mongo_database.name])
        await store.ensure_indexes()
        yield store


async def test_a_document_is_the_whole_reading(store: AnalysisStore, mongo_database: Database[dict[str, Any]]) -> None:
    await store.store([READING], retention_days=7)

    (document,) = mongo_database[MARKET_ANALYSIS].find({}, {"_id": 0})
    kept = document.pop("expires_at") - document.pop("updated_at")
    assert kept.total_seconds() * 1_000 == 7 * DAY_MS
    assert document == {
        "venue": "binance",
        "symbol": "BTCUSDT",
        "minute": BEGIN,
        "time": BEGIN + 3_000,
        "price": 101.5,
        **READING.values,
    }


async def test_a_minute_has_one_document_the_last_one(
    store: AnalysisStore, mongo_database: Database[dict[str, Any]]
) -> None:
    for price in (1.0, 2.0, 2.0):
        await store.store([after(0, price=price), after(1, price=price)], retention_days=7)

    found = mongo_database[MARKET_ANALYSIS].find().sort("minute")
    assert [(document["minute"], document["price"]) for document in found] == [(BEGIN, 2.0), (BEGIN + 60_000, 2.0)]


async def test_the_newest_of_a_span_come_oldest_first_and_short(store: AnalysisStore) -> None:
    others = [after(2, symbol="ETHUSDT"), after(2, venue="kraken")]
    await store.store([*map(after, range(5)), *others], retention_days=7)

    async def minutes(**span: Any) -> list[int]:
        return [(one["minute"] - BEGIN) // 60_000 for one in await store.newest("binance", "BTCUSDT", **span)]

    assert await minutes(count=3) == [2, 3, 4]
    assert await minutes(count=9, start_ms=BEGIN + 60_000, before_ms=BEGIN + 180_000) == [1, 2]
    (newest,) = await store.newest("binance", "BTCUSDT", count=1)
    assert newest.keys() >= {"signal", "score", "time"}
    assert not newest.keys() & {"_id", "timeframes", "reasons"}


@pytest.mark.usefixtures("store")
def test_what_is_past_its_time_goes(mongo_database: Database[dict[str, Any]]) -> None:
    indexes = mongo_database[MARKET_ANALYSIS].index_information()
    assert indexes["expiry"]["expireAfterSeconds"] == 0
    assert indexes["minute"]["unique"]


async def test_without_retention_it_is_kept_for_ever(
    store: AnalysisStore, mongo_database: Database[dict[str, Any]]
) -> None:
    await store.store([READING], retention_days=0)

    (document,) = mongo_database[MARKET_ANALYSIS].find()
    assert document["expires_at"] is None
