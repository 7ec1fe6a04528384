"""An empty MongoDB at the address of the one before, while the recovered state and the trades stay."""

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from flows.model import Candle
from flows.operators.candles.compare import differing_fields
from flows.recovery import prepare
from sinks.mongo.documents import INCIDENTS, MARKET_DATA, candle_of
from sinks.mongod.server import Mongod
from sources.replay.exchange.threaded import ThreadedExchange, exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.conftest import FAST
from tests.fakes.deployment import START_S, HubClient, RunningFlow, flow_settings, hub_client, running_flow
from tests.fakes.twins import recovering

pytestmark = pytest.mark.e2e

SYMBOL = "BTCUSDT"
SPEED = 60.0
OWN = 4
"""Minutes that the first flow closes itself."""
COMPARED, FETCHED = 20, 60
"""Newest candles of each timeframe that must be there again, and that are fetched: the market goes on meanwhile."""
Key = tuple[str, int]


class Database:
    """A server of its own, at one address for the whole test."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._process = self._start(0)
        self.uri = self._process.uri
        self.client = MongoClient[dict[str, Any]](self.uri)

    def _start(self, port: int) -> Mongod:
        process = Mongod(self._path, port=port, parameters=FAST)
        process.wait_ready()
        return process

    def replace(self) -> None:
        """Another one, with nothing in it."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        shutil.rmtree(self._path)
        self._process = self._start(int(self.uri.rpartition(":")[2]))

    def close(self) -> None:
        self.client.close()
        self._process.stop()
        shutil.rmtree(self._path)

    def candles(self, folder: Path) -> dict[Key, Candle]:
        """The closed ones."""
        found = self.client[folder.name][MARKET_DATA].find({"is_closed": True})
        return {(one.timeframe, one.open_time): one for one in map(candle_of, found)}

    def causes(self, folder: Path) -> list[str]:
        """What the ledger says of stores."""
        return [found["cause"] for found in self.client[folder.name][INCIDENTS].find({"kind": "store_outage"})]


@asynccontextmanager
async def following(
    folder: Path, exchange: ThreadedExchange, database: Database
) -> AsyncIterator[tuple[RunningFlow, HubClient]]:
    settings = flow_settings(
        folder, exchange.rest_url, database.uri,
        feed__symbols=[SYMBOL],
        feed__streams=["aggTrade", "kline"],
        feed__kline_limit=FETCHED,
        feed__proof_grace_ms=500,
        feed__request_pause_ms=0,
        feed__backoff_min_s=0.1,
    )  # fmt: skip
    async with running_flow(folder, *recovering(folder), **settings) as flow, hub_client(flow.hub_url) as client:
        await client.subscribe("Status", "Candle", "Incident")
        yield flow, client


async def until(is_so: Any) -> None:
    async with asyncio.timeout(START_S):
        while not await asyncio.to_thread(is_so):
            await asyncio.sleep(0.1)


async def built(client: HubClient, minutes: int) -> set[int]:
    """Waits until the flow has closed so many minutes by its own trades, and gives their open times."""
    closed: set[int] = set()

    def is_enough(message: dict[str, Any]) -> bool:
        data = message["data"]
        if message["type"] == "Candle" and data["timeframe"] == "1m" and data["candle"]["status"] == "final":
            closed.add(data["candle"]["timestamp"])
        return len(closed) >= minutes

    await client.until(is_enough)
    return closed


def wrong(before: dict[Key, Candle], after: dict[Key, Candle]) -> list[tuple[Key, Any]]:
    """What of the newest candles of before is not there again, or says something else."""
    found: list[tuple[Key, Any]] = []
    for key, candle in before.items():
        newest = max(open_time for timeframe, open_time in before if timeframe == key[0])
        if key[1] > newest - COMPARED * (candle.close_time + 1 - candle.open_time):
            again = after.get(key)
            if again is None or differing_fields(again, candle):
                found.append((key, again))
    return found


@pytest.mark.parametrize("while_running", [False, True])
async def test_the_past_is_there_again_and_the_loss_is_told(tmp_path: Path, while_running: bool) -> None:
    folder = tmp_path / "flow"
    folder.mkdir()
    prepare(folder / "recovery")
    market = SyntheticMarket("spot", (SYMBOL,), seed=1, start_ms=1_767_225_600_000, trades_per_s=5.0)
    database = Database(tmp_path / "mongo")
    try:
        with exchange_in_thread(market, speed=SPEED, start_now=True) as exchange:
            async with following(folder, exchange, database) as (flow, client):
                own = await built(client, OWN)
                await until(lambda: {("1m", minute) for minute in own} <= database.candles(folder).keys())
                if not while_running:
                    assert await flow.stop() == 0, flow.said()
                before = database.candles(folder)
                await asyncio.to_thread(database.replace)
                if while_running:
                    await until(lambda: not wrong(before, database.candles(folder)))
                    await told(client)
                    assert await flow.stop() == 0, flow.said()
            if not while_running:
                async with following(folder, exchange, database) as (flow, client):
                    await until(lambda: not wrong(before, database.candles(folder)))
                    await until(lambda: any("is another one than before" in c for c in database.causes(folder)))
                    assert await flow.stop() == 0, flow.said()
        assert {("1m", minute) for minute in own} <= before.keys()
        assert wrong(before, database.candles(folder)) == []
        assert any("is another one than before" in cause for cause in database.causes(folder))
        assert "database_replaced" in flow.said()
    finally:
        database.close()


async def told(client: HubClient) -> None:
    """Waits until a client hears of it."""

    def is_it(message: dict[str, Any]) -> bool:
        return message["type"] == "Incident" and "is another one than before" in message["data"]["cause"]

    if not any(is_it(message) for message in client.messages):
        await client.until(is_it)
