"""The whole house: exchange ▶ flow in a process of its own ▶ MongoDB, RocksDB and hub ▶ the interface, another process.

Whoever asks the interface hears what the exchange says itself.
"""

import asyncio
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import pytest
from pymongo import MongoClient

from flows.model import Kline, timeframe_ms
from flows.operators.candles.compare import is_same
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from tests.fakes.deployment import (
    flow_settings,
    free_port,
    hub_client,
    running_flow,
    running_interface,
    without_silence,
)
from tests.fakes.exposition import samples
from tests.fakes.interface import until
from tests.fakes.tapes import spot_recording
from tests.fakes.twins import is_proven
from tests.fakes.witness import Witness

pytestmark = pytest.mark.e2e

SYMBOLS = ("BTCUSDT", "ETHUSDT")
TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
PAST = 40
"""Candles that the flow fetches of each timeframe."""
SPEED = 25.0
"""Ten minutes take 24 seconds; no faster, for its REST interface shall tell no more than its streams, and a process
that waits a second for the processor shall not miss a minute.
"""
PATIENCE_S = 60


class Caller:
    """Somebody who asks the interface, and counts it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http = http
        self.asked: dict[str, int] = {}

    async def data(self, path: str, method: str = "GET", *, route: str | None = None, **parameters: Any) -> Any:
        """What an answer holds; `route` names the path with its placeholders."""
        response = await self._http.request(method, path, params=parameters)
        answer = response.json()
        assert answer["success"], answer
        self.asked[route or path] = self.asked.get(route or path, 0) + 1
        return answer["data"]

    async def candles(self, symbol: str, timeframe: str, **span: Any) -> list[dict[str, Any]]:
        """Those of a chart."""
        chart = await self.data(f"/api/chart/{symbol}/{timeframe}", route="/api/chart/{symbol}/{timeframe}", **span)
        candles: list[dict[str, Any]] = chart["candles"]
        return candles

    async def trades(self, symbol: str) -> list[tuple[Any, ...]]:
        """All that are stored, page by page, as `Witness.aggregates` tells them."""
        rows: list[tuple[Any, ...]] = []
        cursor: str | None = ""
        while cursor is not None:
            page = await self.data("/api/trades", symbol=symbol, start=0, limit=5_000, cursor=cursor)
            rows += [
                (one["id"], one["timestamp"], one["price"], one["quantity"], one["buyer_is_maker"])
                for one in page["trades"]
            ]
            cursor = page["next"]
        return rows


def settings_for(folder: Path, exchange: ThreadedExchange, mongod_uri: str) -> dict[str, Any]:
    """Those of flow and interface alike."""
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__symbols=list(SYMBOLS),
        feed__streams=["aggTrade", "kline"],
        feed__kline_limit=PAST,
        feed__proof_grace_ms=500,
        feed__request_pause_ms=0,
        hub__port=free_port(),
        metrics__enabled=True,
        metrics__port=free_port(),
    )  # fmt: skip


async def test_what_it_tells_is_what_the_exchange_says(mongod_uri: str, tmp_path: Path) -> None:
    market = spot_recording()
    with (
        exchange_in_thread(market, speed=SPEED, paused=True) as exchange,
        closing(Witness(exchange.rest_url)) as witness,
    ):
        settings = settings_for(tmp_path, exchange, mongod_uri)
        async with (
            running_flow(tmp_path, **settings) as flow,
            running_interface(tmp_path, **settings) as interface,
            hub_client(flow.hub_url) as hub,
            httpx.AsyncClient(base_url=interface.url, timeout=PATIENCE_S) as http,
        ):
            await hub.subscribe("Status")
            await hub.until_live(lines=1)
            exchange.resume()
            await asyncio.to_thread(exchange.wait_finished, PATIENCE_S)
            caller = Caller(http)
            await assert_trades_are_the_exchanges(caller, witness)
            await assert_prices_are_the_exchanges(caller, witness)
            await assert_candles_are_the_exchanges(caller, witness)
            await until(lambda: is_proven(mongod_uri, tmp_path.name))
            await assert_nothing_is_amiss(caller)
            await assert_a_refresh_brings_back_what_was_lost(caller, witness, mongod_uri, tmp_path.name)
            await assert_both_count_the_same(caller, http, f"http://127.0.0.1:{settings['metrics__port']}")
            assert await flow.stop() == 0, flow.said()
            await until(lambda: is_missed(caller))
            assert (await caller.candles("BTCUSDT", "1h", limit=PAST))[-1]["status"] == "forming", "what is known stays"


async def assert_trades_are_the_exchanges(caller: Caller, witness: Witness) -> None:
    """Waits for the last ones."""
    for symbol in SYMBOLS:
        newest = witness.newest_id(symbol)

        async def is_stored(symbol: str = symbol, newest: int = newest) -> bool:
            trades = (await caller.data("/api/trades", symbol=symbol, limit=1))["trades"]
            return bool(trades) and trades[-1]["id"] == newest

        await until(is_stored)
        trades = await caller.trades(symbol)
        assert trades == witness.aggregates(symbol, trades[0][0])


async def assert_prices_are_the_exchanges(caller: Caller, witness: Witness) -> None:
    last = {symbol: witness.aggregates(symbol, witness.newest_id(symbol))[0][2] for symbol in SYMBOLS}

    async def are_told() -> bool:
        return {one["symbol"]: one["price"] for one in await caller.data("/api/prices")} == last

    await until(are_told)
    for symbol in SYMBOLS:
        one = await caller.data(f"/api/prices/{symbol}", route="/api/prices/{symbol}")
        assert (one["venue"], one["price"]) == ("binance", last[symbol])


async def assert_candles_are_the_exchanges(caller: Caller, witness: Witness) -> None:
    """Closed and forming, in every timeframe."""
    for symbol in SYMBOLS:
        for timeframe in TIMEFRAMES:
            running = witness.running_kline(symbol, timeframe)
            start = running.open_time - (PAST // 2) * timeframe_ms(timeframe)
            klines = [*witness.klines(symbol, timeframe, start), running]

            async def differ(
                symbol: str = symbol, timeframe: str = timeframe, start: int = start, klines: list[Kline] = klines
            ) -> list[tuple[str, str]]:
                return differing(await caller.candles(symbol, timeframe, start=start), klines)

            async def are_equal(differ: Any = differ) -> bool:
                return not await differ()

            try:
                await until(are_equal)
            except TimeoutError:
                assert await differ() == [], (symbol, timeframe)


def differing(candles: list[dict[str, Any]], klines: list[Kline]) -> list[tuple[str, str]]:
    """Periods, and the fields of them that are not the exchange's, or what is missing of them."""
    ours = {candle["timestamp"]: candle for candle in candles}
    out = [(str(time), "superfluous") for time, candle in ours.items() if time < klines[0].open_time]
    for kline in klines:
        candle = ours.get(kline.open_time)
        if candle is None:
            out.append((str(kline.open_time), "missing"))
            continue
        names = ("open", "high", "low", "close", "volume")
        out += [(candle["timestamp"], name) for name in names if not is_same(candle[name], getattr(kline, name))]
    return out


