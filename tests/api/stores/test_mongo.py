"""Reads of a real mongod, and errors while it is down."""

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
async def mongo(deployment: Deployment) -> AsyncIterator[MongoStore]:
    made = MongoStore(deployment.settings().mongo, timeout_s=5)
    await made.check()
    yield made
    await made.close()


async def closes(mongo: MongoStore, key: SeriesKey = KEY, **span: Any) -> list[float]:
    return [one.close for one in await mongo.candles(key, **span)]


async def test_the_newest_of_a_span_come_oldest_first(mongo: MongoStore, deployment: Deployment) -> None:
    deployment.store(stored_candles())
    assert await closes(mongo, count=3) == [107.0, 108.0, 109.0]
    span: dict[str, Any] = {"start_ms": BEGIN + 2 * MINUTE, "before_ms": BEGIN + 6 * MINUTE}
    assert await closes(mongo, count=10, **span) == [102.0, 103.0, 104.0, 105.0]
    assert await closes(mongo, count=2, **span) == [104.0, 105.0]
    assert await closes(mongo, count=10, start_ms=BEGIN + 10 * MINUTE) == []


async def test_series_are_kept_apart(mongo: MongoStore, deployment: Deployment) -> None:
    others = [KEY._replace(venue="binance-usdm"), KEY._replace(symbol="ETHUSDT"), KEY._replace(timeframe="5m")]
    deployment.store([candle(close=float(number), **key._asdict()) for number, key in enumerate([KEY, *others])])
    assert [await closes(mongo, key, count=9) for key in [KEY, *others]] == [[0.0], [1.0], [2.0], [3.0]]
    assert sorted(await mongo.venues()) == ["binance", "binance-usdm"]
    assert await mongo.symbols("binance") == ["BTCUSDT", "ETHUSDT"]
    assert await mongo.symbols("nowhere") == []


async def test_candles_are_counted_by_status_and_proof(mongo: MongoStore, deployment: Deployment) -> None:
    proven = [candle(minute, proof="equal") for minute in range(3)]
    deployment.store([*proven, candle(3, status="partial"), candle(0, symbol="ETHUSDT")])
    rows = await mongo.candle_counts("binance", "BTCUSDT")
    of = {"symbol": "BTCUSDT", "timeframe": "1m"}
    found = [(row["_id"], row["candles"], row["first"], row["last"]) for row in rows]
    assert sorted(found, key=lambda row: -row[1]) == [
        (of | {"status": "final", "proof": "equal"}, 3, BEGIN, BEGIN + 2 * MINUTE),
        (of | {"status": "partial", "proof": ""}, 1, BEGIN + 3 * MINUTE, BEGIN + 3 * MINUTE),
    ]
    assert {row["_id"]["symbol"] for row in await mongo.candle_counts("binance", None)} == {"BTCUSDT", "ETHUSDT"}


async def test_incidents_of_a_symbol_are_its_own_and_those_of_the_venue(
    mongo: MongoStore, deployment: Deployment
) -> None:
    named = ("BTCUSDT", "ETHUSDT", "", "BTCUSDT")
    deployment.store([gap(number, symbol=symbol, begin=BEGIN + number) for number, symbol in enumerate(named)])

    async def ids(symbol: str | None, count: int) -> list[int]:
        return [one.first_id for one in await mongo.incidents("binance", symbol, count)]

    assert (await ids("BTCUSDT", 9), await ids("ETHUSDT", 9), await ids("SOLUSDT", 9)) == ([3, 2, 0], [2, 1], [2])
    assert (await ids(None, 9), await ids(None, 2)) == ([3, 2, 1, 0], [3, 2])


async def test_before_the_first_check_it_is_down_and_calls_fail_at_once(deployment: Deployment) -> None:
    mongo = MongoStore(deployment.settings().mongo, timeout_s=5)
    with pytest.raises(Problem, match=r"\(mongo.uri\): not tried yet") as refused:
        await mongo.venues()
    assert (refused.value.code, refused.value.retry_after_s) == ("store_unavailable", 2)
    await mongo.check()
    assert await mongo.venues() == []
    await mongo.close()
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        indexes = client[deployment.database][REQUESTS].index_information()
    assert {"queue", "same", "expiry"} <= indexes.keys(), "what the API writes is indexed from the first look on"


async def test_long_texts_of_the_driver_are_shortened(mongo: MongoStore) -> None:
    said = (
        "127.0.0.1:1: [Errno 111] Connect call failed ('127.0.0.1', 1) (configured timeouts: socketTimeoutMS: 300.0ms, "
        "connectTimeoutMS: 300.0ms), Timeout: 0.3s, Topology Description: <TopologyDescription id: 6b01b33f>"
    )
    with pytest.raises(
        Problem, match=r"\(mongo.uri\): 127.0.0.1:1: \[Errno 111\] Connect call failed \('127.0.0.1', 1\)$"
    ):
        async with mongo.guarded():
            raise ServerSelectionTimeoutError(said)


async def test_a_server_that_is_too_slow_is_away_until_it_is_seen_again(
    mongo: MongoStore, deployment: Deployment
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
    assert await closes(mongo, count=1) == await closes(slow, count=1) == [100.0]
    await slow.close()


async def test_other_errors_within_a_call_do_not_mark_the_server_down(mongo: MongoStore) -> None:
    with pytest.raises(ZeroDivisionError):
        async with mongo.guarded():
            raise ZeroDivisionError
    assert mongo.watch.state.up
    with pytest.raises(Problem, match=r"does not answer.*: gone$") as refused:
        async with mongo.guarded():
            raise AutoReconnect("gone")
    assert (refused.value.code, mongo.watch.state.up) == ("store_unavailable", False)
