"""Whether it stays as it is: a whole deployment under load for a long time, looked at every few seconds.

    python -m tests.benchmarks soak [--minutes 10] [--speed 5]

The replay exchange plays a synthetic market of a hundred symbols with all streams, at many times its pace, so that
minutes hold hours of it. Each look is a line; at the end stand the slopes of memory, and the latency then and now.
"""

import argparse
import asyncio
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psutil
from msgspec import Struct
from pymongo import MongoClient
from rich.console import Console
from rich.progress import Progress

from sinks.mongod.server import running_mongod
from tests.benchmarks import heap
from tests.benchmarks.around import running_exchange_process, running_module
from tests.benchmarks.latency import Ears, Latency, listening
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import Row
from tests.benchmarks.trend import last_third_to_first, slope
from tests.fakes.deployment import START_S, environment_of, flow_settings, free_port

WARM_UP_SHARE = 0.25
"""Of the time, and until the stores have put their first rows into files: until then caches fill, and nothing is
judged.
"""
CACHED = 2
"""Candles of a series that the interface holds: with the usual number it would take hours of market to fill."""
HEARD = 5
"""Symbols whose prices are listened to."""
OURS = ("flow", "interface", "exchange")
"""Our processes."""
JUDGED = ("flow", "interface")
"""Those whose memory must not grow: the exchange fills with the trades that REST has of it, up to a bound that an hour
does not reach (`python -m tests.benchmarks exchange`).
"""
GOAL_MB_AN_HOUR = 1.0
FLAT = 1.25
_MB = 1e6
_LEAST_LOOKS = 12


class Process(Struct, frozen=True):
    """What one process holds."""

    memory_mb: float
    files: int
    threads: int
    memtables_mb: float = 0.0
    """What of its memory are rows that RocksDB has not yet put into a file."""


class Look(Struct, frozen=True):
    """The deployment at one moment."""

    hours: float
    """Wall time since the begin."""
    market_hours: float
    processes: dict[str, Process]
    rocksdb_mb: float
    mongodb_mb: float
    latency: Latency | None
    """Since the look before."""

    def line(self) -> str:
        """For people."""
        held = "  ".join(
            f"{name} {process.memory_mb:.1f} MB ({process.memtables_mb:.1f} memtables) "
            f"{process.files} files {process.threads} threads"
            for name, process in self.processes.items()
        )
        heard = f"p50 {self.latency.p50:.1f} p99 {self.latency.p99:.1f} ms" if self.latency else "nothing heard"
        return (
            f"{self.hours * 60:5.1f} min, market {self.market_hours:.2f} h  {held}  "
            f"RocksDB {self.rocksdb_mb:.1f} MB  MongoDB {self.mongodb_mb:.1f} MB  {heard}"
        )


class _Deployment(Struct, frozen=True):
    address: str
    hub_url: str
    folder: Path
    mongo: MongoClient[dict[str, Any]]
    processes: dict[str, psutil.Process]

    async def market_ms(self) -> int:
        async with httpx.AsyncClient(timeout=START_S) as client:
            state = (await client.get(f"http://{self.address}/control/state")).json()
        return int(state["now"])

    def held(self) -> dict[str, Process]:
        """`psutil.NoSuchProcess` when one has ended."""
        return {
            name: Process(
                process.memory_info().rss / _MB, process.num_fds(), process.num_threads(), self._memtables_mb(name)
            )
            for name, process in self.processes.items()
        }

    def _memtables_mb(self, name: str) -> float:
        heaps = self.heaps(name)
        return heaps[-1].parts.get(heap.MEMTABLES, 0.0) if heaps else 0.0

    def heaps(self, name: str) -> list[heap.Heap]:
        """Of a process, since it began; empty when it is not looked into."""
        path = self.folder / f"{name}.heap"
        return heap.read(path) if path.exists() else []

    def rocksdb_mb(self) -> float:
        sizes = [_size_of(path) for path in (self.folder / "trades").rglob("*")]
        return sum(sizes) / _MB

    def mongodb_mb(self) -> float:
        of_it = self.mongo[self.folder.name].command("dbStats")
        return float(of_it["storageSize"] + of_it["indexSize"]) / _MB

    def said(self) -> Counter[str]:
        """What our processes had to warn of."""
        lines = [line for log in self.folder.glob("*.log") for line in log.read_text().splitlines()]
        told = [msgspec.json.decode(line) for line in lines if line.startswith("{")]
        return Counter(entry["event"] for entry in told if entry["level"] in ("warning", "error"))


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # compacted away meanwhile
        return 0


@asynccontextmanager
async def _running_deployment(arguments: argparse.Namespace) -> AsyncIterator[_Deployment]:
    symbols = list(symbols_of(arguments.symbols))
    async with AsyncExitStack() as stack:
        folder = arguments.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="soak")))
        folder.mkdir(exist_ok=True)
        uri = stack.enter_context(running_mongod(folder / "mongod"))
        address = await stack.enter_async_context(
            running_exchange_process(
                "--synthetic", "--speed", str(arguments.speed), "--trades-per-s", str(arguments.trades_per_s),
                "--symbols", *symbols,
            )
        )  # fmt: skip
        hub, api = free_port(), free_port()
        settings = flow_settings(
            folder, f"http://{address}", uri, feed__symbols=symbols,
            feed__transport=arguments.transport, hub__port=hub, api__port=api, log__format="json",
            api__cache_size=CACHED,
        )  # fmt: skip
        environment = environment_of(settings | {"metrics__enabled": False})

        async def run(name: str, *command: str, port: int) -> psutil.Process:
            looked_into = ("tests.benchmarks.heap", str(folder / f"{name}.heap"), str(arguments.every))
            probed = looked_into if arguments.heap else ()
            pid = await stack.enter_async_context(running_module(folder, environment, *probed, *command, port=port))
            return psutil.Process(pid)

        flow = await run("flow", "bytewax.run", "flows.main", port=hub)
        interface = await run("interface", "api", port=api)
        mongo: MongoClient[dict[str, Any]] = stack.enter_context(MongoClient(uri))
        processes = {"flow": flow, "interface": interface} | _others()
        yield _Deployment(address, f"ws://127.0.0.1:{hub}/ws", folder, mongo, processes)


