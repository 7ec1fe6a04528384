"""The flow is killed at random moments and started again; the stores hold what an undisturbed run would have held."""

import asyncio
import contextlib
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from pymongo import MongoClient

from flows.operators.verdict import is_same
from flows.recovery import prepare
from sinks.trade_reader import TradeReader
from sources.replay.tapes import load_tapes
from sources.replay.threaded import ThreadedExchange, exchange_in_thread
from tests.fakes.deployment import HubClient, RunningFlow, free_port, hub_client, running_flow
from tests.fakes.recordings import recording
from tests.fakes.witness import Witness, disagreements, last_stored, stored_candles

pytestmark = pytest.mark.e2e

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SPEED = 12.0
KILLS = 10
LONGEST_LIFE_S = 3.0
PATIENCE_S = 900
TIMES_OF_WRITING = ("_id", "created_at", "updated_at", "expires_at")

Stored = tuple[list[dict[str, Any]], dict[str, pl.DataFrame]]


@contextlib.contextmanager
def playing(speed: float = SPEED) -> Iterator[ThreadedExchange]:
    """The recording; once begun it goes on whether anybody listens or not, and REST serves what nobody heard."""
    market = load_tapes([recording("binance-spot-2024-08-08")], kind="spot", history=recording("kline-history"))
    with exchange_in_thread(market, speed=speed, paused=True, start_now=True) as exchange:
        yield exchange


def settings_for(folder: Path, exchange: ThreadedExchange, mongod_uri: str) -> dict[str, Any]:
    return {
        "feed__origin": "replay",
        "feed__symbols": list(SYMBOLS),
        "feed__streams": ["aggTrade", "kline"],
        "feed__ws_url": exchange.ws_url,
        "feed__rest_url": exchange.rest_url,
        "feed__backoff_min_s": 0.1,
        "feed__proof_grace_ms": 500,
        "feed__request_pause_ms": 0,
        "mongo__uri": mongod_uri,
        "mongo__database": folder.name,
        "trades__path": str(folder / "trades"),
    }


def recovering(folder: Path) -> tuple[str, ...]:
    """Flags of the engine that keep the state in `folder`."""
    return ("-r", str(folder / "recovery"), "-s", "1", "-b", "0")


async def begun(exchange: ThreadedExchange, client: HubClient) -> None:
    """Lets the recording begin, and waits until the first trades are seen: before them nobody knows of a gap."""
    await client.subscribe("Status", "Trade")
    await client.until_live(1)
    exchange.resume()
    for symbol in SYMBOLS:
        await client.until(lambda m, symbol=symbol: m["type"] == "Trade" and m["data"]["symbol"] == symbol)


