"""The hub: what a delivery costs, what becomes of the pace with 500 clients, and what one that is stuck does to others.

The clients are in other processes (`crowd.py`). CPU time is that of the serving thread for each message and client.
"""

import asyncio
import statistics
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from flows.model import MarketData
from flows.settings import Hub as HubSettings
from sinks.hub.broadcast import Broadcast
from tests.benchmarks.crowd import drained, measured, shake_hands
from tests.benchmarks.rows import Row, percentile

T = TypeVar("T")

CLIENTS, MANY, RATE, SYMBOLS, SECONDS, LONGER_S, ROUNDS = 100, 500, 1_000, 50, 1.0, 4.0, 5
BEGIN = 1_767_225_600_000


def news(number: int) -> MarketData:
    return MarketData("binance", f"COIN{number % SYMBOLS:02}USDT", 1.0 + number, BEGIN + number, -1.0, -0.5, 1e4)


def paced(send: Callable[[int], object], *, seconds: float = SECONDS) -> int:
    """Sends at the rate for the time; returns how many."""
    begin, number = time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < seconds:
        while number < elapsed * RATE:
            send(number)
            number += 1
        time.sleep(0.001)
    return number


def of_hub() -> float:
    """CPU µs a delivery of the hub."""
    hub = Broadcast(HubSettings(port=0), origins={"binance": "replay"})
    hub.start()

    def cpu_s() -> float:
        return hub._thread.start(_cpu()).result()

    with drained(hub.port, clients=CLIENTS):
        before, sent_before = cpu_s(), hub.counters.sent
        paced(lambda number: hub.write([news(number)]))
        time.sleep(0.05)
        used, sent = cpu_s() - before, hub.counters.sent - sent_before
    hub.close()
    return used / sent * 1e6


async def _cpu() -> float:
    return time.thread_time()


def of_library() -> float:
    """CPU µs a delivery of the library's broadcast."""
    connections: set[ServerConnection] = set()
    encode = msgspec.json.Encoder().encode

    async def follow(connection: ServerConnection) -> None:
        connections.add(connection)
        await connection.wait_closed()

    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()

    def run(work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    async def begin() -> Server:
        return await serve(follow, "127.0.0.1", 0, compression=None)

    server = run(begin())
    port = next(iter(server.sockets)).getsockname()[1]

    def send(number: int) -> None:
        loop.call_soon_threadsafe(lambda: broadcast(connections, encode(news(number)), text=True))

    with drained(port, clients=CLIENTS):
        before = run(_cpu())
        count = paced(send)
        time.sleep(0.05)
        used = run(_cpu()) - before

    async def end() -> None:
        server.close()
        await server.wait_closed()

    run(end())
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.close()
    return used / (count * CLIENTS) * 1e6


def delays_ms(*, clients: int, stuck: bool = False) -> tuple[list[float], float]:
    """How late a client gets each message, counted from when it was due, beside so many others; and the share of the
    messages that left at all. With `stuck` one more client never reads.
    """
    hub = Broadcast(HubSettings(port=0), origins={"binance": "replay"})
    hub.start()
    begin_s = 0.0

    def send(number: int) -> None:
        nonlocal begin_s
        if not number:
            begin_s = time.monotonic()
        hub.write([news(number)])

    with ExitStack() as running:
        running.enter_context(drained(hub.port, clients=clients))
        if stuck:
            running.enter_context(shake_hands(hub.port, receive_bytes=4_096))
        with measured(hub.port) as arrivals:
            paced(send, seconds=LONGER_S)
            time.sleep(0.2)
    hub.close()
    delays = [(at_s - begin_s - (price - 1) / RATE) * 1_000 for price, at_s in arrivals]
    return delays, len(delays) / (LONGER_S * RATE)


def run() -> list[Row]:
    """The hub against the library's own broadcast of each message, against the clock, and against itself."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(of_hub())
        theirs.append(of_library())
    hub_us, library_us = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    delays, share = delays_ms(clients=MANY)
    p50, p99 = percentile(delays, 50), percentile(delays, 99)
    alone, beside = zip(*((_median(stuck=False), _median(stuck=True)) for _ in range(ROUNDS)), strict=True)
    crowd, pace = f"{MANY} clients, 1,000 messages/s", "the pace they were due at"
    return [
        Row("CPU a delivery, 100 clients, 1,000 messages/s", f"{hub_us:.1f} µs",
            f"`websockets.broadcast` of each, {library_us:.1f} µs", ratio, 0.3, at_most=True),
        Row(crowd, "share that left in time", pace, share, 0.95),
        Row(crowd, f"p99, ms; p50 {p50:.1f}", pace, p99, 100, at_most=True),
        Row("one stuck client: p50 of the others", f"{statistics.median(beside):.2f} ms",
            f"without it, {statistics.median(alone):.2f} ms",
            statistics.median(beside) / statistics.median(alone), 1.1, at_most=True),
    ]  # fmt: skip


def _median(*, stuck: bool) -> float:
    return statistics.median(delays_ms(clients=CLIENTS, stuck=stuck)[0])