def _others() -> dict[str, psutil.Process]:
    names = {"sources.replay": "exchange", "--dbpath": "mongod"}
    children = psutil.Process().children(recursive=True)
    return {name: child for child in children for word, name in names.items() if word in child.cmdline()}


async def _soak(arguments: argparse.Namespace) -> list[Row]:
    looks: list[Look] = []
    symbols = symbols_of(arguments.symbols)[:HEARD]
    with Progress(console=Console(soft_wrap=True)) as progress:
        bar = progress.add_task("soak", total=arguments.minutes * 60)
        async with (
            _running_deployment(arguments) as deployment,
            listening(deployment.address, deployment.hub_url, symbols) as ears,
        ):
            begin_s, begin_ms = time.monotonic(), await deployment.market_ms()
            while (elapsed_s := time.monotonic() - begin_s) < arguments.minutes * 60:
                await ears.sleep(arguments.every)
                looks.append(await _look(deployment, ears, begin_s, begin_ms))
                progress.print(looks[-1].line(), highlight=False)
                progress.update(bar, completed=elapsed_s)
            for event, count in deployment.said().most_common():
                progress.print(f"{count} times: {event}", highlight=False)
            warm_up = _warm_up(looks)
            for name in OURS:
                heaps = deployment.heaps(name)
                for line in heap.grown(heaps[len(heaps) * warm_up // len(looks) :]):
                    progress.print(f"{name}: {line}", highlight=False)
    return judged(looks)


async def _look(deployment: _Deployment, ears: Ears, begin_s: float, begin_ms: int) -> Look:
    return Look(
        hours=(time.monotonic() - begin_s) / 3_600,
        market_hours=(await deployment.market_ms() - begin_ms) / 3_600_000,
        processes=deployment.held(),
        rocksdb_mb=deployment.rocksdb_mb(),
        mongodb_mb=deployment.mongodb_mb(),
        latency=ears.take(),
    )


def judged(looks: Sequence[Look]) -> list[Row]:
    """The slopes after the warm-up, and the latency in the last third of that time against the first.

    Of memory without RocksDB's memtables, whose saw would hide what grows. `ValueError` when there are too few looks.
    """
    calm = looks[_warm_up(looks) :]
    latencies = [look.latency for look in calm if look.latency]
    if len(latencies) < _LEAST_LOOKS:
        raise ValueError(f"{len(latencies)} looks after the warm-up are too few: run it longer, or look more often")
    hours = [look.hours for look in calm]
    span = f"{calm[-1].hours * 60:.0f} min, {calm[-1].market_hours:.1f} h of market"
    rows = []
    for name in JUDGED:
        memory = [look.processes[name].memory_mb - look.processes[name].memtables_mb for look in calm]
        found = slope(hours, memory)
        held = f"±{2 * found.error:.1f}; {memory[0]:.0f} MB ▶ {memory[-1]:.0f} MB"
        rows.append(Row(f"soak of {span}: {name}", "MB an hour", held, found.each, GOAL_MB_AN_HOUR, at_most=True))
    p99 = [latency.p99 for latency in latencies]
    noise = last_third_to_first([latency.noise_p99 for latency in latencies])
    rows.append(Row("the same: p99 exchange ▶ client", "last third", f"first third; timer noise {noise:.2f}",
        last_third_to_first(p99), FLAT, at_most=True))  # fmt: skip
    return rows


def _warm_up(looks: Sequence[Look]) -> int:
    """How many looks are not judged."""
    held = [sum(look.processes[name].memtables_mb for name in JUDGED) for look in looks]
    first_flush = next((number for number, (before, after) in enumerate(pairwise(held), 1) if after < before), 0)
    return max(int(len(looks) * WARM_UP_SHARE), first_flush)


def run(argv: Sequence[str]) -> list[Row]:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks soak", description=(__doc__ or "").split(":")[0])
    add = parser.add_argument
    add("--minutes", type=float, default=10.0, help="of wall time (default: %(default)s)")
    add("--every", type=float, default=10.0, metavar="S", help="seconds between two looks (default: %(default)s)")
    add("--symbols", type=int, default=100, metavar="N", help="of the market (default: %(default)s)")
    add("--speed", type=float, default=5.0, help="seconds of market time a second (default: %(default)s)")
    add("--trades-per-s", type=float, default=1.0, metavar="N", help="of each symbol (default: %(default)s)")
    add("--transport", choices=("websockets", "picows"), default="picows", help="of the flow (default: %(default)s)")
    add("--heap", action=argparse.BooleanOptionalAction, default=True, help="count objects and parts of memory")
    add("--folder", type=Path, help="kept, with logs and heaps (default: one that is removed)")
    return asyncio.run(_soak(parser.parse_args(argv)))
