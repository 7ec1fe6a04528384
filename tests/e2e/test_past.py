"""What a start finds: a period that is half over, a store that lacks the past, somebody who wants it fetched again."""

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pymongo import AsyncMongoClient

from flows.model import timeframe_ms
from flows.operators.candles.compare import differing_fields, is_same
from sinks.mongo.commands import CommandClient, Request, Work
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import HubClient, flow_settings, hub_client, running_flow
from tests.fakes.tapes import spot_recording
from tests.fakes.witness import Witness, disagreements, stored_candles

pytestmark = pytest.mark.e2e

TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
BEGIN = 1_723_161_255_208
MIDNIGHT = 1_723_161_600_000
"""In the middle of the recording: every timeframe closes."""
SPEED = 20.0
PATIENCE_S = 60
FEW = 10
"""Trades that the exchange may hold in its hands when it is paused."""


def settings_for(folder: Path, exchange: Any, mongod_uri: str) -> dict[str, Any]:
    return flow_settings(
        folder, exchange.rest_url, mongod_uri,
        feed__symbols=["BTCUSDT"],
        feed__streams=["aggTrade", "kline"],
        feed__proof_grace_ms=500,
        feed__request_pause_ms=0,
        feed__seed_ms=PATIENCE_S * 1_000,  # however busy the machine is, what lacks its beginning is not shown
        hub__rate=1_000,
    )  # fmt: skip


def forming_of(client: HubClient) -> dict[str, dict[str, Any]]:
    """The newest forming candle of each timeframe that the client was told."""
    found: dict[str, dict[str, Any]] = {}
    for message in client.messages:
        if message["type"] == "Candle":
            found[message["data"]["timeframe"]] = message["data"]
    return found


async def test_a_start_in_the_middle_of_a_period_is_right_from_the_first_candle(
    mongod_uri: str, tmp_path: Path
) -> None:
    market = spot_recording()
    with (
        exchange_in_thread(market, speed=SPEED, start_now=True) as exchange,
        contextlib.closing(Witness(exchange.rest_url)) as witness,
    ):
        while witness.state()["now"] < BEGIN + 100_000:
            await asyncio.sleep(0.05)
        exchange.pause()  # a slow start must not miss the minutes in which the candles are compared
        settings = settings_for(tmp_path, exchange, mongod_uri)
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Candle", "ChartUpdate", "Incident", "Status")
            await client.until_live(1)
            exchange.resume()

            def untold(name: str) -> list[dict[str, Any]]:
                """What was traded, and is not in what the client knows: the exchange had no time to send it."""
                return witness.newer_than("BTCUSDT", forming_of(client)[name]["candle"]["last_id"])

            while forming_of(client).keys() != set(TIMEFRAMES):
                await client.until(lambda message: message["type"] == "Candle")
            exchange.pause()
            while not witness.is_between_orders("BTCUSDT"):
                exchange.resume()
                await asyncio.sleep(0.01)
                exchange.pause()
            rows = {name: witness.running_kline("BTCUSDT", name) for name in TIMEFRAMES}
            async with asyncio.timeout(PATIENCE_S):
                while max(len(newer) for newer in map(untold, TIMEFRAMES)) >= FEW:
                    await client.until(lambda message: message["type"] == "Candle")
            for name, kline in rows.items():
                candle = forming_of(client)[name]["candle"]
                newer = untold(name)
                prices = [float(row["p"]) for row in newer]
                assert (candle["open"], candle["status"]) == (kline.open, "forming"), name
                assert max([candle["high"], *prices]) == kline.high, name
                assert min([candle["low"], *prices]) == kline.low, name
                assert (prices[-1] if prices else candle["close"]) == kline.close, name
                assert candle["trades"] + sum(row["l"] - row["f"] + 1 for row in newer) == kline.trades, name
                assert is_same(candle["volume"] + sum(float(row["q"]) for row in newer), kline.volume), name
            told = client.of_type("Candle")
            # a slow start sees a minute close, and may then know only the exchange's own candle of it
            assert {one["candle"]["status"] for one in told} <= {"forming", "final", "venue"}
            begun = {one["timeframe"]: one["candle"]["timestamp"] for one in reversed(told)}
            for update in client.of_type("ChartUpdate"):  # the past is for the store alone
                assert update["candle"]["timestamp"] >= begun[update["timeframe"]]
            exchange.resume()
            await asyncio.to_thread(exchange.wait_finished, PATIENCE_S)
            assert await flow.stop() == 0, flow.said()
        for name in TIMEFRAMES:
            length = timeframe_ms(name)
            stored = stored_candles(mongod_uri, tmp_path.name, "BTCUSDT", name)
            [last] = [candle for candle in stored if candle.open_time == MIDNIGHT - length]
            assert (last.status, last.proof) == ("final", "equal")
            klines = {kline.open_time: kline for kline in witness.klines("BTCUSDT", name, stored[0].open_time)}
            closed = [candle for candle in stored if candle.status != "forming"]
            assert len(closed) == len(klines)
            for candle in closed:
                assert differing_fields(candle, klines[candle.open_time]) == [], candle


