"""Four venues in one flow, fifty symbols each, from the sockets of the exchanges to the stores: what its process takes.

Each exchange runs in a process of its own, in its own protocol. `python -m tests.benchmarks.bench_four SYMBOLS SECONDS`
runs it smaller.
"""

import asyncio
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import cpu_s, running_exchange_process
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row, table
from tests.fakes.deployment import START_S, flow_settings, running_flow
from tests.fakes.several_venues import of_venue
from tests.fakes.venue_peers import PEERS

SYMBOLS = 50
SETTLE_S = 120.0
"""Until the past is fetched."""
LOAD_S = 300.0
RATES = {"binance": 18, "binance-usdm": 18, "coinbase": 6, "kraken": 2}
"""Fills a second of each symbol, as the most traded ones of each venue have: recordings of Coinbase and Kraken have 6
and less.
"""
OPTIONS = {"binance-usdm": ("--market", "usdm"), "coinbase": ("--venue", "coinbase"), "kraken": ("--venue", "kraken")}


class Found(NamedTuple):
    """What was measured."""

    messages_per_s: float
    cores: float


async def four(uri: str, folder: Path, *, symbols: int, settle_s: float, load_s: float) -> Found:
    """Runs it."""
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(httpx.AsyncClient(timeout=START_S))
        addresses = {venue: await stack.enter_async_context(_exchange(venue, symbols)) for venue in RATES}
        settings: dict[str, Any] = {"feed__streams": ["aggTrade", "kline", "ticker", "depth"]}
        for venue, address in addresses.items():
            ws_url, names = f"ws://{address}{PEERS[venue].ws_path}", ",".join(_symbols(venue, symbols))
            settings |= of_venue(venue, names, ws_url, f"http://{address}")
        first = f"http://{addresses['binance']}"
        flow = await stack.enter_async_context(running_flow(folder, **flow_settings(folder, first, uri, **settings)))
        await asyncio.sleep(settle_s)
        played = await _played(client, addresses)
        before_s, begin_s = cpu_s(flow.pid), time.monotonic()
        await asyncio.sleep(load_s)
        spent_s, seconds = cpu_s(flow.pid) - before_s, time.monotonic() - begin_s
        played = await _played(client, addresses) - played
        assert await flow.stop() == 0, flow.said()
    return Found(played / seconds, spent_s / seconds)


def _symbols(venue: str, count: int) -> list[str]:
    """Their names there."""
    names = symbols_of(count)
    return list(names) if venue.startswith("binance") else [name.replace("USDT", "-USD") for name in names]


def _exchange(venue: str, symbols: int) -> Any:
    return running_exchange_process(
        "--synthetic", "--times", "original", "--trades-per-s", str(RATES[venue]), *OPTIONS.get(venue, ()),
        "--symbols", *_symbols(venue, symbols),
    )  # fmt: skip


async def _played(client: httpx.AsyncClient, addresses: dict[str, str]) -> int:
    """Messages that the exchanges have sent."""
    states = [(await client.get(f"http://{address}/control/state")).json() for address in addresses.values()]
    return sum(state["played"] for state in states)


def run(symbols: int = SYMBOLS, settle_s: float = SETTLE_S, load_s: float = LOAD_S) -> list[Row]:
    """A core that carries them."""
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        folder = Path(parent) / "four"
        folder.mkdir()
        found = asyncio.run(four(uri, folder, symbols=symbols, settle_s=settle_s, load_s=load_s))
    rate = f"{found.messages_per_s:,.0f} messages/s, {load_s:.0f} s"
    return [Row(f"four venues, {symbols} symbols each", "cores", rate, found.cores, 1, at_most=True)]


if __name__ == "__main__":
    sys.stdout.write(f"{table(run(int(sys.argv[1]), 5.0, float(sys.argv[2])))}\n")
