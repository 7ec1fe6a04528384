"""Several venues in one flow: each is complete, and what they have in common is not mixed; the demo has three."""

import asyncio
import json
from contextlib import AsyncExitStack, closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient
from pymongo.database import Database

from flows.recovery import prepare
from flows.settings import Settings
from flows.supervision.spec import DEMO_VENUES
from sinks.mongo.commands import CAPABILITIES, INSTRUMENTS
from sinks.mongo.reader import read_candles
from sources.venues import VENUES
from tests.fakes.demo import Demo, running_demo
from tests.fakes.deployment import (
    START_S,
    HubClient,
    RunningFlow,
    Server,
    free_port,
    hub_client,
    running_flow,
    running_interface,
)
from tests.fakes.served_venues import SERVED, Minute
from tests.fakes.several_venues import (
    BEGIN_MS,
    FOUR,
    Exchange,
    assert_equals_the_exchange,
    exchanges,
    has_trades,
    settings_for,
    until,
    until_closed,
    until_complete,
)
from tests.fakes.twins import recovering

pytestmark = pytest.mark.e2e

SYMBOL = "BTCUSDT"
ALIKE = ("binance", "binance-usdm")
"""Venues that have this symbol."""
FAST = {"speed": 20.0, "trades_per_s": 20.0}
MANY = {"speed": 3.0, "trades_per_s": 2.0}
DAY = (0, 2 << 42)
OHLCV = ("open", "high", "low", "close", "volume")


def of_two_processes(*folders: Path) -> list[tuple[Path, tuple[str, ...]]]:
    """The folder and the flags of each process of a cluster."""
    addresses = ";".join(f"127.0.0.1:{free_port()}" for _ in folders)
    return [(folder, ("-i", str(number), "-a", addresses)) for number, folder in enumerate(folders)]


async def until_times_are_known(client: HubClient, *venues: str) -> None:
    """Waits for a heartbeat of each venue with its time: also where its source is in another process."""
    await client.subscribe("Status")
    waiting = set(venues)

    def is_last(message: dict[str, Any]) -> bool:
        if message["type"] == "Status" and message["data"]["state"] == "alive" and message["data"]["time"]:
            waiting.discard(message["data"]["venue"])
        return not waiting

    await client.until(is_last)


@pytest.mark.parametrize("ways", ["two workers", "two processes"])
async def test_four_venues_are_complete(mongod_uri: str, tmp_path: Path, ways: str) -> None:
    second = tmp_path / "second"
    second.mkdir()
    processes = of_two_processes(tmp_path, second) if ways == "two processes" else [(tmp_path, ("-w", "2"))]
    with exchanges(*FOUR, **MANY) as found:
        settings = settings_for(tmp_path, mongod_uri, found)
        async with AsyncExitStack() as stack:
            starting = [
                stack.enter_async_context(running_flow(folder, *flags, **settings)) for folder, flags in processes
            ]
            flows = await asyncio.gather(*starting)
            for exchange in found:
                exchange.served.resume()
            await until(lambda: all(has_trades(tmp_path, exchange) for exchange in found), *flows)
            async with hub_client(flows[0].hub_url) as client:
                await until_times_are_known(client, *FOUR)
            await until_closed(1, flows[0], *found)
            await until_complete({tmp_path: flows[0]}, *found)
            assert await asyncio.gather(*(flow.stop() for flow in flows)) == [0] * len(flows), flows[0].said()
        assert not any("messages_refused" in flow.said() for flow in flows)
        for exchange in found:
            assert_equals_the_exchange(tmp_path, mongod_uri, exchange)


def body_of(url: str) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(url, timeout=START_S).json()
    return body


def chart_of(messages: list[dict[str, Any]], venue: str) -> dict[int, tuple[float, ...]]:
    """The newest version of each closed minute that a client of the hub got of a venue, by its begin."""
    charts = [one["data"] for one in messages if one["type"] == "ChartUpdate" and one["data"]["venue"] == venue]
    minutes = [one["candle"] for one in charts if one["timeframe"] == "1m"]
    return {one["timestamp"]: tuple(one[name] for name in OHLCV) for one in minutes}