async def test_the_past_is_fetched_compared_and_fetched_again_on_demand(mongod_uri: str, tmp_path: Path) -> None:
    market = spot_recording()
    database = tmp_path.name
    with (
        exchange_in_thread(market, speed=SPEED, start_now=True) as exchange,
        contextlib.closing(Witness(exchange.rest_url)) as witness,
    ):
        settings = settings_for(tmp_path, exchange, mongod_uri)
        async with (
            running_flow(tmp_path, **settings, feed__kline_limit=40) as flow,
            hub_client(flow.hub_url) as client,
            AsyncMongoClient[dict[str, Any]](mongod_uri) as mongo,
        ):
            await client.subscribe("Candle")
            await client.until(lambda message: message["type"] == "Candle")

            def past(timeframe: str) -> list[tuple[int, list[str]]]:
                start = BEGIN // timeframe_ms(timeframe) * timeframe_ms(timeframe) - 40 * timeframe_ms(timeframe)
                klines = [k for k in witness.klines("BTCUSDT", timeframe, start) if k.open_time < MIDNIGHT - 900_000]
                assert len(klines) > 30
                return disagreements(stored_candles(mongod_uri, database, "BTCUSDT", timeframe), klines)

            for timeframe in ("15m", "1h", "4h", "1d"):
                await agreement(past, timeframe)
            hours = [c for c in stored_candles(mongod_uri, database, "BTCUSDT", "1h") if c.is_closed]
            assert {candle.status for candle in hours} == {"venue"}
            collection = mongo[database]["market_data"]
            await collection.delete_one({"timeframe": "1h", "open_time": hours[5].open_time})
            await collection.update_one(
                {"timeframe": "1h", "open_time": hours[9].open_time}, {"$set": {"close": 1.0, "status": "final"}}
            )
            petitioner = CommandClient(mongo[database])
            asked = await petitioner.submit(Work("refresh", "binance", "BTCUSDT"))
            done = await finished(petitioner, asked)
            assert done.state == "done", done.report
            assert await asyncio.to_thread(past, "1h") == []
            assert "2 written" in done.report
            other = await finished(petitioner, await petitioner.submit(Work("refresh", "binance", "BTCUSDT", "7m")))
            assert (other.state, other.report) == ("failed", "7m is not built here")
            assert await flow.stop() == 0, flow.said()


async def agreement(past: Callable[[str], list[Any]], timeframe: str) -> None:
    """Waits until the store has the past as the exchange has it: the hub tells of a candle before it is stored."""
    found: list[Any] = []
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_S):
            while found := await asyncio.to_thread(past, timeframe):
                await asyncio.sleep(0.1)
    assert found == []


async def finished(petitioner: CommandClient, request: Request) -> Request:
    """The request when it is done or has failed."""
    async with asyncio.timeout(PATIENCE_S):
        while request.state in ("open", "running"):
            await asyncio.sleep(0.1)
            found = await petitioner.request(request.id)
            assert found is not None
            request = found
    return request
