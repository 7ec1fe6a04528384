"""What goes wrong at the exchange, on the line and in the stores, one after the other while a recording plays. In the
end every trade is stored once, every candle equals the exchange's own, and the ledger says what happened.
"""

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from flows.recovery import prepare
from sinks.mongod.server import Mongod
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.faults import content_faults as contents
from sources.replay.faults import orders as faults
from tests.conftest import FAST
from tests.fakes.deployment import (
    HubClient,
    RunningFlow,
    flow_settings,
    free_port,
    hub_client,
    running_flow,
    without_silence,
)
from tests.fakes.slow_line import slow_line
from tests.fakes.tapes import spot_recording
from tests.fakes.waiting import rest_after
from tests.fakes.witness import Witness, disagreements, last_stored, stored_candles, stored_trades

pytestmark = pytest.mark.e2e

SPEED = 40.0
SYMBOLS = ("BTCUSDT", "ETHUSDT")
AGGREGATES = "btcusdt@aggTrade"
PATIENCE_S = 240
MINUTES = 6
"""Least length of the market: five minutes are a whole candle."""


class Stage:
    """A flow on a playing exchange, a client of its hub, and a witness."""

    def __init__(self, exchange: ThreadedExchange, flow: RunningFlow, client: HubClient, witness: Witness) -> None:
        self.exchange = exchange
        self.flow = flow
        self.client = client
        self.witness = witness

    async def heard(self, kind: str, *words: str) -> dict[str, Any]:
        """Waits for an incident of a kind that contains these words, and gives it."""

        def is_it(message: dict[str, Any]) -> bool:
            if message["type"] != "Incident" or message["data"]["kind"] != kind:
                return False
            return all(word in str(message["data"]) for word in words)

        message = await self.client.until(is_it)
        data: dict[str, Any] = message["data"]
        return data

    async def trades_pass(self, batches: int = 3) -> None:
        """Waits until trades come through again."""
        for _ in range(batches):
            await self.client.until(lambda m: m["type"] == "Trade" and m["data"]["symbol"] == "BTCUSDT")


@asynccontextmanager
async def stage(folder: Path, mongod_uri: str, *, speed: float = SPEED, **settings: Any) -> AsyncIterator[Stage]:
    """The recording at many times its pace, again and again: a busy machine takes longer than one round. It begins when
    the block does.
    """
    market = spot_recording(loop=True)
    prepare(folder / "recovery")
    with exchange_in_thread(market, speed=speed, paused=True, start_now=True) as exchange, closing(exchange) as witness:
        usual: dict[str, Any] = {
            "feed__symbols": list(SYMBOLS),
            "feed__streams": ["aggTrade", "kline"],
            "feed__backoff_min_s": 0.1,
            "feed__stale_after_s": 2,
            "feed__proof_grace_ms": 500,
            "feed__request_pause_ms": 0,
        }
        chosen = flow_settings(folder, exchange.rest_url, mongod_uri, **(usual | settings))
        flags = ("-r", str(folder / "recovery"), "-s", "1", "-b", "0")
        async with running_flow(folder, *flags, **chosen) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Trade", "Incident", "Status")
            await client.until_live(1)
            exchange.resume()
            playing = Stage(exchange, flow, client, witness)
            await playing.trades_pass()
            yield playing


@contextmanager
def closing(exchange: ThreadedExchange) -> Iterator[Witness]:
    witness = Witness(exchange.rest_url)
    try:
        yield witness
    finally:
        witness.close()