async def assert_nothing_is_amiss(caller: Caller) -> None:
    quality = await caller.data("/api/quality")
    assert [(one["symbol"], one["completeness"]) for one in quality["trades"]] == [(name, 1.0) for name in SYMBOLS]
    assert [(one["symbol"], one["timeframe"]) for one in quality["series"]] == [
        (symbol, timeframe) for symbol in SYMBOLS for timeframe in TIMEFRAMES
    ]
    for series in quality["series"]:
        assert series["proofs"].keys() <= {"equal", "exchange's own"}, series
        assert sum(series["proofs"].values()) + series["by_status"].get("forming", 0) == series["candles"]
        past = series["proofs"].get("exchange's own", 0)
        assert past == (0 if series["timeframe"] == "1m" else PAST), "of minutes there is no file"
    minutes = [series["proofs"]["equal"] for series in quality["series"] if series["timeframe"] == "1m"]
    assert min(minutes) >= 8, "of the ten minutes that were played"
    incidents = without_silence(quality["incidents"])
    assert incidents == [], incidents
    status = await caller.data("/api/status")
    missing = [text for text in status["missing"] if " silent " not in text]  # the tape is at its end
    assert (status["origin"], missing) == ("replay", [])
    assert {tuple(line["symbols"]) for line in status["lines"]} == {SYMBOLS}


async def assert_a_refresh_brings_back_what_was_lost(
    caller: Caller, witness: Witness, mongod_uri: str, database: str
) -> None:
    hour = timeframe_ms("1h")
    lost_ms = witness.running_kline("BTCUSDT", "1h").open_time - 9 * hour
    span = {"start": lost_ms, "end": lost_ms + hour}
    [before] = await caller.candles("BTCUSDT", "1h", **span)
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        gone = {"symbol": "BTCUSDT", "timeframe": "1h", "open_time": lost_ms}
        assert client[database]["market_data"].delete_one(gone).deleted_count == 1
    path = "/api/market-data/refresh/{symbol}"
    work = await caller.data(path.format(symbol="BTCUSDT"), "POST", route=path)
    assert work["state"] == "open"

    async def has_ended() -> bool:
        nonlocal work
        work = await caller.data(f"/api/requests/{work['id']}", route="/api/requests/{id}")
        return work["state"] not in ("open", "running")

    await until(has_ended)
    assert (work["state"], " 1 written," in work["report"]) == ("done", True), work["report"]
    assert await caller.candles("BTCUSDT", "1h", **span) == [before]


async def assert_both_count_the_same(caller: Caller, http: httpx.AsyncClient, flow_url: str) -> None:
    """What flow and interface tell Prometheus."""
    stored = sum([len(await caller.trades(symbol)) for symbol in SYMBOLS])
    ours = samples((await http.get("/metrics")).text)
    flow = samples((await http.get(f"{flow_url}/metrics")).text)
    assert flow["market_data_storage_writes_total", "trades", "rocksdb"] == stored
    assert flow["market_data_broadcast_clients",] == 2
    assert flow["market_data_broadcast_dropped_total",] == 0
    for name in ("errors", "gaps", "mismatches"):
        assert flow[f"market_data_{name}_total", "binance"] == 0, name
    assert {name: ours["market_data_completeness", name, "binance"] for name in SYMBOLS} == dict.fromkeys(SYMBOLS, 1)
    assert ours["market_data_errors_total",] == ours["market_data_live_lost_total",] == 0
    counted = {key[1]: count for key, count in ours.items() if key[0] == "market_data_api_answers_total"}
    assert counted.items() >= caller.asked.items()
    for channel in ("MarketData", "Candle"):
        heard = ours["market_data_updates_total", channel, "binance"]
        assert 0 < heard <= flow["market_data_updates_total", channel], channel


async def is_missed(caller: Caller) -> bool:
    """Whether the interface has seen that the hub is gone."""
    [reason] = (await caller.data("/api/status"))["missing"] or [""]
    return "hub " in reason
