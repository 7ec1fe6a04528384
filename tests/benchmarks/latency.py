"""How much later than a client of the exchange a client of the hub hears of a price.

Both clients are one process's, in C and with nothing to do but to note the time: what a message says is looked at when
all have come. Beside it stands how late the machine wakes whoever sleeps.
"""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from sources.connection.picows_transport import open_socket
from tests.benchmarks.around import listeners, running_exchange_process
from tests.benchmarks.market import symbols_of
from tests.benchmarks.rows import percentile
from tests.fakes.deployment import START_S, flow_settings, running_flow

WARM_UP_S = 3.0
CLIENTS = 100
SYMBOLS = 10
_NOISE_S = 0.002

Heard: TypeAlias = tuple[float, bytes]


class Latency(Struct, frozen=True):
    """Milliseconds."""

    p50: float
    p99: float
    noise_p99: float
    """How much too late a sleep of two milliseconds ends."""


class Ears:
    """A client of the exchange and one of the hub, and a sleeper."""

    def __init__(self) -> None:
        self.of_exchange: list[Heard] = []
        self.of_hub: list[Heard] = []
        self.late: list[float] = []
        self._new_prices = NewPrices()

    def take(self) -> Latency | None:
        """What was heard since the last time; None when it is too little to say anything."""
        at_exchange, at_hub = _firsts(self.of_exchange, self._new_prices), _firsts(self.of_hub, _of_hub)
        delays = [(at_hub[key] - at_exchange[key]) * 1_000 for key in at_hub.keys() & at_exchange.keys()]
        late, self.late = self.late, []
        self.of_exchange.clear()
        self.of_hub.clear()
        if len(delays) < 2 or len(late) < 2:
            return None
        return Latency(statistics.median(delays), percentile(delays, 99), percentile(late, 99))

    async def sleep(self, seconds: float) -> None:
        """Listens for so long."""
        end = time.monotonic() + seconds
        while (begin := time.monotonic()) < end:
            await asyncio.sleep(_NOISE_S)
            self.late.append((time.monotonic() - begin - _NOISE_S) * 1_000)


@asynccontextmanager
async def listening(address: str, hub_url: str, symbols: Iterable[str]) -> AsyncIterator[Ears]:
    """Ears for prices of these symbols."""
    ears, names = Ears(), list(symbols)
    streams = "/".join(f"{name.lower()}@aggTrade" for name in names)
    request = {"op": "subscribe", "channels": ["MarketData"], "symbols": names}
    exchange = await open_socket(f"ws://{address}/stream?streams={streams}", _into(ears.of_exchange), timeout_s=START_S)
    hub = await open_socket(hub_url, _into(ears.of_hub), timeout_s=START_S)
    try:
        await hub.send(msgspec.json.encode(request).decode())
        yield ears
    finally:
        await hub.close()
        await exchange.close()


async def measured(uri: str, folder: Path, *, trades_per_s: int, seconds: float) -> Latency:
    """Of a whole deployment at a rate, with a hundred clients."""
    symbols = list(symbols_of(SYMBOLS))
    each = str(trades_per_s / SYMBOLS)
    async with AsyncExitStack() as stack:
        address = await stack.enter_async_context(
            running_exchange_process("--synthetic", "--symbols", *symbols, "--trades-per-s", each)
        )
        settings = flow_settings(folder, f"http://{address}", uri, feed__symbols=symbols, feed__streams=["aggTrade"])
        flow = await stack.enter_async_context(running_flow(folder, **settings))
        stack.enter_context(listeners(flow.hub_url, CLIENTS - 1))
        ears = await stack.enter_async_context(listening(address, flow.hub_url, symbols))
        await asyncio.sleep(WARM_UP_S)
        ears.take()
        await ears.sleep(seconds)
        latency = ears.take()
        await flow.stop()
    if latency is None:
        raise RuntimeError(f"no price came to the client, see {flow.log}")
    return latency


def _into(heard: list[Heard]) -> Callable[[bytes], None]:
    put, now = heard.append, time.monotonic
    return lambda message: put((now(), message))


def _firsts(heard: list[Heard], key_of: Callable[[Any], Any]) -> dict[Any, float]:
    """When each price of a symbol and millisecond was first heard of."""
    arrivals: dict[Any, float] = {}
    for moment, message in heard:
        key = key_of(msgspec.json.decode(message))
        if key is not None:
            arrivals.setdefault(key, moment)
    return arrivals


class NewPrices:
    """The keys of trades that change the price of their symbol. Of any other the hub says nothing until a ticker brings
    other figures, up to a second later.
    """

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, message: dict[str, Any]) -> Any:
        data = message["data"]
        symbol, price = data["s"], float(data["p"])
        known, self._last[symbol] = self._last.get(symbol), price
        return None if known == price else (symbol, data["E"], price)


def _of_hub(message: dict[str, Any]) -> Any:
    if message["type"] != "MarketData":
        return None
    data = message["data"]
    return data["symbol"], data["timestamp"], data["price"]
