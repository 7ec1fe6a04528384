"""Binance's binary streams through the house: replay exchange ▶ flow in a process of its own ▶ stores ▶ hub."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from flows.recovery import prepare
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import flow_settings, hub_client, running_flow
from tests.fakes.witness import last_stored, stored_trades
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

SYMBOLS = ("BTCUSDT", "ETHUSDT")
NOWHERE = "ws://127.0.0.1:9"
"""Where no JSON comes from."""
TRADES = 60
PATIENCE_S = 120


async def test_trades_and_books_come_by_binary_streams_alone(mongod_uri: str, tmp_path: Path) -> None:
    market = YoungMarket(SYMBOLS, start_ms=1_767_225_600_000, trades_per_s=5)
    store = tmp_path / "trades" / "binance"
    prepare(tmp_path / "recovery")
    with exchange_in_thread(market, speed=4.0, start_now=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic",
            feed__symbols=list(SYMBOLS),
            feed__timeframes=["1m"],
            feed__streams=["trade", "depth", "bookTicker"],
            feed__encoding="sbe",
            feed__api_key="any",
            feed__ws_url=NOWHERE,
            feed__sbe_ws_url=f"{exchange.ws_url}/sbe",
        )  # fmt: skip
        flags = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
        async with running_flow(tmp_path, *flags, **settings) as flow, hub_client(flow.hub_url) as client:
            traded, books = dict.fromkeys(SYMBOLS, 0), set[str]()

            def is_last(message: dict[str, Any]) -> bool:
                for item in message["data"]["messages"] if message["type"] == "Snapshot" else [message]:
                    if item["type"] == "Trade":
                        traded[item["data"]["symbol"]] += 1
                    elif item["type"] == "OrderBook" and item["data"]["synced"]:
                        books.add(item["data"]["symbol"])
                return min(traded.values()) >= TRADES and books == set(SYMBOLS)

            await client.subscribe("Trade", "OrderBook")
            await client.until(is_last)
            exchange.pause()
            for symbol in SYMBOLS:
                theirs = market.markets[symbol].played_trades()
                async with asyncio.timeout(PATIENCE_S):
                    while (await asyncio.to_thread(last_stored, store, symbol) or 0) < theirs["id"][-1]:
                        await asyncio.sleep(0.2)
                rows = stored_trades(store, symbol)
                numbers = market.markets[symbol].encoder.decimals
                price, quantity = 10**numbers.price, 10**numbers.quantity
                expected = [
                    (number, time, ticks / price, lots / quantity, maker)
                    for number, time, ticks, lots, maker in theirs.select(
                        "id", "time", "price", "quantity", "maker"
                    ).iter_rows()
                    if number >= rows[0][0]
                ]
                assert rows == expected
                assert len(rows) >= TRADES
            assert await flow.stop() == 0, flow.said()
        assert "messages_refused" not in flow.said()
