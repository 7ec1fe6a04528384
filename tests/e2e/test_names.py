"""A symbol in another script goes all the way, beside one that is not listed and harms nothing."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import AsyncMongoClient

from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import flow_settings, free_port, hub_client, running_flow, running_interface
from tests.fakes.witness import Witness, last_stored, stored_trades
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

NAME = "币安人生USDT"
BEGIN_MS = 1_767_225_600_000
PATIENCE_S = 120


async def test_a_symbol_in_another_script_is_stored_served_and_refreshed_beside_an_unlisted_one(
    mongod_uri: str, tmp_path: Path
) -> None:
    market = YoungMarket((NAME, "BTCUSDT_250926"), start_ms=BEGIN_MS, trades_per_s=5)
    with exchange_in_thread(market, speed=5.0, start_now=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic",
            feed__symbols=f"{NAME},btcusdt_250926,BTCUSD_250926",
            feed__timeframes="1m,5m",
            feed__streams="aggTrade,kline,bookTicker,depth",
            hub__port=free_port(),
        )  # fmt: skip
        async with (
            running_flow(tmp_path, **settings) as flow,
            hub_client(flow.hub_url) as client,
            AsyncMongoClient[dict[str, Any]](mongod_uri) as mongo,
        ):
            await client.subscribe("ChartUpdate", "Incident", "OrderBook", "Trade", "Status")
            for symbol in (NAME, "BTCUSDT_250926"):
                await client.until(lambda m, name=symbol: m["type"] == "Trade" and m["data"]["symbol"] == name)
                await client.until(
                    lambda m, name=symbol: (
                        m["type"] == "OrderBook" and m["data"]["symbol"] == name and m["data"]["synced"]
                    )
                )
                await client.until(
                    lambda m, name=symbol: (
                        m["type"] == "ChartUpdate" and m["data"]["symbol"] == name and m["data"]["candle"]["is_closed"]
                    )
                )
            entries = [json.loads(line) for line in flow.said().splitlines() if line.startswith("{")]
            [said] = [entry for entry in entries if entry["event"] == "symbol_not_listed"]
            assert (said["level"], said["symbol"], said["nearest"][0]) == ("error", "BTCUSD_250926", "BTCUSDT_250926")
            database = mongo[tmp_path.name]
            async with asyncio.timeout(PATIENCE_S):
                while not (found := await database["incidents"].find({"kind": "unlisted"}).to_list()):
                    await asyncio.sleep(0.1)
            assert [incident["symbol"] for incident in found] == ["BTCUSD_250926"]
            subscribed = [entry for entry in entries if entry["event"] in ("subscribed", "streams_added")]
            assert "BTCUSD_250926" not in str(subscribed)
            await assert_served(tmp_path, settings)
            witness = Witness(exchange.rest_url)
            try:
                await assert_stored(witness, tmp_path / "trades" / "binance")
            finally:
                witness.close()
            assert await flow.stop() == 0, flow.said()
            assert "Traceback" not in flow.said()


async def assert_served(folder: Path, settings: dict[str, Any]) -> None:
    """Over the interface, in any case, with a refresh that ends."""
    async with (
        running_interface(folder, **settings) as server,
        httpx.AsyncClient(base_url=server.url, timeout=60) as client,
    ):
        async with asyncio.timeout(PATIENCE_S):
            while (await client.get(f"/api/prices/{NAME.lower()}")).status_code != httpx.codes.OK:
                await asyncio.sleep(0.1)
        candles = (await client.get(f"/api/candles/{NAME}/1m")).json()["data"]["candles"]
        assert {candle["status"] for candle in candles} <= {"forming", "final", "repaired", "venue"}
        work = (await client.post(f"/api/market-data/refresh/{NAME}")).json()["data"]
        async with asyncio.timeout(PATIENCE_S):
            while work["state"] in {"open", "running"}:
                await asyncio.sleep(0.1)
                work = (await client.get(f"/api/requests/{work['id']}")).json()["data"]
        assert (work["symbol"], work["state"]) == (NAME, "done"), work


async def assert_stored(witness: Witness, store: Path) -> None:
    """Every trade is stored, as the exchange tells it."""
    newest = witness.newest_id(NAME)
    async with asyncio.timeout(PATIENCE_S):
        while (await asyncio.to_thread(last_stored, store, NAME) or 0) < newest:
            await asyncio.sleep(0.2)
    trades = stored_trades(store, NAME)
    assert trades == witness.aggregates(NAME, trades[0][0])[: len(trades)]
