"""Books and statistics through the house: exchange ▶ flow in a process of its own ▶ MongoDB and a client of the hub."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.faults.orders import Drop, Duplicate, Gap, Reorder, StaleDepth
from sources.replay.tape.tapes import load_tapes
from tests.fakes.deployment import HubClient, flow_settings, hub_client, running_flow
from tests.fakes.recordings import frames_of, recording

pytestmark = pytest.mark.e2e

SPEED = 20.0
SYMBOLS = ("BTCUSDT", "ETHUSDT")
FAULTS = (
    Gap(stream="*@depth*", count=2),
    Duplicate(stream="*@depth*", count=5),
    Reorder(stream="*@depth*", count=2),
    Drop(),
    StaleDepth(),
)


def quotes_of(folder: Path) -> dict[tuple[str, int], list[list[float]]]:
    """Best bid and ask by symbol and update id, as the exchange told them."""
    quotes = {}
    for path in sorted(folder.glob("*.gz")):
        for frame in frames_of(path):
            if b"@bookTicker" in frame[:64]:
                data = json.loads(frame)["data"]
                bid, ask = ([float(data[price]), float(data[quantity])] for price, quantity in ("bB", "aA"))
                quotes[data["s"], data["u"]] = [bid, ask]
    return quotes


async def until_synced(client: HubClient) -> None:
    """Reads on until every book was shown in sync once more."""
    waiting = set(SYMBOLS)

    def all_synced(message: dict[str, Any]) -> bool:
        if message["type"] == "OrderBook" and message["data"]["synced"]:
            waiting.discard(message["data"]["symbol"])
        return not waiting

    await client.until(all_synced)


async def test_through_every_fault_a_book_is_the_exchanges_or_marked_and_the_day_is_complete(
    mongod_uri: str, tmp_path: Path
) -> None:
    folder = recording("binance-spot-2024-08-08")
    market = load_tapes([folder], kind="spot")
    with exchange_in_thread(market, speed=SPEED, paused=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__symbols=list(SYMBOLS),
            feed__streams=["aggTrade", "kline", "ticker", "depth", "bookTicker"],
            feed__backoff_min_s=0.1,
            books__every_ms=0,
            books__depth=1_000,
            books__audit_s=1.0,
            trades__enabled=False,
        )  # fmt: skip
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("OrderBook", "Stats", "MarketData", "Incident", "Status")
            await client.until_live()
            exchange.resume()
            await until_synced(client)
            for fault in FAULTS:
                exchange.inject(fault)
                await asyncio.sleep(0.2)  # four seconds of the market
                exchange.clear_faults()
                await until_synced(client)
            await client.until(lambda message: message["type"] == "Stats" and message["data"]["complete"])
            assert await flow.stop() == 0, flow.said()
    quotes = quotes_of(folder)
    shown = [book for book in client.of_type("OrderBook") if (book["symbol"], book["update_id"]) in quotes]
    assert {book["symbol"] for book in shown} == set(SYMBOLS)
    assert any(not book["synced"] for book in client.of_type("OrderBook"))
    for book in shown:
        assert [book["bids"][0], book["asks"][0]] == quotes[book["symbol"], book["update_id"]]
    causes = [incident["cause"] for incident in client.of_type("Incident")]
    assert not [cause for cause in causes if cause.startswith(("audit", "24 hours"))]
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        kept = list(mongo[tmp_path.name]["market_stats"].find({"complete": True}))
    assert {document["symbol"] for document in kept} <= set(SYMBOLS)
    assert kept