async def assert_rest_equals_the_exchange(api: Server, flow: RunningFlow, exchange: Exchange) -> None:
    """Price, candles and trades of the interface are those of the venue that is named."""
    [newest] = exchange.its.trades(exchange.its.newest_id())
    of_venue = {"venue": exchange.venue}

    with httpx.Client(base_url=f"{api.url}/api", timeout=START_S) as client:

        def data(path: str, **parameters: Any) -> Any:
            answer = client.get(path, params=parameters | of_venue)
            return answer.json()["data"] if answer.is_success else None

        def has_the_price() -> bool:
            found = data(f"prices/{SYMBOL}")
            return found is not None and (found["venue"], found["price"]) == (exchange.venue, newest[2])

        await until(has_the_price, flow)
        trades = data("trades", symbol=SYMBOL, limit=20)
    assert trades["venue"] == exchange.venue
    shown = [(one["id"], one["price"], one["quantity"], one["buyer_is_maker"]) for one in trades["trades"]]
    assert shown == [(row[0], row[2], row[3], row[4]) for row in exchange.its.trades(shown[0][0])]


async def test_equal_symbols_of_two_venues_are_not_mixed_on_the_hub_and_in_rest(
    mongod_uri: str, tmp_path: Path
) -> None:
    with exchanges(*ALIKE, **FAST) as found:
        settings = settings_for(tmp_path, mongod_uri, found)
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("ChartUpdate", "Status", "Trade")
            hearing = asyncio.create_task(client.until_end())
            async with running_interface(tmp_path, **settings, api__hub_urls=[flow.hub_url]) as api:
                for exchange in found:
                    exchange.served.resume()
                await until_closed(1, flow, *found)
                await until_complete({tmp_path: flow}, *found)
                for exchange in found:
                    await assert_rest_equals_the_exchange(api, flow, exchange)
                refused = body_of(f"{api.url}/api/prices/{SYMBOL}")["error"]
                assert (refused["code"], refused["nearest"]) == ("ambiguous_symbol", list(ALIKE))
                status = body_of(f"{api.url}/api/status")["data"]
                assert {one["venue"]: one["origin"] for one in status["venues"]} == dict.fromkeys(ALIKE, "replay")
            assert await flow.stop() == 0, flow.said()
            await hearing
        for exchange in found:
            klines = exchange.closed_minutes(-(-BEGIN_MS // 60_000) * 60_000)
            charts = chart_of(client.messages, exchange.venue)
            assert klines
            assert {time: charts.get(time) for time in klines} == {
                time: pytest.approx(row) for time, row in klines.items()
            }


async def test_a_restart_goes_on_with_the_state_of_all(mongod_uri: str, tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    with exchanges(*FOUR, **MANY) as found:
        settings = settings_for(tmp_path, mongod_uri, found)
        async with running_flow(tmp_path, *recovering(tmp_path), **settings) as flow:
            for exchange in found:
                exchange.served.resume()
            await until(lambda: all(has_trades(tmp_path, exchange) for exchange in found), flow)
            await flow.kill()
        async with running_flow(tmp_path, *recovering(tmp_path), **settings) as flow:
            await until_closed(1, flow, *found)
            await until_complete({tmp_path: flow}, *found)
            assert await flow.stop() == 0, flow.said()
        for exchange in found:
            assert_equals_the_exchange(tmp_path, mongod_uri, exchange)


async def test_any_spelling_is_followed_and_both_venues_state_their_instruments(
    mongod_uri: str, tmp_path: Path
) -> None:
    with exchanges(*ALIKE, **FAST) as found:
        settings = settings_for(tmp_path, mongod_uri, found)
        async with running_flow(tmp_path, **settings | {"feed__symbols": "xbt/usdt"}) as flow:
            for exchange in found:
                exchange.served.resume()
            await until(lambda: all(has_trades(tmp_path, exchange) for exchange in found), flow)
            async with hub_client(f"{flow.hub_url}?channels=MarketData&symbols=btc-usdt") as client:
                message = await client.until(lambda message: message["type"] == "MarketData")
                assert message["data"]["symbol"] == SYMBOL
            with MongoClient[dict[str, Any]](mongod_uri) as mongo:
                database = mongo[tmp_path.name]
                await until(lambda: database[CAPABILITIES].count_documents({}) == len(found), flow)
                listed = {row["venue"]: row for row in database[INSTRUMENTS].find()}
                proven = {row["venue"]: row["capabilities"] for row in database[CAPABILITIES].find()}
            assert await flow.stop() == 0, flow.said()
    for exchange in found:
        row = listed[exchange.venue]
        assert [row[name] for name in ("symbol", "base", "quote", "status")] == [SYMBOL, "BTC", "USDT", "TRADING"]
        assert None not in (row["price_decimals"], row["quantity_decimals"])
        assert [one["kind"] for one in proven[exchange.venue]] == [
            one.kind for one in VENUES[exchange.venue].capabilities
        ]


def instruments_of(demo: Demo) -> list[tuple[str, str]]:
    """Venue and symbol of all that is followed; every one must be current."""
    done = demo.ask("status", "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    return [(one["venue"], one["symbol"]) for one in json.loads(done.stdout)["instruments"]]


def minutes_of(demo: Demo, venue: str, symbol: str) -> dict[int, Minute]:
    """What the demo's exchange says of its last minutes."""
    below = "" if venue == DEMO_VENUES[0] else f"/{venue}"
    with closing(SERVED[venue](f"http://127.0.0.1:{demo.port('REPLAY')}{below}", symbol)) as its:
        return its.minutes()


def closed_candles(database: Database[dict[str, Any]], venue: str, symbol: str, since: int = 0) -> dict[int, Minute]:
    """What is stored of the minutes that are over, from one on."""
    candles = read_candles(database, venue, symbol, "1m", since, DAY[1])
    return {c.open_time: (c.open, c.high, c.low, c.close, c.volume) for c in candles if c.is_closed}


@pytest.mark.slow
def test_the_demo_shows_one_market_at_three_venues(tmp_path: Path) -> None:
    with running_demo(tmp_path, venues=DEMO_VENUES) as demo, demo.mongo() as mongo:
        database = mongo[Settings().mongo.database]
        demo.until_ready()
        instruments = instruments_of(demo)
        assert {venue for venue, _ in instruments} == set(DEMO_VENUES)

        begun = {one: max(minutes_of(demo, *one)) for one in instruments}  # the one after it began before this
        for one in instruments:
            seen = begun[one] + 120_000
            demo.until(lambda one=one, seen=seen: seen in closed_candles(database, *one, since=seen))  # type: ignore[misc]
            stored = closed_candles(database, *one)
            expected = {time: row for time, row in minutes_of(demo, *one).items() if time <= seen}
            assert {time: stored.get(time) for time in expected} == {
                time: pytest.approx(row) for time, row in expected.items()
            }, one

        quotes = body_of(f"http://127.0.0.1:{demo.port('API')}/api/compare/BTC")["data"]["quotes"]
        prices = {quote["quote"]: {row["venue"]: row["price"] for row in quote["prices"]} for quote in quotes}
        assert {quote: set(by_venue) for quote, by_venue in prices.items()} == {
            "USD": {"kraken", "coinbase"},
            "USDT": {"binance"},
        }
        dollars = prices["USD"]
        assert dollars["kraken"] == pytest.approx(dollars["coinbase"], rel=0.01)
        assert dollars["kraken"] == pytest.approx(prices["USDT"]["binance"], rel=0.01)

        verified = demo.ask("verify")
        assert verified.returncode == 0, verified.stdout + verified.stderr
        assert all(venue in verified.stdout for venue in DEMO_VENUES)
        followed = demo.ask("tail", "--venue", "kraken", "--channel", "MarketData", "--count", "20")
        assert followed.returncode == 0, followed.stderr
        messages = [json.loads(line) for line in followed.stdout.splitlines()]
        heard = [one["data"]["venue"] for one in messages if one["type"] == "MarketData"]
        assert heard
        assert set(heard) == {"kraken"}
        assert demo.end() == 130
