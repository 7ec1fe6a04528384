"""Several venues in one flow: each is complete, and none notices what becomes of another; the demo has three."""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import httpx
import pytest
from pymongo import MongoClient

from flows.recovery import prepare
from flows.settings import Settings
from flows.supervision.spec import DEMO_VENUES
from sinks.mongo.commands import CAPABILITIES, INSTRUMENTS
from sinks.mongo.reader import read_candles
from sinks.trades.reader import TradeReader
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from sources.venues import VENUES
from tests.fakes.demo import Demo, running_demo
from tests.fakes.deployment import (
    START_S,
    RunningFlow,
    Server,
    free_port,
    hub_client,
    running_flow,
    running_interface,
)
from tests.fakes.served_venues import SERVED, Minute
from tests.fakes.twins import recovering
from tests.fakes.witness import last_stored

pytestmark = pytest.mark.e2e

SYMBOL = "BTCUSDT"
BEGIN_MS = 1_767_225_600_000 + 30_000
SPEED = 20.0
PATHS = {"binance": "/api/v3", "binance-usdm": "/fapi/v1"}
KINDS: dict[str, Literal["spot", "usdm"]] = {"binance": "spot", "binance-usdm": "usdm"}
DAY = (0, 2 << 42)
OHLCV = ("open", "high", "low", "close", "volume")


class Exchange:
    """A made-up market of one venue, and what it says over REST of itself."""

    def __init__(self, venue: str, served: ThreadedExchange) -> None:
        self.venue = venue
        self.served = served
        self.rest_url = served.rest_url

    def _rows(self, path: str, **parameters: Any) -> list[Any]:
        answer = httpx.get(
            f"{self.rest_url}{PATHS[self.venue]}/{path}", params=parameters | {"symbol": SYMBOL}, timeout=60
        )
        rows: list[Any] = answer.raise_for_status().json()
        return rows

    def newest_id(self) -> int:
        return int(self._rows("aggTrades", limit=1)[0]["a"])

    def trades(self, first_id: int) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = []
        while page := self._rows("aggTrades", fromId=first_id, limit=1_000):
            rows += [(row["a"], row["T"], float(row["p"]), float(row["q"]), row["m"]) for row in page]
            first_id = rows[-1][0] + 1
        return rows

    def closed_klines(self, start_ms: int) -> dict[int, tuple[float, ...]]:
        rows = self._rows("klines", interval="1m", startTime=start_ms, limit=1_000)
        return {row[0]: tuple(map(float, row[1:6])) for row in rows[:-1]}


@contextmanager
def exchanges(*venues: str) -> Iterator[list[Exchange]]:
    """The exchanges, their markets paused."""
    with ExitStack() as stack:
        found = []
        for number, venue in enumerate(venues):
            market = SyntheticMarket(KINDS[venue], (SYMBOL,), seed=number, start_ms=BEGIN_MS, trades_per_s=20.0)
            served = exchange_in_thread(market, speed=SPEED, paused=True)
            found.append(Exchange(venue, stack.enter_context(served)))
        yield found


def settings_for(folder: Path, mongod_uri: str, addresses: dict[str, str]) -> dict[str, Any]:
    """One flow of the venues at these addresses."""
    of_venues = {
        f"venues__{venue.replace('-', '_')}__{key}": address.replace("http", scheme, 1)
        for venue, address in addresses.items()
        for key, scheme in (("ws_url", "ws"), ("rest_url", "http"))
    }
    return of_venues | {
        "feed__origin": "replay",
        "feed__symbols": SYMBOL,
        "feed__streams": "aggTrade,kline,ticker,depth",
        "feed__timeframes": "1m,5m",
        "feed__kline_limit": 10,
        "feed__backoff_min_s": 0.1,
        "feed__repair_ms": START_S * 1_000,
        "mongo__uri": mongod_uri,
        "mongo__database": folder.name,
        "trades__path": str(folder / "trades"),
    }


async def until(condition: Callable[[], bool], flow: RunningFlow) -> None:
    async with asyncio.timeout(START_S):
        while not await asyncio.to_thread(condition):
            assert flow.running, flow.said()
            await asyncio.sleep(0.1)


def has_trades(folder: Path, exchange: Exchange) -> bool:
    return last_stored(folder / "trades" / exchange.venue, SYMBOL) is not None


