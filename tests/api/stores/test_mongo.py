"""What is read of a real mongod, and what is said while it does not answer."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.errors import AutoReconnect, ServerSelectionTimeoutError

from api.http.errors import Problem
from api.live.candle_cache import SeriesKey
from api.stores.mongo import MongoStore
from sinks.mongo.commands import REQUESTS
from tests.fakes.candles import BEGIN, candle, gap
from tests.fakes.interface import Deployment, stored_candles

MINUTE = 60_000
KEY = SeriesKey("binance", "BTCUSDT", "1m")


@pytest.fixture
async def documents(deployment: Deployment) -> AsyncIterator[MongoStore]:
    made = MongoStore(deployment.settings().mongo, timeout_s=5)
    await made.check()
    yield made
    await made.close()


async def closes(documents: MongoStore, key: SeriesKey = KEY, **span: Any) -> list[float]:
    return [one.close for one in await documents.candles(key, **span)]


async def test_the_newest_of_a_span_come_oldest_first(documents: MongoStore, deployment: Deployment) -> None:
    deployment.store(stored_candles())
    assert await closes(documents, count=3) == [107.0, 108.0, 109.0]
    span: dict[str, Any] = {"start_ms": BEGIN + 2 * MINUTE, "before_ms": BEGIN + 6 * MINUTE}
    assert await closes(documents, count=10, **span) == [102.0, 103.0, 104.0, 105.0]
    assert await closes(documents, count=2, **span) == [104.0, 105.0]
    assert await closes(documents, count=10, start_ms=BEGIN + 10 * MINUTE) == []


async def test_series_are_told_apart(documents: MongoStore, deployment: Deployment) -> None:
    others = [KEY._replace(venue="binance-usdm"), KEY._replace(symbol="ETHUSDT"), KEY._replace(timeframe="5m")]
    deployment.store([candle(close=float(number), **key._asdict()) for number, key in enumerate([KEY, *others])])
    assert [await closes(documents, key, count=9) for key in [KEY, *others]] == [[0.0], [1.0], [2.0], [3.0]]
    assert sorted(await documents.venues()) == ["binance", "binance-usdm"]
    assert await documents.symbols("binance") == ["BTCUSDT", "ETHUSDT"]
    assert await documents.symbols("nowhere") == []


async def test_candles_are_counted_by_status_and_proof(documents: MongoStore, deployment: Deployment) -> None:
    proven = [candle(minute, proof="equal") for minute in range(3)]
    deployment.store([*proven, candle(3, status="partial"), candle(0, symbol="ETHUSDT")])
    rows = await documents.candle_counts("binance", "BTCUSDT")
    of = {"symbol": "BTCUSDT", "timeframe": "1m"}
    found = [(row["_id"], row["candles"], row["first"], row["last"]) for row in rows]
    assert sorted(found, key=lambda row: -row[1]) == [
        (of | {"status": "final", "proof": "equal"}, 3, BEGIN, BEGIN + 2 * MINUTE),
        (of | {"status": "partial", "proof": ""}, 1, BEGIN + 3 * MINUTE, BEGIN + 3 * MINUTE),
    ]
    assert {row["_id"]["symbol"] for row in await documents.candle_counts("binance", None)} == {"BTCUSDT", "ETHUSDT"}


async def test_incidents_of_a_symbol_are_its_own_and_those_of_the_venue(
    documents: MongoStore, deployment: Deployment
) -> None:
    named = ("BTCUSDT", "ETHUSDT", "", "BTCUSDT")
    deployment.store([gap(number, symbol=symbol, begin=BEGIN + number) for number, symbol in enumerate(named)])

    async def ids(symbol: str | None, count: int) -> list[int]:
        return [one.first_id for one in await documents.incidents("binance", symbol, count)]

    assert (await ids("BTCUSDT", 9), await ids("ETHUSDT", 9), await ids("SOLUSDT", 9)) == ([3, 2, 0], [2, 1], [2])
    assert (await ids(None, 9), await ids(None, 2)) == ([3, 2, 1, 0], [3, 2])


async def test_before_it_was_looked_for_it_is_away_and_nobody_waits(deployment: Deployment) -> None:
    documents = MongoStore(deployment.settings().mongo, timeout_s=5)
    with pytest.raises(Problem, match=r"\(mongo.uri\): not tried yet") as refused:
        await documents.venues()
    assert (refused.value.code, refused.value.retry_after_s) == ("store_unavailable", 2)
    await documents.check()
    assert await documents.venues() == []
    await documents.close()
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        indexes = client[deployment.database][REQUESTS].index_information()
    assert {"queue", "same", "expiry"} <= indexes.keys(), "what the API writes is indexed from the first look on"


async def test_what_the_driver_says_at_length_is_told_in_few_words(documents: MongoStore) -> None:
    said = (
        "127.0.0.1:1: [Errno 111] Connect call failed ('127.0.0.1', 1) (configured timeouts: socketTimeoutMS: 300.0ms, "
        "connectTimeoutMS: 300.0ms), Timeout: 0.3s, Topology Description: <TopologyDescription id: 6b01b33f>"
    )
    with pytest.raises(
        Problem, match=r"\(mongo.uri\): 127.0.0.1:1: \[Errno 111\] Connect call failed \('127.0.0.1', 1\)$"
    ):
        async with documents.guarded():
            raise ServerSelectionTimeoutError(said)


async def test_a_server_that_is_too_slow_is_away_until_it_is_seen_again(
    documents: MongoStore, deployment: Deployment
) -> None:
    slow = MongoStore(deployment.settings().mongo, timeout_s=0.25)
    await slow.check()
    deployment.store(stored_candles(1))
    held = {"failCommands": ["find"], "blockConnection": True, "blockTimeMS": 2_000, "appName": "marketflow-api"}
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        client.admin.command("configureFailPoint", "failCommand", mode="alwaysOn", data=held)
        try:
            with pytest.raises(Problem, match="the candle store does not answer"):
                await slow.candles(KEY, count=1)
        finally:
            client.admin.command("configureFailPoint", "failCommand", mode="off")
    assert (slow.watch.state.up, slow.watch.failures) == (False, 1)
    with pytest.raises(Problem):
        await slow.candles(KEY, count=1)
    await slow.check()
    assert await closes(documents, count=1) == await closes(slow, count=1) == [100.0]
    await slow.close()


async def test_what_others_raise_within_says_nothing_of_the_server(documents: MongoStore) -> None:
    with pytest.raises(ZeroDivisionError):
        async with documents.guarded():
            raise ZeroDivisionError
    assert documents.watch.state.up
    with pytest.raises(Problem, match=r"does not answer.*: gone$") as refused:
        async with documents.guarded():
            raise AutoReconnect("gone")
    assert (refused.value.code, documents.watch.state.up) == ("store_unavailable", False)
