"""Symbols come and go while others are followed: a wish in MongoDB is all it takes, and the others notice nothing."""

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from flows.recovery import prepare
from sinks.mongo.commands import CommandClient, DesiredSubscription
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import HubClient, RunningFlow, flow_settings, hub_client, running_flow
from tests.fakes.witness import Witness, last_stored, stored_trades
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

FIRST = tuple(f"AAA{number:02d}USDT" for number in range(10))
MORE = tuple(f"BBB{number:02d}USDT" for number in range(50))
PATIENCE_S = 120


async def wish(petitioner: CommandClient, symbols: Sequence[str], *, wanted: bool) -> None:
    for symbol in symbols:
        await petitioner.set_subscription(DesiredSubscription("binance", symbol, wanted))


async def until_candles_of(client: HubClient, symbols: Sequence[str]) -> None:
    """Reads on until the hub has told a candle of every one of them."""
    awaited = set(symbols)

    def is_last(message: dict[str, Any]) -> bool:
        if message["type"] == "Candle":
            awaited.discard(message["data"]["symbol"])
        return not awaited

    await client.until(is_last)


async def until_left_are(client: HubClient, symbols: Sequence[str]) -> None:
    """Reads on until both lines say that they carry just these."""
    lines: set[str] = set()

    def is_last(message: dict[str, Any]) -> bool:
        if message["type"] == "Status" and set(message["data"].get("symbols", ())) == set(symbols):
            lines.add(message["data"]["line"])
        return len(lines) == 2

    await client.until(is_last)


async def traded(client: HubClient, count: int) -> set[str]:
    """The symbols of the next so many messages of trades."""
    heard: list[str] = []

    def is_last(message: dict[str, Any]) -> bool:
        if message["type"] == "Trade":
            heard.append(message["data"]["symbol"])
        return len(heard) >= count

    await client.until(is_last)
    return set(heard)


async def assert_stored_as_told(witness: Witness, store: Path, symbols: Sequence[str]) -> None:
    """Of each symbol every id from the first stored one to what is the newest now, as the exchange tells it."""
    for symbol in symbols:
        newest = witness.newest_id(symbol)
        async with asyncio.timeout(PATIENCE_S):
            while (await asyncio.to_thread(last_stored, store, symbol) or 0) < newest:
                await asyncio.sleep(0.2)
        trades = stored_trades(store, symbol)
        assert trades == witness.aggregates(symbol, trades[0][0])[: len(trades)]


def said(flow: RunningFlow, event: str) -> list[dict[str, Any]]:
    """The entries of the log that say this."""
    entries = (json.loads(line) for line in flow.said().splitlines() if line.startswith("{"))
    return [entry for entry in entries if entry["event"] == event]


async def test_fifty_symbols_come_and_go_and_the_others_lose_nothing(mongod_uri: str, tmp_path: Path) -> None:
    market = YoungMarket(FIRST + MORE, start_ms=1_767_225_600_000, trades_per_s=1)
    store = tmp_path / "trades" / "binance"
    prepare(tmp_path / "recovery")
    with exchange_in_thread(market, speed=2.0, start_now=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic",
            feed__symbols=list(FIRST),
            feed__timeframes=["1m", "5m"],
            feed__streams=["aggTrade", "kline", "bookTicker"],
            feed__request_pause_ms=0,
        )  # fmt: skip
        flags = ("-r", str(tmp_path / "recovery"), "-s", "1", "-b", "0")
        async with (
            running_flow(tmp_path, *flags, **settings) as flow,
            hub_client(flow.hub_url) as client,
            AsyncMongoClient[dict[str, Any]](mongod_uri) as mongo,
        ):
            petitioner = CommandClient(mongo[tmp_path.name])
            await client.subscribe("Candle", "Trade", "Status", "Incident")
            await until_candles_of(client, FIRST)
            assert [entry.symbol for entry in await petitioner.subscriptions("binance")] == list(FIRST)
            assert len(await petitioner.instruments("binance")) == 60

            await wish(petitioner, MORE, wanted=True)
            await until_candles_of(client, MORE)
            await wish(petitioner, MORE, wanted=False)
            await until_left_are(client, FIRST)
            await traded(client, 200)  # what was still on its way
            assert await traded(client, 300) == set(FIRST)

            await wish(petitioner, MORE[:1], wanted=True)
            await until_candles_of(client, MORE[:1])
            witness = Witness(exchange.rest_url)
            try:
                await assert_stored_as_told(witness, store, (*FIRST, MORE[0]))
            finally:
                witness.close()
            assert await flow.stop() == 0, flow.said()
            assert sorted(entry["line"] for entry in said(flow, "connected")) == ["market", "public"]
            touched = {data["symbol"] for data in client.of_type("Incident") if data["kind"] in ("gap", "repair")}
            assert touched <= set(MORE)
            assert "Traceback" not in flow.said()


def symbols_known(client: HubClient) -> set[str]:
    """The symbols of which the snapshot told something."""
    messages = [message for part in client.of_type("Snapshot") for message in part["messages"]]
    return {message["data"]["symbol"] for message in messages if "symbol" in message["data"]}


async def test_what_was_removed_is_forgotten_and_stays_removed_after_a_restart(mongod_uri: str, tmp_path: Path) -> None:
    stays, goes, comes = "AAAUSDT", "BBBUSDT", "CCCUSDT"
    channels = ("MarketData", "Candle", "Trade", "BookTicker", "Status")
    market = YoungMarket((stays, goes, comes), start_ms=1_767_225_600_000, trades_per_s=3)
    with exchange_in_thread(market, speed=2.0, start_now=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__origin="synthetic",
            feed__symbols=[stays, goes],
            feed__timeframes=["1m", "5m"],
            feed__streams=["aggTrade", "kline", "bookTicker"],
        )  # fmt: skip
        async with AsyncMongoClient[dict[str, Any]](mongod_uri) as mongo:
            petitioner = CommandClient(mongo[tmp_path.name])
            async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
                await client.subscribe(*channels)
                await until_candles_of(client, (stays, goes))
                await wish(petitioner, [goes], wanted=False)
                await client.until(lambda message: message["data"].get("state") == "removed")
                assert client.of_type("Status")[-1]["symbols"] == [goes]
                async with hub_client(flow.hub_url) as late:
                    await late.subscribe(*channels)
                    assert symbols_known(late) == {stays}
                await petitioner.set_subscription(
                    DesiredSubscription("binance", comes, wanted=True, streams=("kline_5m",))
                )
                await client.until(lambda message: message["data"].get("symbol") == comes)
                assert await flow.stop() == 0, flow.said()
            subscribed = [entry["symbols"] for entry in said(flow, "streams_added")]
            assert subscribed == [[comes]]
            assert not [data for data in client.of_type("Trade") if data["symbol"] == comes]

            async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
                await client.subscribe(*channels)
                await until_candles_of(client, (stays,))
                heard = {message["data"]["symbol"] for message in client.messages if "symbol" in message["data"]}
                assert heard | symbols_known(client) <= {stays, comes}
                assert {data["symbol"] for data in client.of_type("Trade")} == {stays}
                assert await flow.stop() == 0, flow.said()
