"""Two hundred symbols with books, candles and statistics, from the exchange's socket to the stores and a client.

The exchange's request weights are in force. It runs in a process of its own, and what counts is the flow's.
"""

import asyncio
import json
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import httpx
import psutil
from msgspec import Struct
from websockets.asyncio.client import connect

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import cpu_s, running_exchange_process
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.benchmarks.trend import slope
from tests.fakes.deployment import START_S, HubClient, flow_settings, hub_client, running_flow

SYMBOLS = 200
TRADES_PER_S = 18
"""Fills of each symbol on average over a day; in its first hours, at which the market begins, about 20 aggregates."""
LOAD_S = 600.0
SETTLE_S = 660.0
"""Until the past is fetched and what fills up at first is full: closed candles can be amended for ten minutes."""
SAMPLE_S = 5.0
MEGABYTE = 1 << 20


class Load(Struct, frozen=True):
    """What was measured."""

    up_s: float
    """From the first book that was announced until all were in sync; the market's time runs as the clock does."""
    messages_per_s: float
    """From the exchange."""
    cores: float
    """CPU seconds a second of the flow's process."""
    growth: float
    """Its memory, MB a minute."""


async def load(uri: str, folder: Path) -> Load:
    """Runs it."""
    symbols = list(symbols_of(SYMBOLS))
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            running_exchange_process(
                "--synthetic", "--times", "original", "--trades-per-s", str(TRADES_PER_S), "--symbols", *symbols
            )
        )
        control = await stack.enter_async_context(httpx.AsyncClient(base_url=f"http://{address}", timeout=START_S))
        settings = flow_settings(
            folder, f"http://{address}", uri,
            feed__symbols=symbols,
            feed__streams=["aggTrade", "kline", "depth"],
            feed__request_pause_ms=10,
        )  # fmt: skip
        flow = await stack.enter_async_context(running_flow(folder, **settings))
        async with hub_client(flow.hub_url) as client:
            up_s = await _until_synced(client, set(symbols))
        listener = asyncio.create_task(_listen(flow.hub_url))
        await asyncio.sleep(SETTLE_S)
        played = (await _state(control))["played"]
        before_s, begin_s = cpu_s(flow.pid), time.monotonic()
        sizes = await _sizes(psutil.Process(flow.pid))
        spent_s, seconds = cpu_s(flow.pid) - before_s, time.monotonic() - begin_s
        played = (await _state(control))["played"] - played
        assert not listener.done(), "the hub let go of its client"
        listener.cancel()
        await flow.stop()
    growth = slope(*zip(*sizes, strict=True))
    return Load(up_s, played / seconds, spent_s / seconds, growth.each * 60)


async def _until_synced(client: HubClient, symbols: set[str]) -> float:
    """Seconds from the first announced book until all of them are in sync."""
    begin = 0.0

    def all_synced(message: dict[str, Any]) -> bool:
        nonlocal begin
        for item in message["data"]["messages"] if message["type"] == "Snapshot" else [message]:
            if item["type"] == "OrderBook":
                begin = begin or time.monotonic()
                if item["data"]["synced"]:
                    symbols.discard(item["data"]["symbol"])
        return not symbols

    await client.subscribe("OrderBook")
    await client.until(all_synced)
    return time.monotonic() - begin


async def _listen(url: str) -> None:
    """A client that takes everything and reads nothing."""
    async with connect(url, max_size=None) as client:
        async for _ in client:
            pass


async def _sizes(process: psutil.Process) -> list[tuple[float, float]]:
    """Seconds and megabytes, as long as the load lasts."""
    begin, sizes = time.monotonic(), []
    while (passed := time.monotonic() - begin) < LOAD_S:
        sizes.append((passed, process.memory_info().rss / MEGABYTE))
        await asyncio.sleep(SAMPLE_S)
    return sizes


async def _state(control: httpx.AsyncClient) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((await control.get("/control/state")).content)
    return state


def run() -> list[Row]:
    """Books that come up, and a core that carries them."""
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        folder = Path(parent) / "load"
        folder.mkdir()
        found = asyncio.run(load(uri, folder))
    name = f"{SYMBOLS} symbols with books, candles, statistics"
    rate = f"{found.messages_per_s:,.0f} messages/s"
    return [
        Row(f"{SYMBOLS} books in sync", "seconds", "the venue's request weights", found.up_s, 60, at_most=True),
        Row(name, "cores", rate, found.cores, 1, at_most=True),
        Row(name, f"MB a minute, over {LOAD_S:.0f} s", rate, found.growth, 1, at_most=True),
    ]
