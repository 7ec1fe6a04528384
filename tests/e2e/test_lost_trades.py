"""What a flow finds again after a restart: its first seconds, the time when it was away, and what its store lost."""

import asyncio
import contextlib
import json
import random
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from sinks.trades.codec import END_MS, encode_key
from sinks.trades.store import TradeStore
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.bad_records import put
from tests.fakes.deployment import RunningFlow
from tests.fakes.lives import following, holes, lived, lost_after_a_first_life, prepared, store
from tests.fakes.twins import SYMBOLS, traded
from tests.fakes.witness import Witness, last_stored

pytestmark = pytest.mark.e2e

FIRST_LIVES = 3
LONGEST_FIRST_LIFE_S = 1.5
PATIENCE_S = 120
"""Longest wait for the store to be complete: a bound for broken runs, not a measure."""


@pytest.fixture
def exchange() -> Iterator[ThreadedExchange]:
    market = SyntheticMarket("spot", SYMBOLS, seed=1, start_ms=1_767_225_600_000)
    with exchange_in_thread(market, speed=5.0) as running:
        yield running


async def until_stored(folder: Path, exchange: ThreadedExchange) -> None:
    """Waits until the newest trades that REST knows are stored; the market stands still."""
    with contextlib.closing(Witness(exchange.rest_url)) as witness:
        newest = {symbol: witness.newest_id(symbol) for symbol in SYMBOLS}

    def is_complete() -> bool:
        # REST knows one message more than the streams when the market is stopped in between
        return all((last_stored(store(folder), symbol) or 0) >= newest[symbol] - 1 for symbol in SYMBOLS)

    async with asyncio.timeout(PATIENCE_S):
        while not await asyncio.to_thread(is_complete):
            await asyncio.sleep(0.2)


@pytest.mark.parametrize("number", range(FIRST_LIVES))
async def test_killed_in_its_first_seconds_nothing_that_was_told_is_lost(
    exchange: ThreadedExchange, tmp_path: Path, number: int
) -> None:
    seconds = random.Random(number).uniform(0.0, LONGEST_FIRST_LIFE_S)
    assert await lost_after_a_first_life(prepared(tmp_path / "flow"), exchange, seconds) == []


async def test_what_was_missed_is_fetched_although_the_market_has_stopped(
    exchange: ThreadedExchange, tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "flow")
    first = await lived(folder, exchange, 3.0)
    await asyncio.sleep(2.0)  # trades that nobody hears
    await asyncio.to_thread(exchange.pause)
    async with following(folder, exchange) as (flow, _):
        await until_stored(folder, exchange)
        assert await flow.stop() == 0, flow.said()
    assert holes(folder, first) == []


async def until_stored_again(flow: RunningFlow) -> None:
    """Waits until the flow says it of every symbol: perhaps before a client of the hub is there to hear of it."""
    async with asyncio.timeout(PATIENCE_S):
        while not all(
            any(symbol in line and "stored again" in line for line in flow.said().splitlines()) for symbol in SYMBOLS
        ):
            await asyncio.sleep(0.1)


async def test_what_a_lost_log_held_is_fetched_again(exchange: ThreadedExchange, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "flow")
    first = await lived(folder, exchange, 3.0)
    for log in store(folder).glob("*/*.log"):
        log.unlink()
    async with following(folder, exchange) as (flow, client):
        await traded(client)
        await until_stored_again(flow)
        await traded(client)
        assert await flow.stop() == 0, flow.said()
        assert "trade_store_lost_writes" in flow.said()
    assert holes(folder, first) == []


async def test_what_newest_records_held_that_cannot_be_read_is_fetched_again(
    exchange: ThreadedExchange, tmp_path: Path
) -> None:
    folder = prepared(tmp_path / "flow")
    first = await lived(folder, exchange, 5.0)
    [part] = store(folder).glob("part-*")
    spoilt = []
    with TradeStore(part, accepts_loss=True) as stopped:
        for symbol in SYMBOLS:
            for start in list(stopped.starts(symbol, 0, END_MS))[-2:]:
                put(stopped, encode_key(symbol, start), b"anything")
                spoilt.append((symbol, start))
    async with following(folder, exchange) as (flow, client):
        await traded(client)
        await until_stored_again(flow)
        await traded(client)
        assert await flow.stop() == 0, flow.said()
    assert holes(folder, first) == []
    said = [json.loads(line) for line in flow.said().splitlines() if line.startswith("{")]
    replaced = {line["record"] for line in said if line.get("event") == "trade_record_replaced"}
    assert replaced == {encode_key(*one).decode() for one in spoilt}


async def test_a_store_that_is_gone_is_named(exchange: ThreadedExchange, tmp_path: Path) -> None:
    folder = prepared(tmp_path / "flow")
    await lived(folder, exchange, 3.0)
    shutil.rmtree(folder / "trades")
    async with following(folder, exchange) as (flow, client):
        named = [
            message["data"]
            for message in [
                await client.until(lambda m: m["type"] == "Incident" and m["data"]["kind"] == "store_outage")
            ]
        ]
        assert await flow.stop() == 0, flow.said()
    assert "lacks trades that were handed on" in json.dumps(named)