async def until_complete(folder: Path, flow: RunningFlow, *found: Exchange) -> None:
    """Plays for two closed minutes, stops the markets, and waits for the last trade of each."""

    def has_played(exchange: Exchange) -> bool:
        return len(exchange.closed_klines(BEGIN_MS)) >= 2

    def is_stored(store: Path, newest: int) -> bool:
        return last_stored(store, SYMBOL) == newest

    for exchange in found:
        await until(partial(has_played, exchange), flow)
        await asyncio.to_thread(exchange.served.pause)
        newest = exchange.newest_id()
        store = folder / "trades" / exchange.venue
        await until(partial(is_stored, store, newest), flow)


def assert_equals_the_exchange(folder: Path, mongod_uri: str, exchange: Exchange) -> None:
    """The stores of a venue hold what its exchange says: all trades since the first, and every minute of them."""
    with TradeReader(folder / "trades" / exchange.venue) as reader:
        stored = reader.trades(SYMBOL, *DAY)
    columns = ("id", "time", "price", "quantity", "buyer_is_maker")
    rows = list(zip(*(stored[name].to_list() for name in columns), strict=True))
    assert rows == exchange.trades(rows[0][0])
    begin = -(-rows[0][1] // 60_000) * 60_000
    klines = exchange.closed_klines(begin)
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        candles = read_candles(mongo[folder.name], exchange.venue, SYMBOL, "1m", begin, DAY[1])
    ours = {c.open_time: (c.open, c.high, c.low, c.close, c.volume) for c in candles if c.is_closed}
    assert klines
    assert {time: ours.get(time) for time in klines} == {time: pytest.approx(row) for time, row in klines.items()}


@pytest.mark.parametrize("flags", [(), ("-w", "2")], ids=["one worker", "two workers"])
async def test_two_venues_are_complete(mongod_uri: str, tmp_path: Path, flags: tuple[str, ...]) -> None:
    with exchanges("binance", "binance-usdm") as found:
        settings = settings_for(tmp_path, mongod_uri, {one.venue: one.rest_url for one in found})
        async with running_flow(tmp_path, *flags, **settings) as flow:
            for exchange in found:
                exchange.served.resume()
            await until_complete(tmp_path, flow, *found)
            assert await flow.stop() == 0, flow.said()
        assert "messages_refused" not in flow.said()
        for exchange in found:
            assert_equals_the_exchange(tmp_path, mongod_uri, exchange)


def body_of(url: str) -> dict[str, Any]:
    body: dict[str, Any] = httpx.get(url, timeout=START_S).json()
    return body


def chart_of(messages: list[dict[str, Any]], venue: str) -> dict[int, tuple[float, ...]]:
    """The newest version of each closed minute that a client of the hub got of a venue, by its begin."""
    charts = [one["data"] for one in messages if one["type"] == "ChartUpdate" and one["data"]["venue"] == venue]
    minutes = [one["candle"] for one in charts if one["timeframe"] == "1m"]
    return {
        round(datetime.fromisoformat(one["timestamp"]).timestamp() * 1_000): tuple(one[name] for name in OHLCV)
        for one in minutes
    }


async def assert_rest_equals_the_exchange(api: Server, flow: RunningFlow, exchange: Exchange) -> None:
    """Price, candles and trades of the interface are those of the venue that is named."""
    [newest] = exchange.trades(exchange.newest_id())
    of_venue = {"venue": exchange.venue}

    def data(path: str, **parameters: Any) -> Any:
        answer = httpx.get(f"{api.url}/api/{path}", params=parameters | of_venue, timeout=START_S)
        return answer.json()["data"] if answer.is_success else None

    def has_the_price() -> bool:
        found = data(f"prices/{SYMBOL}")
        return found is not None and (found["venue"], found["price"]) == (exchange.venue, newest[2])

    await until(has_the_price, flow)
    trades = data("trades", symbol=SYMBOL, limit=20)
    assert trades["venue"] == exchange.venue
    shown = [(one["id"], one["price"], one["quantity"], one["buyer_is_maker"]) for one in trades["trades"]]
    assert shown == [(row[0], row[2], row[3], row[4]) for row in exchange.trades(shown[0][0])]


async def test_equal_symbols_of_two_venues_are_not_mixed_on_the_hub_and_in_rest(
    mongod_uri: str, tmp_path: Path
) -> None:
    with exchanges("binance", "binance-usdm") as found:
        settings = settings_for(tmp_path, mongod_uri, {one.venue: one.rest_url for one in found})
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("ChartUpdate", "Status", "Trade")
            hearing = asyncio.create_task(client.until_end())
            async with running_interface(tmp_path, **settings, api__hub_urls=[flow.hub_url]) as api:
                for exchange in found:
                    exchange.served.resume()
                await until_complete(tmp_path, flow, *found)
                for exchange in found:
                    await assert_rest_equals_the_exchange(api, flow, exchange)
                refused = body_of(f"{api.url}/api/prices/{SYMBOL}")["error"]
                assert (refused["code"], refused["nearest"]) == ("ambiguous_symbol", list(KINDS))
                status = body_of(f"{api.url}/api/status")["data"]
                assert {one["venue"]: one["origin"] for one in status["venues"]} == dict.fromkeys(KINDS, "replay")
            assert await flow.stop() == 0, flow.said()
            await hearing
        for exchange in found:
            klines = exchange.closed_klines(-(-BEGIN_MS // 60_000) * 60_000)
            charts = chart_of(client.messages, exchange.venue)
            assert klines
            assert {time: charts.get(time) for time in klines} == {
                time: pytest.approx(row) for time, row in klines.items()
            }


async def test_a_venue_that_is_not_there_concerns_no_other(mongod_uri: str, tmp_path: Path) -> None:
    with exchanges("binance") as [spot]:
        nowhere = f"http://127.0.0.1:{free_port()}"
        settings = settings_for(tmp_path, mongod_uri, {"binance": spot.rest_url, "binance-usdm": nowhere})
        async with running_flow(tmp_path, **settings) as flow:
            spot.served.resume()
            await until_complete(tmp_path, flow, spot)
            assert await flow.stop() == 0, flow.said()
        assert_equals_the_exchange(tmp_path, mongod_uri, spot)


async def test_a_restart_goes_on_with_the_state_of_both(mongod_uri: str, tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    with exchanges("binance", "binance-usdm") as found:
        settings = settings_for(tmp_path, mongod_uri, {one.venue: one.rest_url for one in found})
        async with running_flow(tmp_path, *recovering(tmp_path), **settings) as flow:
            for exchange in found:
                exchange.served.resume()
            await until(lambda: all(has_trades(tmp_path, exchange) for exchange in found), flow)
            await flow.kill()
        async with running_flow(tmp_path, *recovering(tmp_path), **settings) as flow:
            await until_complete(tmp_path, flow, *found)
            assert await flow.stop() == 0, flow.said()
        for exchange in found:
            assert_equals_the_exchange(tmp_path, mongod_uri, exchange)


async def test_any_spelling_is_followed_and_both_venues_state_their_instruments(
    mongod_uri: str, tmp_path: Path
) -> None:
    with exchanges("binance", "binance-usdm") as found:
        settings = settings_for(tmp_path, mongod_uri, {one.venue: one.rest_url for one in found})
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


def closed_candles(demo: Demo, venue: str, symbol: str) -> dict[int, Minute]:
    """What is stored of the minutes that are over."""
    with MongoClient[dict[str, Any]](demo.variables["MARKETFLOW_MONGO__URI"]) as mongo:
        candles = read_candles(mongo[Settings().mongo.database], venue, symbol, "1m", 0, DAY[1])
    return {c.open_time: (c.open, c.high, c.low, c.close, c.volume) for c in candles if c.is_closed}


@pytest.mark.slow
def test_the_demo_shows_one_market_at_three_venues(tmp_path: Path) -> None:
    with running_demo(tmp_path, venues=DEMO_VENUES) as demo:
        demo.until_ready()
        instruments = instruments_of(demo)
        assert {venue for venue, _ in instruments} == set(DEMO_VENUES)

        begun = {one: max(minutes_of(demo, *one)) for one in instruments}  # the one after it began before this
        for one in instruments:
            seen = begun[one] + 120_000
            demo.until(lambda one=one, seen=seen: seen in closed_candles(demo, *one))  # type: ignore[misc]
            stored = closed_candles(demo, *one)
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