async def assert_nothing_is_lost(playing: Stage, folder: Path, mongod_uri: str) -> None:
    """Stops the market when enough minutes are played, ends the flow, and compares both stores with the exchange."""
    playing.exchange.clear_faults()
    store = folder / "trades" / "binance"
    await until_stored(lambda: all(stored_trades(store, symbol) for symbol in SYMBOLS))
    begins = {symbol: stored_trades(store, symbol)[0][1] // 300_000 * 300_000 for symbol in SYMBOLS}

    def is_long_enough() -> bool:
        # by what was played: on a busy machine the exchange's time is ahead of that
        return all(len(playing.witness.klines(symbol, "1m", begin)) > MINUTES for symbol, begin in begins.items())

    await until_stored(is_long_enough)
    await asyncio.to_thread(playing.exchange.pause)
    newest = {symbol: playing.witness.newest_id(symbol) for symbol in SYMBOLS}
    async with asyncio.timeout(PATIENCE_S):
        for symbol in SYMBOLS:
            while await asyncio.to_thread(last_stored, store, symbol) != newest[symbol]:
                await asyncio.sleep(0.2)
    assert await playing.flow.stop() == 0, playing.flow.said()
    for symbol in SYMBOLS:
        trades = stored_trades(store, symbol)
        assert trades == playing.witness.aggregates(symbol, trades[0][0])
        for timeframe in ("1m", "5m"):
            candles = stored_candles(mongod_uri, folder.name, symbol, timeframe)
            klines = playing.witness.klines(symbol, timeframe, begins[symbol])
            assert len(klines) >= (MINUTES if timeframe == "1m" else 1)
            assert disagreements(candles, klines) == []
    assert playing.witness.state()["used_weight"] <= WEIGHT_LIMIT


WEIGHT_LIMIT = 6_000


async def test_messages_that_are_lost_repeated_swapped_late_or_broken(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "messages"
    folder.mkdir()
    async with stage(folder, mongod_uri) as playing:
        playing.exchange.inject(faults.Gap(stream=AGGREGATES, count=30))
        repair = await playing.heard("repair")
        assert repair["last_id"] - repair["first_id"] + 1 == 30
        for fault in (
            faults.Duplicate(stream=AGGREGATES, count=50),
            faults.Reorder(stream=AGGREGATES, count=20),
            faults.Late(stream=AGGREGATES, hold_messages=30, count=3),
            contents.Malformed(stream=AGGREGATES, count=2, form="cut"),
            contents.Malformed(stream=AGGREGATES, count=2, form="text"),
            contents.Malformed(stream=AGGREGATES, count=2, form="nan"),
        ):
            playing.exchange.inject(fault)
            await playing.trades_pass(10)
        await assert_nothing_is_lost(playing, folder, mongod_uri)
        assert "messages_refused" in playing.flow.said()


async def test_lines_that_are_cut_dead_or_silent(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "lines"
    folder.mkdir()
    async with stage(folder, mongod_uri, speed=20.0) as playing:
        playing.exchange.inject(faults.Drop())
        await playing.heard("disconnect")
        await playing.heard("reconnect")
        await playing.trades_pass()
        playing.exchange.inject(faults.HalfOpen())
        await playing.heard("silent")
        await playing.heard("reconnect")
        await playing.trades_pass()
        playing.exchange.inject(faults.Silence(stream="*@aggTrade", for_ms=60_000))
        await playing.heard("silent", "aggT")
        await playing.heard("repair")
        await playing.trades_pass()
        await assert_nothing_is_lost(playing, folder, mongod_uri)


async def test_connections_that_are_renewed_under_load_miss_nothing(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "renewed"
    folder.mkdir()
    async with stage(folder, mongod_uri, feed__rotate_hours=0.5 / 3_600) as playing:
        playing.exchange.inject(faults.Shutdown(close_after_s=5.0))
        await playing.trades_pass(10)
        await assert_nothing_is_lost(playing, folder, mongod_uri)
        assert playing.flow.said().count("connection_renewed") > 5
        assert without_silence(playing.client.of_type("Incident")) == []  # no repair was needed


async def test_a_clock_that_is_wrong_to_either_side(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "clock"
    folder.mkdir()
    async with stage(folder, mongod_uri) as playing:
        for by_ms in (2_000, -2_000):
            playing.exchange.inject(faults.ClockSkew(by_ms=by_ms))
            await playing.trades_pass(10)
            playing.exchange.inject(faults.Gap(stream=AGGREGATES, count=30))
            await playing.heard("repair")
            if by_ms > 0:
                playing.exchange.clear_faults()  # it is right again in between
                await playing.trades_pass(10)
        await assert_nothing_is_lost(playing, folder, mongod_uri)


async def test_a_rest_side_that_refuses(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "rest"
    folder.mkdir()
    async with stage(folder, mongod_uri) as playing:
        for refusal in (
            faults.Refuse(status=429, path="/api/v3/aggTrades", count=1, retry_after_s=2),
            faults.Refuse(status=503, path="/api/v3/aggTrades", count=2),
            faults.Refuse(status=418, path="/api/v3/aggTrades", count=1, retry_after_s=3),
        ):
            playing.exchange.inject(refusal)
            playing.exchange.inject(faults.Gap(stream=AGGREGATES, count=30))
            await playing.heard("repair")
            await playing.trades_pass()
        await assert_nothing_is_lost(playing, folder, mongod_uri)


async def test_a_document_store_that_goes_away(tmp_path: Path) -> None:
    folder, port = tmp_path / "mongo", free_port()
    folder.mkdir()
    with mongod(tmp_path / "db", port) as server:
        uri = server.uri
        async with stage(folder, uri, speed=20.0) as playing:
            await until_stored(lambda: bool(stored_candles(uri, folder.name, "BTCUSDT", "1m")))
            await asyncio.to_thread(server.stop)
            await playing.heard("store_outage", "held back")
            await asyncio.sleep(AWAY_S)
            with mongod(tmp_path / "db", port):
                await playing.heard("store_outage", "takes candles again")
                await assert_nothing_is_lost(playing, folder, uri)


async def test_a_document_store_that_answers_slowly(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "slow"
    folder.mkdir()
    async with slow_line(int(mongod_uri.rpartition(":")[2])) as line:
        uri = f"mongodb://127.0.0.1:{line.port}/?directConnection=true"
        few = {"feed__kline_limit": 20}  # or the past alone may fill the buffer, when it comes after the line is slow
        async with stage(folder, uri, speed=20.0, mongo__buffer=MOST_HELD, **few) as playing:
            # of all, for a history whose stored candles are read while the line is slow fails, and that is an incident
            await until_stored(lambda: all(stored_candles(mongod_uri, folder.name, name, "1m") for name in SYMBOLS))
            line.delay_s = LATE_S
            await playing.heard("store_outage", "held back")
            store = folder / "trades" / "binance"
            newest = await asyncio.to_thread(playing.witness.newest_id, "BTCUSDT")
            await until_stored(lambda: (last_stored(store, "BTCUSDT") or 0) > newest)  # the trade store notices nothing
            await playing.trades_pass(10)  # nor do the clients
            await asyncio.sleep(SLOW_S)
            line.delay_s = 0.0
            await playing.heard("store_outage", "takes candles again")
            await assert_nothing_is_lost(playing, folder, mongod_uri)
    outages = without_silence(playing.client.of_type("Incident"))
    assert {outage["kind"] for outage in outages} == {"store_outage"}  # a busy machine may have several
    begin, *_, end = outages
    assert begin["begin"] <= end["begin"] < end["end"]
    held = [json.loads(text)["held"] for text in playing.flow.said().splitlines() if '"held"' in text]
    assert held
    assert max(held) <= MOST_HELD


MOST_HELD = 1_000
LATE_S = 6.0
"""More than a bulk write may take."""
SLOW_S = 10
"""Two hundred seconds of the recording: candles close meanwhile."""

AWAY_S = 20
"""Four hundred seconds of the recording: candles close meanwhile."""


@contextmanager
def mongod(path: Path, port: int) -> Iterator[Mongod]:
    server = Mongod(path, port=port, parameters=FAST)
    try:
        server.wait_ready()
        yield server
    finally:
        server.stop()


async def until_stored(is_so: Callable[[], bool]) -> None:
    """Looks into a store, on a thread: the lines that the test itself holds go on meanwhile."""
    async with asyncio.timeout(PATIENCE_S):
        begun = time.monotonic()
        while not await asyncio.to_thread(is_so):
            await rest_after(begun, least_s=0.2)
            begun = time.monotonic()


async def test_a_trade_store_whose_disk_is_full(mongod_uri: str, tmp_path: Path) -> None:
    folder, disk = tmp_path / "disk", tmp_path / "small"
    folder.mkdir()
    with small_disk(disk):
        async with stage(folder, mongod_uri, trades__path=str(disk / "trades")) as playing:
            filler = disk / "filler"
            await until_stored(lambda: last_stored(disk / "trades" / "binance", "BTCUSDT") is not None)
            await asyncio.to_thread(fill, filler)
            await playing.heard("store_outage", "held back")
            filler.unlink()
            await playing.heard("store_outage", "takes trades again")
            (folder / "trades").symlink_to(disk / "trades")
            await assert_nothing_is_lost(playing, folder, mongod_uri)


@contextmanager
def small_disk(path: Path) -> Iterator[None]:
    """A file system of 64 MB."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(path)], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip(f"a small file system cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(path)], check=True)


def fill(path: Path) -> None:
    """Writes until there is no room."""
    with path.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(1 << 16))
        except OSError:
            pass
