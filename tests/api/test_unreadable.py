"""What is stored and cannot be read: answers that would need it say so, all others are as ever."""

from typing import Any

import pytest
from pymongo import MongoClient

from sinks.mongo.documents import INCIDENTS, MARKET_DATA
from sinks.trades.codec import encode_key
from sinks.trades.store import TradeStore
from tests.fakes.bad_records import put
from tests.fakes.candles import BEGIN, gap
from tests.fakes.interface import Deployment, interface, stored_candles, trade

MINUTE = 60_000
BAD = 3 * MINUTE + BEGIN
UNREADABLE = (500, "unreadable_data")


def change(deployment: Deployment, collection: str, of: dict[str, Any], fields: dict[str, Any]) -> None:
    with MongoClient[dict[str, Any]](deployment.mongod_uri) as client:
        assert client[deployment.database][collection].update_one(of, fields).matched_count


async def test_a_candle_that_is_none_is_an_error_of_the_answers_that_hold_it(deployment: Deployment) -> None:
    deployment.store([*stored_candles(), *stored_candles(symbol="ETHUSDT")])
    change(deployment, MARKET_DATA, {"symbol": "BTCUSDT", "open_time": BAD}, {"$set": {"volume": "much"}})
    async with interface(deployment) as running:
        for path in (
            "/api/candles/BTCUSDT/1m?start=0",
            "/api/chart/BTCUSDT/1m",
            "/api/indicators/BTCUSDT/1m?names=rsi",
        ):
            assert await running.error(path) == UNREADABLE, path
        later = await running.data(f"/api/candles/BTCUSDT/1m?start={BAD + MINUTE}")
        assert len(later["candles"]) == 6
        assert len((await running.data("/api/candles/ETHUSDT/1m?start=0"))["candles"]) == 10
        assert running.services.mongo.watch.state.up


async def test_names_and_words_that_are_none_hide_nothing(deployment: Deployment) -> None:
    deployment.store([*stored_candles(), *stored_candles(symbol="ETHUSDT"), *stored_candles(symbol="SOLUSDT")])
    of: dict[str, Any] = {"symbol": "SOLUSDT"}
    for minute, fields in enumerate(
        [
            {"symbol": 7},
            {"symbol": None},
            {"timeframe": "7x"},
            {"timeframe": []},
            {"open_time": "now"},
            {"open_time": 1 << 62},
            {"status": None},
            {"proof": 5},
            {"updated_at": "now"},
        ]
    ):
        change(deployment, MARKET_DATA, {**of, "open_time": BEGIN + minute * MINUTE}, {"$set": fields})
    async with interface(deployment) as running:
        quality = await running.data("/api/quality")
        counted = {(row["symbol"], row["timeframe"]): row["candles"] for row in quality["series"]}
        assert counted == {("BTCUSDT", "1m"): 10, ("ETHUSDT", "1m"): 10, ("SOLUSDT", "1m"): 3, ("SOLUSDT", "7x"): 1}
        assert len((await running.data("/api/candles/BTCUSDT/1m?start=0"))["candles"]) == 10
        last = await running.data(f"/api/candles/SOLUSDT/1m?start={BEGIN + 9 * MINUTE}")
        assert len(last["candles"]) == 1


async def test_an_entry_of_the_ledger_that_is_none_is_an_error(deployment: Deployment) -> None:
    deployment.store([*stored_candles(), gap(1), gap(2)])
    change(deployment, INCIDENTS, {"first_id": 1}, {"$unset": {"outcome": ""}})
    async with interface(deployment) as running:
        assert await running.error("/api/quality") == UNREADABLE


async def test_a_record_that_is_none_is_an_error_of_the_answers_that_hold_it(deployment: Deployment) -> None:
    deployment.store(stored_candles())
    deployment.store_trades([trade(number, BEGIN + number * 20_000) for number in range(1, 20)])
    part = deployment.trades_path / "binance" / "part-00"
    with TradeStore(part) as store:
        put(store, encode_key("BTCUSDT", BEGIN + 100_000), b"anything")
    async with interface(deployment) as running:
        assert await running.error("/api/trades?symbol=BTCUSDT&limit=100") == UNREADABLE
        assert await running.error("/trades.arrow?symbol=BTCUSDT") == UNREADABLE
        assert await running.error("/api/volume-profile/BTCUSDT?min_trades=1") == UNREADABLE
        newest = await running.data("/api/trades?symbol=BTCUSDT&limit=5")
        assert [row["id"] for row in newest["trades"]] == [15, 16, 17, 18, 19]
        earlier = await running.data(f"/api/trades?symbol=BTCUSDT&start={BEGIN}&end={BEGIN + MINUTE}")
        assert [row["id"] for row in earlier["trades"]] == [1, 2]
        [held] = (await running.data("/api/quality"))["trades"]
        assert (held["held"], held["issued"]) == (18, 19)
        assert running.services.trades.watch.state.up


@pytest.mark.parametrize("number", [1, 19])
async def test_the_first_and_the_newest_record(deployment: Deployment, number: int) -> None:
    deployment.store(stored_candles())
    deployment.store_trades([trade(each, BEGIN + each * 20_000) for each in range(1, 20)])
    with TradeStore(deployment.trades_path / "binance" / "part-00") as store:
        put(store, encode_key("BTCUSDT", BEGIN + number * 20_000), b"anything")
    async with interface(deployment) as running:
        if number == 1:
            newest = await running.data("/api/trades?symbol=BTCUSDT&limit=3")
            assert [row["id"] for row in newest["trades"]] == [17, 18, 19]
        else:
            assert await running.error("/api/trades?symbol=BTCUSDT&limit=3") == UNREADABLE