def candles_of(mongod_uri: str, database: str) -> list[dict[str, Any]]:
    """Every document, without the times of writing, in the order of its key."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        documents = list(client[database]["market_data"].find({}, dict.fromkeys(TIMES_OF_WRITING, 0)))
    return sorted(documents, key=lambda d: (d["symbol"], d["timeframe"], d["open_time"]))


def trades_of(folder: Path) -> dict[str, pl.DataFrame]:
    with TradeReader(folder / "trades" / "binance") as reader:
        return {symbol: reader.trades(symbol, 0, 2 << 42) for symbol in reader.symbols()}


async def until_played(folder: Path, mongod_uri: str, exchange: ThreadedExchange) -> None:
    """Waits until the recording has ended, its last trades are stored, and every closed candle has its proof."""
    await asyncio.to_thread(exchange.wait_finished, PATIENCE_S)
    with contextlib.closing(Witness(exchange.rest_url)) as witness:
        newest = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

    def is_complete() -> bool:
        if any(last_stored(folder / "trades" / "binance", symbol) != newest[symbol] for symbol in SYMBOLS):
            return False
        closed = [document for document in candles_of(mongod_uri, folder.name) if document["is_closed"]]
        return all(document["proof"] or document["status"] == "venue" for document in closed)

    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(is_complete):
            await asyncio.sleep(0.2)


async def ended(folder: Path, mongod_uri: str, exchange: ThreadedExchange, flow: RunningFlow) -> Stored:
    """Plays to the end, ends the flow, and gives what the stores hold."""
    await until_played(folder, mongod_uri, exchange)
    assert await flow.stop() == 0, flow.said()
    return candles_of(mongod_uri, folder.name), trades_of(folder)


async def played(folder: Path, mongod_uri: str, *, kills: int, speed: float = SPEED) -> Stored:
    """Plays the whole recording, killing the flow so many times."""
    folder.mkdir()
    prepare(folder / "recovery")
    chance = random.Random(7)
    with playing(speed) as exchange:
        settings = settings_for(folder, exchange, mongod_uri)
        async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
            await begun(exchange, client)
            if not kills:
                return await ended(folder, mongod_uri, exchange, flow)
            await asyncio.sleep(chance.uniform(1.5, LONGEST_LIFE_S))
            await flow.kill()
        for _ in range(kills - 1):
            async with running_flow(folder, *recovering(folder), **settings) as flow:
                await asyncio.sleep(chance.uniform(0.0, LONGEST_LIFE_S))
                await flow.kill()
        async with running_flow(folder, *recovering(folder), **settings) as flow:
            return await ended(folder, mongod_uri, exchange, flow)


def same(ours: Any, theirs: Any) -> bool:
    """Equal; quote volumes of a day have more digits than float64, so their last place depends on where the start
    fell.
    """
    return is_same(ours, theirs) if isinstance(theirs, float) and isinstance(ours, float) else bool(ours == theirs)


def differences(expected: list[dict[str, Any]], found: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    """What differs, candle by candle and field by field: both values."""
    keys = ("symbol", "timeframe", "open_time")
    ours = {tuple(document[key] for key in keys): document for document in found}
    theirs = {tuple(document[key] for key in keys): document for document in expected}
    out: list[tuple[Any, ...]] = [(key, "missing") for key in theirs.keys() - ours.keys()]
    out += [(key, "superfluous") for key in ours.keys() - theirs.keys()]
    for key in theirs.keys() & ours.keys():
        out += [
            (key, field, value, ours[key].get(field))
            for field, value in theirs[key].items()
            if not same(ours[key].get(field), value)
        ]
    return out


async def test_killed_at_random_moments_nothing_is_lost(mongod_uri: str, tmp_path: Path) -> None:
    (candles, trades), (disturbed_candles, disturbed_trades) = await asyncio.gather(
        played(tmp_path / "undisturbed", mongod_uri, kills=0), played(tmp_path / "disturbed", mongod_uri, kills=KILLS)
    )
    for frame in trades.values():
        assert frame["id"].to_list() == list(range(frame["id"][0], frame["id"][0] + frame.height))
    assert differences(candles, disturbed_candles) == []
    for symbol in SYMBOLS:
        assert_frame_equal(disturbed_trades[symbol], trades[symbol])


async def test_a_state_written_by_one_worker_is_resumed_by_two_processes(mongod_uri: str, tmp_path: Path) -> None:
    folder, second = tmp_path / "grown", tmp_path / "second"
    folder.mkdir()
    second.mkdir()
    prepare(folder / "recovery")
    with playing() as exchange, contextlib.closing(Witness(exchange.rest_url)) as witness:
        settings = settings_for(folder, exchange, mongod_uri)
        async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
            await begun(exchange, client)
            await asyncio.sleep(LONGEST_LIFE_S)
            await flow.kill()
        cluster = ("-a", f"127.0.0.1:{free_port()};127.0.0.1:{free_port()}")
        async with (
            running_flow(folder, *recovering(folder), "-i", "0", *cluster, **settings) as flow,
            running_flow(second, *recovering(folder), "-i", "1", *cluster, **settings) as other,
        ):
            await until_played(folder, mongod_uri, exchange)
            codes = await asyncio.gather(flow.stop(), other.stop())
            assert list(codes) == [0, 0], flow.said() + other.said()
        for symbol in SYMBOLS:
            trades = trades_of(folder)[symbol]
            assert trades["id"].to_list() == list(range(trades["id"][0], witness.newest_id(symbol) + 1))
            klines = witness.klines(symbol, "1m", trades["time"][0] // 60_000 * 60_000)
            assert len(klines) == 11
            assert disagreements(stored_candles(mongod_uri, folder.name, symbol, "1m"), klines) == []
