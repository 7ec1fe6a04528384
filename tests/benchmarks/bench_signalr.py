"""The interface as a door for clients: what the gateway adds to the hub's delay, and 500 clients of SignalR on a core.

The hub is in this process, the interface in one of its own, and so are the clients (`crowd.py`).
"""

import asyncio
import os
import statistics
import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Final, NamedTuple

from flows.model import Heartbeat, MarketData
from flows.settings import Hub as HubSettings
from sinks.hub.broadcast import Broadcast
from tests.benchmarks.around import cpu_s
from tests.benchmarks.crowd import drained, measured
from tests.benchmarks.rows import Row, percentile
from tests.fakes.deployment import Server, free_port, running_interface

CLIENTS: Final = 500
RATE: Final = 200
"""Messages a second, of `SYMBOLS` symbols."""
SYMBOLS: Final = 50
SECONDS: Final = 5.0
ROUNDS: Final = 5
SETTLE_S: Final = 2.0
"""Until all clients have subscribed."""
BEGIN: Final = 1_767_225_600_000

_numbers = count(1)


class Sent(NamedTuple):
    """Messages that were sent at the rate."""

    first: int
    """The price of the first one; each costs one more than the one before."""
    begin_s: float

    def delays_ms(self, arrivals: list[tuple[float, float]]) -> list[float]:
        """How late each of them came, counted from when it was due."""
        ours = [(price - self.first, at_s) for price, at_s in arrivals if price >= self.first]
        return [(at_s - self.begin_s - number / RATE) * 1_000 for number, at_s in ours]


def run() -> list[Row]:
    """Both figures."""
    hub = Broadcast(HubSettings(port=0), origins={"binance": "replay"})
    hub.start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            return asyncio.run(_with_interface(hub, Path(folder)))
    finally:
        hub.close()


async def _with_interface(hub: Broadcast, folder: Path) -> list[Row]:
    settings = {
        "api__hub_urls": [f"ws://127.0.0.1:{hub.port}/ws"],
        "mongo__uri": f"mongodb://127.0.0.1:{free_port()}",
        "trades__path": str(folder / "trades"),
    }
    async with running_interface(folder, **settings) as interface:
        return await asyncio.to_thread(_rows, hub, interface)


def _rows(hub: Broadcast, interface: Server) -> list[Row]:
    _until_followed(hub, interface)
    own, added = [], []
    for _ in range(ROUNDS):
        with measured(hub.port) as at_hub, measured(interface.port) as at_gateway:
            sent = _paced(hub, SECONDS / ROUNDS)
        hub_ms, gateway_ms = (statistics.median(sent.delays_ms(at)) for at in (at_hub, at_gateway))
        own.append(hub_ms)
        added.append(gateway_ms - hub_ms)
    os.sched_setaffinity(interface.pid, {max(os.sched_getaffinity(interface.pid))})
    with drained(interface.port, clients=CLIENTS - 1, signalr=True), measured(interface.port, signalr=True) as arrivals:
        time.sleep(SETTLE_S)
        before_s = cpu_s(interface.pid)
        sent = _paced(hub, SECONDS)
        share = (cpu_s(interface.pid) - before_s) / SECONDS
    delays = sent.delays_ms(arrivals)
    p50, p99 = percentile(delays, 50), percentile(delays, 99)
    crowd, pace = f"{CLIENTS} SignalR clients, {RATE} messages/s each", "the pace they were due at"
    return [
        Row("gateway ▶ client, p50 beyond the hub's, ms", f"hub {statistics.median(own):.2f} ms",
            "a client of the hub at the same time", statistics.median(added), 1.5, at_most=True),
        Row(crowd, "share that arrived", pace, len(delays) / (RATE * SECONDS), 0.99),
        Row(crowd, f"p99, ms; p50 {p50:.1f}, {share:.0%} of a core", pace, p99, 100, at_most=True),
    ]  # fmt: skip


def _price(number: int) -> MarketData:
    return MarketData("binance", f"COIN{number % SYMBOLS:02}USDT", float(number), BEGIN + number, -1.0, -0.5, 1e4)


def _until_followed(hub: Broadcast, interface: Server) -> None:
    """Until what the hub says comes out at the gateway."""
    hub.write([Heartbeat("binance", BEGIN)])
    arrivals: list[tuple[float, float]] = []
    while not arrivals:
        with measured(interface.port) as arrivals:
            hub.write([_price(next(_numbers))])
            time.sleep(0.2)


def _paced(hub: Broadcast, seconds: float) -> Sent:
    """Sends at the rate for the time."""
    begin_s, first, sent = time.monotonic(), next(_numbers), 0
    while sent < seconds * RATE:
        while sent < min(time.monotonic() - begin_s, seconds) * RATE:
            hub.write([_price(next(_numbers) if sent else first)])
            sent += 1
        time.sleep(0.0005)
    time.sleep(0.3)  # until all has arrived
    return Sent(first, begin_s)
