"""The interface beside a running flow: how long a chart takes, and how many answers a core gives.

Exchange, flow, interface and whoever asks share the machine's processors, so a rate by the clock would say how they
share them. What counts is the CPU time of the process that answers, without what following the hub costs it meanwhile.
"""

import asyncio
import json
import statistics
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from sinks.mongod.server import running_mongod
from tests.benchmarks.around import cores_of, running_exchange_process
from tests.benchmarks.asking import Asker, bare_server, delays_ms, requests_per_cpu_s
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row, percentile
from tests.fakes.deployment import START_S, Server, flow_settings, free_port, running_flow, running_interface

SYMBOLS = 50
CANDLES = 500
CHART = f"/api/chart/COIN00USDT/1m?limit={CANDLES}"
PRICES = "/api/prices"
PER_S, SECONDS = 50, 10.0
FULL_S, ROUNDS = 2.0, 5


@asynccontextmanager
async def running_whole_interface(folder: Path, settings: dict[str, Any]) -> AsyncIterator[Server]:
    """The interface as the command that users run, when it has what is asked of it."""
    async with running_interface(folder, **settings) as interface:
        async with asyncio.timeout(START_S):
            while not await _is_whole(interface.port):
                await asyncio.sleep(0.2)
        yield interface


async def _is_whole(port: int) -> bool:
    try:
        asker = await Asker.to(port)
        prices, chart = json.loads(await asker.get(PRICES)), json.loads(await asker.get(CHART))
    except (OSError, RuntimeError, asyncio.IncompleteReadError):
        return False
    asker.close()
    return len(prices["data"]) == SYMBOLS and len(chart["data"]["candles"]) == CANDLES


async def measured(uri: str, folder: Path) -> list[Row]:
    """All figures."""
    symbols = list(symbols_of(SYMBOLS))
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(running_exchange_process("--synthetic", "--symbols", *symbols))
        settings = flow_settings(
            folder, f"http://{address}", uri,
            feed__symbols=symbols,
            feed__kline_limit=600,
            feed__request_pause_ms=0,
            hub__port=free_port(),
        )  # fmt: skip
        await stack.enter_async_context(running_flow(folder, **settings))
        interface = await stack.enter_async_context(running_whole_interface(folder, settings))
        asker = await Asker.to(interface.port)
        bodies = {"chart": await asker.get(CHART), "prices": await asker.get(PRICES)}
        asker.close()
        bare = stack.enter_context(bare_server(bodies))
        delays = await delays_ms(interface.port, CHART, per_s=PER_S, seconds=SECONDS)
        rates: dict[str, list[float]] = {"prices": [], "bare prices": [], "chart": [], "bare chart": []}
        for _ in range(ROUNDS):
            following = await cores_of(interface.pid, seconds=FULL_S)
            rates["prices"].append(await requests_per_cpu_s(interface, PRICES, seconds=FULL_S, beside=following))
            rates["bare prices"].append(await requests_per_cpu_s(bare, "/same/prices", seconds=FULL_S))
            rates["chart"].append(await requests_per_cpu_s(interface, CHART, seconds=FULL_S, beside=following))
            rates["bare chart"].append(await requests_per_cpu_s(bare, "/encoded/chart", seconds=FULL_S))
    each = {name: statistics.median(values) for name, values in rates.items()}
    pace = f"{PER_S} requests/s beside a flow of {SYMBOLS} symbols"
    return [
        Row(f"/api/chart, {CANDLES} candles", "p50, ms", pace, percentile(delays, 50), 15, at_most=True),
        Row(f"/api/chart, {CANDLES} candles", "p99, ms", pace, percentile(delays, 99), 60, at_most=True),
        Row(f"/api/prices, {SYMBOLS} symbols", "requests a CPU second",
            f"bare aiohttp with the same bytes, {each['bare prices']:,.0f}", each["prices"], 2_000),
        Row(f"/api/chart, {CANDLES} candles from memory", f"{each['chart']:,.0f} requests a CPU second",
            f"bare aiohttp, orjson of the same rows, {each['bare chart']:,.0f}",
            each["chart"] / each["bare chart"], 0.9),
    ]  # fmt: skip


def run() -> list[Row]:
    """On stores and processes of its own."""
    with tempfile.TemporaryDirectory() as parent, running_mongod(Path(parent) / "mongod") as uri:
        return asyncio.run(measured(uri, Path(tempfile.mkdtemp(prefix="run", dir=parent))))
