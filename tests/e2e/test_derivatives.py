"""USD-M futures in a whole deployment: replay exchange ▶ flow ▶ MongoDB, hub and REST, with a kill in between."""

import asyncio
import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from pymongo import MongoClient

from flows.recovery import prepare
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import START_S, flow_settings, free_port, hub_client, running_flow, running_interface
from tests.fakes.twins import recovering

pytestmark = pytest.mark.e2e

SYMBOL, VENUE = "BTCUSDT", "binance-usdm"
SPEED = 10.0
FUNDING = int(datetime(2026, 1, 1, 8, tzinfo=UTC).timestamp() * 1_000)
BEGIN = FUNDING - 20_000
"""The market begins shortly before a payment, so that the flow is killed before it, or at it."""
KINDS = ["aggTrade", "kline", "markPrice", "forceOrder", "contractInfo"]


def settings_for(folder: Path, exchange: ThreadedExchange, mongod_uri: str) -> dict[str, Any]:
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__venue=VENUE, feed__symbols=[SYMBOL], feed__streams=KINDS, feed__open_interest_s=1.0,
        feed__backoff_min_s=0.1, feed__kline_limit=5, feed__timeframes=["1m"], feed__request_pause_ms=0,
        hub__port=free_port(),
    )  # fmt: skip


def payments(exchange: ThreadedExchange, start: int) -> dict[int, float]:
    """What the exchange itself says was settled, rate by time."""
    url = f"{exchange.rest_url}/fapi/v1/fundingRate?symbol={SYMBOL}&startTime={start}&limit=1000"
    with urlopen(url, timeout=60) as answer:
        return {row["fundingTime"]: float(row["fundingRate"]) for row in json.load(answer)}


def answer_of(url: str) -> dict[str, Any]:
    with urlopen(url, timeout=60) as answer:
        body: dict[str, Any] = json.load(answer)
        assert body["success"], body
        data: dict[str, Any] = body["data"]
        return data


async def until_stored(
    mongo: MongoClient[dict[str, Any]], database: str, collection: str, where: Any, least: int
) -> None:
    async with asyncio.timeout(START_S):
        while await asyncio.to_thread(mongo[database][collection].count_documents, where) < least:
            await asyncio.sleep(0.2)


async def test_no_payment_is_lost_and_no_liquidation_is_there_twice(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "derivatives"
    folder.mkdir()
    prepare(folder / "recovery")
    market = SyntheticMarket("usdm", [SYMBOL], seed=3, start_ms=BEGIN, trades_per_s=5.0)
    with exchange_in_thread(market, speed=SPEED) as exchange, MongoClient[dict[str, Any]](mongod_uri) as mongo:
        settings = settings_for(folder, exchange, mongod_uri)
        database = mongo[folder.name]
        told: list[dict[str, Any]] = []
        async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("MarkPrice", "Funding", "OpenInterest", "Liquidation")
            await client.until(lambda message: message["type"] == "MarkPrice")
            await until_stored(mongo, folder.name, "liquidations", {}, 2)
            await flow.kill()
        assert flow.running is False
        async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("MarkPrice", "Funding", "OpenInterest", "Liquidation")
            await until_stored(mongo, folder.name, "funding_rates", {"time": {"$gte": FUNDING}}, 1)
            stored_before = await asyncio.to_thread(database["liquidations"].count_documents, {})
            await until_stored(mongo, folder.name, "liquidations", {}, stored_before + 2)
            await until_stored(mongo, folder.name, "open_interest", {"value": None}, 3)
            current = await client.until(
                lambda message: message["type"] == "Funding" and message["data"]["last"] is not None
            )
            async with running_interface(folder, **settings) as interface:
                await _answers(interface.url, current["data"])
            told = client.messages
            assert await flow.stop() == 0, flow.said()

        stored = list(database["funding_rates"].find({"venue": VENUE, "symbol": SYMBOL}).sort("time"))
        theirs = payments(exchange, stored[0]["time"])
        assert {row["time"]: row["rate"] for row in stored} == {
            time: rate for time, rate in theirs.items() if time <= stored[-1]["time"]
        }
        assert len(stored) >= 90
        assert FUNDING in theirs

        orders = [
            (row["time"], row["side"], row["price"], row["quantity"]) for row in database["liquidations"].find({})
        ]
        assert Counter(Counter(orders).values()) == {1: len(orders)}
        interest = [row["time"] for row in database["open_interest"].find({}).sort("time")]
        assert interest == sorted(set(interest))
        minutes = [row["minute"] for row in database["mark_prices"].find({})]
        assert len(minutes) == len(set(minutes)) >= 1
        assert "messages_refused" not in flow.said()
        prices = [message["data"] for message in told if message["type"] == "MarkPrice"]
        assert [one["timestamp"] for one in prices] == sorted({one["timestamp"] for one in prices})


async def _answers(url: str, current: dict[str, Any]) -> None:
    """REST has what the hub and the store have."""

    async def get(path: str) -> dict[str, Any]:
        return await asyncio.to_thread(answer_of, f"{url}/api/{path}")

    async with asyncio.timeout(START_S):
        while True:
            try:
                marked = await get(f"mark-price/{SYMBOL.lower()}")
                break
            except OSError:
                await asyncio.sleep(0.2)
    assert (marked["venue"], marked["symbol"]) == (VENUE, SYMBOL)
    assert 0.5 < marked["mark_price"] / marked["index_price"] < 2
    funding = await get(f"funding/{SYMBOL}?limit=3")
    assert [row["time"] for row in funding["history"]] == sorted(row["time"] for row in funding["history"])
    assert len(funding["history"]) == 3
    assert funding["current"]["last"] == funding["history"][-1] == current["last"]
    assert (funding["current"]["interval_hours"], funding["current"]["cap"]) == (8, 0.02)
    assert 0 < funding["current"]["in_ms"] <= 8 * 3_600_000
    only = await get(f"funding/{SYMBOL}?start={FUNDING}&end={FUNDING + 1}")
    assert [row["time"] for row in only["history"]] == [FUNDING]
    interest = await get(f"open-interest/{SYMBOL}?limit=5")
    assert len(interest["history"]) == 5
    assert interest["current"]["quantity"] > 0
    orders = await get(f"liquidations/{SYMBOL}")
    assert len(orders["liquidations"]) >= 4
    assert {order["side"] for order in orders["liquidations"]} <= {"BUY", "SELL"}
