"""Interfaces on a bus with many clients: how late each client has a trade, from the thread of the flow that publishes.

Three servers with three replicas, three interfaces as the command that users run, 300 clients at each. All of it
shares the machine, so what each part takes of it stands beside the delay. Clients only empty their sockets, in one
process; a few of each interface note when each message comes.
"""

import asyncio
import multiprocessing
import selectors
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

import msgspec
import psutil

from flows.model import Heartbeat, Trade, TradeBatch, VenueItems
from flows.settings import Bus
from sinks.bus.writer import BusWriter
from tests.benchmarks.crowd import frames_of, shake_hands
from tests.benchmarks.rows import Row, percentile
from tests.fakes.candles import BEGIN
from tests.fakes.deployment import free_port, running_interface
from tests.fakes.nats import BINARY, bus, running_cluster

NODES: Final = 3
CLIENTS: Final = 300
"""Of each node."""
WATCHED: Final = 5
"""Of these."""
RATE: Final = 500
"""Messages a second; every client gets all of them."""
SYMBOLS: Final = 50
QUERY: Final = "?channels=Trade"
WARM_S: Final = 5
SECONDS: Final = 20
SWEEP_S: Final = 0.05
_SPAWN: Final = multiprocessing.get_context("spawn")
_BYTES: Final = 1 << 18


def run() -> list[Row]:
    """Delay and completeness; nothing where there is no server."""
    if BINARY is None:
        return []
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as servers:
        return asyncio.run(_measured(bus(*servers, replicas=len(servers)), Path(folder)))


async def _measured(settings: Bus, folder: Path) -> list[Row]:
    publisher, flow = _process(_publish, settings)
    await asyncio.to_thread(publisher.recv)  # there is a stream
    async with AsyncExitStack() as stack:
        nodes = []
        for number in range(NODES):
            own = folder / f"node{number}"
            own.mkdir()
            chosen = {
                "bus__url": list(settings.url),
                "mongo__uri": f"mongodb://127.0.0.1:{free_port()}",
                "trades__enabled": False,
            }
            nodes.append(await stack.enter_async_context(running_interface(own, **chosen)))
        ports = [node.port for node in nodes]
        crowd, clients = _process(_drain, ports)
        watching, watchers = _process(_watch, ports)
        await asyncio.to_thread(crowd.recv)
        await asyncio.to_thread(watching.recv)
        publisher.send(None)
        await asyncio.sleep(WARM_S)
        parts = {
            "interfaces": [node.pid for node in nodes],
            "flow": [flow.pid],
            "servers": [one.pid for one in psutil.Process().children() if "nats" in one.name()],
            "clients": [clients.pid, watchers.pid],
        }
        before, begin_s = {name: _cpu_s(pids) for name, pids in parts.items()}, time.monotonic()
        noise = await _noise_ms(begin_s + SECONDS)
        passed_s = time.monotonic() - begin_s
        cores = {name: (_cpu_s(pids) - before[name]) / passed_s for name, pids in parts.items()}
        await asyncio.to_thread(publisher.recv)
        await asyncio.sleep(1.0)  # the last ones are on their way
        watching.send(None)
        arrivals: list[list[tuple[float, bytes]]] = await asyncio.to_thread(watching.recv)
        for process in (flow, clients, watchers):
            process.kill()
            process.join()
    return _rows([_delays_ms(one) for one in arrivals], cores, noise)


async def _noise_ms(until_s: float) -> float:
    """The 99th percentile of how much too late a sleep of two milliseconds ends."""
    late = []
    while (begin_s := time.monotonic()) < until_s:
        await asyncio.sleep(0.002)
        late.append((time.monotonic() - begin_s) * 1_000 - 2)
    return percentile(late, 99)


def _rows(delays: list[dict[int, float]], cores: dict[str, float], noise: float) -> list[Row]:
    first, last = WARM_S * RATE, (WARM_S + SECONDS) * RATE
    late = [ms for one in delays for number, ms in one.items() if first <= number < last]
    missing = sum(number not in one for one in delays for number in range(first, last))
    shares = ", ".join(f"{name} {share:.2f}" for name, share in cores.items())
    what = f"{NODES} interfaces with {CLIENTS} clients each, {RATE} messages/s by the bus"
    return [
        Row(what, f"p99, ms; p50 {percentile(late, 50):.1f}", f"timer noise p99 {noise:.1f} ms; cores: {shares}",
            percentile(late, 99), 100, at_most=True),
        Row(what, "messages that a client missed", f"of {len(delays)} clients", missing, 0, at_most=True),
    ]  # fmt: skip


