"""The flow is killed at random moments and started again; the stores hold what an undisturbed run would have held."""

import asyncio
import contextlib
from pathlib import Path

import pytest

from flows.recovery import prepare
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.market.market import Market
from tests.fakes.deployment import free_port, hub_client, running_flow
from tests.fakes.tapes import spot_recording
from tests.fakes.twins import (
    LONGEST_LIFE_S,
    PATIENCE_S,
    SYMBOLS,
    begun,
    compared,
    differences,
    is_proven,
    recovering,
    settings_for,
    trades_of,
    until,
)
from tests.fakes.witness import Witness, disagreements, last_stored, stored_candles

pytestmark = pytest.mark.e2e

SPEED = 12.0
KILLS = 3


def tape(*, loop: bool = False) -> Market:
    """The recording; once begun it goes on whether anybody listens or not, and REST serves what nobody heard."""
    return spot_recording(loop=loop)


async def until_played(folder: Path, mongod_uri: str, exchange: ThreadedExchange) -> None:
    """Waits until the recording has ended, its last trades are stored, and every closed candle has its proof."""
    await asyncio.to_thread(exchange.wait_finished, PATIENCE_S)
    with contextlib.closing(Witness(exchange.rest_url)) as witness:
        newest = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

    def is_complete() -> bool:
        stored = {symbol: last_stored(folder / "trades" / "binance", symbol) for symbol in SYMBOLS}
        return stored == newest and is_proven(mongod_uri, folder.name)

    await until(is_complete)


async def test_killed_at_random_moments_nothing_is_lost(mongod_uri: str, tmp_path: Path) -> None:
    folder = tmp_path / "random"
    calm, killed = await compared(folder, mongod_uri, tape(loop=True), speed=SPEED, kills=KILLS)
    for frame in calm[1].values():
        assert frame["id"].to_list() == list(range(frame["id"][0], frame["id"][0] + frame.height))
    found = differences(calm, killed)
    assert not found, "\n".join(map(str, found))


async def test_with_one_two_four_and_again_one_worker_the_results_are_the_same(mongod_uri: str, tmp_path: Path) -> None:
    workers = ("1", "2", "4", "1")
    calm, rescaled = await compared(
        tmp_path / "rescaled", mongod_uri, tape(loop=True), speed=SPEED, kills=len(workers) - 1,
        flags=lambda life: ("-w", workers[life]),
    )  # fmt: skip
    for frame in rescaled[1].values():
        assert frame["id"].to_list() == list(range(frame["id"][0], frame["id"][0] + frame.height))
    found = differences(calm, rescaled)
    assert not found, "\n".join(map(str, found))


async def test_a_state_written_by_one_worker_is_resumed_by_two_processes(mongod_uri: str, tmp_path: Path) -> None:
    folder, second = tmp_path / "grown", tmp_path / "second"
    folder.mkdir()
    second.mkdir()
    prepare(folder / "recovery")
    with (
        exchange_in_thread(tape(), speed=SPEED, paused=True, start_now=True) as exchange,
        contextlib.closing(Witness(exchange.rest_url)) as witness,
    ):
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
