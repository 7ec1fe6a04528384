"""What a delivery costs: the hub against `websockets.broadcast` of every message, interleaved in one process.

100 clients on loopback, read by a thread that only empties the sockets; 1,000 messages a second. The figure is CPU time
of the serving thread for each message and client.
"""

import asyncio
import selectors
import socket
import statistics
import threading
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import msgspec
from websockets.asyncio.server import Server, ServerConnection, broadcast, serve

from flows.model import MarketData
from flows.settings import Hub as HubSettings
from sinks.broadcast import Broadcast
from tests.benchmarks.rows import Row

T = TypeVar("T")

CLIENTS, RATE, SYMBOLS, SECONDS, ROUNDS = 100, 1_000, 50, 1.0, 5
BEGIN = 1_767_225_600_000


def news(number: int) -> MarketData:
    return MarketData("binance", f"COIN{number % SYMBOLS:02}USDT", 1.0 + number, BEGIN + number, -1.0, -0.5, 1e4)


@contextmanager
def reading(port: int) -> Iterator[None]:
    """So many clients that read and do nothing else, in a process-wide thread."""
    selector, stop = selectors.DefaultSelector(), threading.Event()
    sockets = []
    for _ in range(CLIENTS):
        line = socket.create_connection(("127.0.0.1", port))
        line.sendall(
            b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        while b"\r\n\r\n" not in line.recv(4_096):
            pass
        line.setblocking(False)
        selector.register(line, selectors.EVENT_READ)
        sockets.append(line)

    def run() -> None:
        while not stop.is_set():
            for key, _ in selector.select(0.05):
                with suppress(OSError):
                    key.fileobj.recv(1 << 20)  # type: ignore[union-attr]

    reader = threading.Thread(target=run)
    reader.start()
    try:
        yield
    finally:
        stop.set()
        reader.join()
        for line in sockets:
            line.close()
        selector.close()


def paced(send: Callable[[int], object]) -> int:
    """Sends at the rate for the time; returns how many."""
    begin, number = time.monotonic(), 0
    while (elapsed := time.monotonic() - begin) < SECONDS:
        while number < elapsed * RATE:
            send(number)
            number += 1
        time.sleep(0.001)
    return number


def of_hub() -> float:
    """CPU µs a delivery of the hub."""
    hub = Broadcast(HubSettings(port=0), venue="binance", origin="replay")
    hub.start()
    loop = hub._loop
    assert loop is not None

    def cpu_s() -> float:
        return asyncio.run_coroutine_threadsafe(_cpu(), loop).result()

    with reading(hub.port):
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

    with reading(port):
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


def run() -> list[Row]:
    """The hub against the library's own broadcast of each message."""
    ours, theirs = [], []
    for _ in range(ROUNDS):
        ours.append(of_hub())
        theirs.append(of_library())
    hub_us, library_us = statistics.median(ours), statistics.median(theirs)
    ratio = statistics.median(our / their for our, their in zip(ours, theirs, strict=True))
    return [
        Row(
            "CPU a delivery, 100 clients, 1,000 messages/s",
            f"{hub_us:.1f} µs",
            f"`websockets.broadcast` of each, {library_us:.1f} µs",
            ratio,
            0.4,
            at_most=True,
        )
    ]