def _cpu_s(pids: Sequence[int | None]) -> float:
    spent = 0.0
    for pid in pids:
        times = psutil.Process(pid).cpu_times()
        spent += times.user + times.system
    return spent


def _process(work: Any, *args: Any) -> "tuple[Connection[Any, Any], Any]":
    ours, theirs = _SPAWN.Pipe()
    process = _SPAWN.Process(target=work, args=(theirs, *args), daemon=True)
    process.start()
    return ours, process


# --- the flow ---


def _publish(parent: "Connection[Any, Any]", settings: Bus) -> None:
    """Publishes at the rate, each message when it is due; its price says when that is, its quantity the how manyth it
    is.
    """
    writer = BusWriter(settings, flow="flow", rate=100, origins={"binance": "replay"})
    writer.write(VenueItems("binance", [Heartbeat("binance", BEGIN)]))
    while writer.held:
        time.sleep(0.01)
    parent.send(None)
    parent.recv()
    begin_s = time.monotonic() + 0.1
    for number in range((WARM_S + SECONDS + 1) * RATE):
        due_s = begin_s + number / RATE
        if (rest_s := due_s - time.monotonic()) > 0:
            time.sleep(rest_s)
        if not number % RATE:
            writer.write(VenueItems("binance", [Heartbeat("binance", BEGIN + number)]))
        symbol = f"COIN{number % SYMBOLS:02}USDT"
        trade = Trade(symbol, number // SYMBOLS, BEGIN + number, due_s, number + 1.0, False, BEGIN + number)
        writer.write(VenueItems("binance", [TradeBatch("binance", symbol, [trade])]))
    parent.send(None)
    parent.recv()


# --- clients ---


def _drain(parent: "Connection[Any, Any]", ports: list[int]) -> None:
    """Empties all sockets again and again, without a look at what comes."""
    lines = [shake_hands(port, query=QUERY) for port in ports for _ in range(CLIENTS - WATCHED)]
    for line in lines:
        line.setblocking(False)
    parent.send(None)
    room, flags = bytearray(_BYTES), socket.MSG_TRUNC if sys.platform == "linux" else 0  # there nothing is copied
    while True:
        begin_s = time.monotonic()
        for line in lines:
            with suppress(BlockingIOError):
                line.recv_into(room, _BYTES, flags)
        time.sleep(max(0.0, SWEEP_S - (time.monotonic() - begin_s)))


def _watch(parent: "Connection[Any, Any]", ports: list[int]) -> None:
    """Notes what each client receives, and when, until the parent wants it."""
    selector = selectors.DefaultSelector()
    arrivals: list[list[tuple[float, bytes]]] = []
    for port in ports:
        for _ in range(WATCHED):
            arrivals.append([])
            selector.register(shake_hands(port, query=QUERY), selectors.EVENT_READ, arrivals[-1])
    selector.register(parent, selectors.EVENT_READ)
    parent.send(None)
    while True:
        for key, _ in selector.select():
            if key.fileobj is parent:
                parent.send(arrivals)
                return
            received = key.fileobj.recv(_BYTES)  # type: ignore[union-attr]
            key.data.append((time.monotonic(), received))


class _Row(msgspec.Struct):
    price: float
    quantity: float


class _Body(msgspec.Struct):
    trades: list[_Row] = []


class _Message(msgspec.Struct):
    type: str
    data: _Body = msgspec.field(default_factory=_Body)


def _delays_ms(arrivals: Sequence[tuple[float, bytes]]) -> dict[int, float]:
    """How late one client had each message."""
    decode, unread, found = msgspec.json.Decoder(_Message).decode, bytearray(), dict[int, float]()
    for at_s, received in arrivals:
        unread += received
        for payload in frames_of(unread):
            if payload.startswith(b'{"type":"Trade"'):
                for row in decode(payload).data.trades:
                    found[int(row.quantity) - 1] = (at_s - row.price) * 1_000
    return found
