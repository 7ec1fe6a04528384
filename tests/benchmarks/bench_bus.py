"""What the bus costs: publishing to a real server on loopback, against the bare client with the same bytes; and the
time from a flow's thread to the event at a node that is another process.
"""

import asyncio
import multiprocessing
import statistics
import tempfile
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final

import msgspec
import nats
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy

from api.live.hub_protocol import LiveEvent
from api.live.messages import HubMessage
from flows.model import Heartbeat, Trade, TradeBatch, VenueItems
from flows.settings import Bus
from sinks.bus.entry import Entry, Kept
from sinks.bus.writer import BusWriter
from sinks.hub.messages import Message, Topic
from tests.benchmarks.rows import Row, in_turns, median_ratio, percentile
from tests.fakes.bus_nodes import node
from tests.fakes.candles import BEGIN
from tests.fakes.nats import BINARY, bus, running_cluster, running_nats, until

SYMBOLS: Final = tuple(f"S{number}USDT" for number in range(200))
ROUNDS: Final = 3
TURNS: Final = 30
"""Messages of each symbol in a round."""
HOPS: Final = 1_000
PAUSE_S: Final = 0.01
BARE: Final = "ETHUSDT"
"""What the client alone publishes about."""


def run() -> list[Row]:
    """Publishing, and one hop; nothing where there is no server."""
    if BINARY is None:
        return []
    with tempfile.TemporaryDirectory() as folder, running_nats(Path(folder)) as server:
        settings = bus(server)
        numbers = iter(range(10**9))
        bare, own = in_turns(
            ROUNDS, lambda: _bare(settings, next(numbers)), lambda: _published(settings, next(numbers))
        )
        hops = [(*_both_hops(settings), "")]
    with tempfile.TemporaryDirectory() as folder, running_cluster(Path(folder)) as servers:
        settings = bus(*servers, replicas=len(servers))
        hops.append((*_both_hops(settings), ", three servers and replicas"))
    figures = [statistics.median(seconds) * 1e6 for seconds in (own, bare)]
    rows = [
        Row(
            f"flow's thread ▶ event at a node by the bus{what}",
            f"p50, ms; p99 {percentile(own_ms, 99):.1f}",
            f"bare nats-py, p50 {percentile(bare_ms, 50):.2f} ms",
            percentile(own_ms, 50),
            2,
            at_most=True,
        )
        for own_ms, bare_ms, what in hops
    ]
    return [
        Row(
            "bus, publishing a trade a message",
            f"{figures[0]:.0f} µs of CPU a message",
            f"bare nats-py with the same bytes, {figures[1]:.0f} µs",
            median_ratio(bare, own),
            0.6,
        ),
        *rows,
    ]


def _trade(symbol: str, number: int, price: float = 100.0) -> TradeBatch:
    return TradeBatch("binance", symbol, [Trade(symbol, number, BEGIN + number, price, 1.0, False, BEGIN + number)])


def _open(settings: Bus) -> BusWriter:
    writer = BusWriter(settings, flow="flow", rate=100, origins={"binance": "replay"})
    writer.write(VenueItems("binance", [Heartbeat("binance", BEGIN)]))
    until(lambda: not writer.held)
    return writer


def _published(settings: Bus, round_number: int) -> float:
    """CPU seconds of a message through the publisher."""
    writer, first = _open(settings), round_number * TURNS
    begin = time.process_time()
    for number in range(first, first + TURNS):
        writer.write(VenueItems("binance", [_trade(symbol, number) for symbol in SYMBOLS]))
        until(lambda: not writer.held)  # else trades that wait are joined
    spent = time.process_time() - begin
    writer.close()
    return spent / (TURNS * len(SYMBOLS))


def _bare(settings: Bus, round_number: int) -> float:
    """CPU seconds of a message with the client alone, which publishes as many and waits for the answers."""
    turns = [
        [
            Entry.of(Message(Topic("Trade", symbol, venue="binance"), _trade(symbol, number), 0, BEGIN), "flow").fixed()
            for symbol in SYMBOLS
        ]
        for number in range(round_number * TURNS, (round_number + 1) * TURNS)
    ]
    _open(settings).close()  # there is a stream

    async def publish(some: list[list[Kept]]) -> float:
        client = await nats.connect(settings.url[0])
        stream = client.jetstream()
        begin = time.process_time()
        for turn in some:
            answers = [
                await stream.publish_async(one.subject, one.body, headers={"Nats-Msg-Id": one.message_id})
                for one in turn
            ]
            await asyncio.gather(*answers)
        spent = time.process_time() - begin
        await client.close()
        return spent / (TURNS * len(SYMBOLS))

    return asyncio.run(publish(turns))


def _hops(
    settings: Bus, publish: Callable[[Bus], None], received: Callable[[Bus], Coroutine[Any, Any, list[float]]]
) -> list[float]:
    """Of each trade, ms from where it is published, in another process, to where it is received, by the one clock of
    the machine.
    """
    flow = multiprocessing.get_context("spawn").Process(target=publish, args=(settings,))
    flow.start()
    delays = asyncio.run(received(settings))
    flow.join()
    return delays


def _both_hops(settings: Bus) -> tuple[list[float], list[float]]:
    """From the flow's thread to the event at a node; and with the client alone, from where it is called to publish to
    where it brings the message.
    """
    return _hops(settings, _publish_slowly, _received), _hops(settings, _publish_bare, _received_bare)


def _publish_slowly(settings: Bus) -> None:
    writer = _open(settings)
    time.sleep(3.0)  # until the node is there
    for number in range(1, HOPS + 1):
        writer.write(VenueItems("binance", [_trade("BTCUSDT", number, time.perf_counter())]))
        time.sleep(PAUSE_S)
    writer.close()


async def _received(settings: Bus) -> list[float]:
    delays: list[float] = []
    is_done = asyncio.Event()

    def take(event: LiveEvent) -> Any:
        if isinstance(event, HubMessage) and event.channel == "Trade" and event.symbol == "BTCUSDT":
            now = time.perf_counter()
            delays.extend((now - row.price) * 1_000 for row in event.body.trades)
            if len(delays) >= HOPS:
                is_done.set()

    async with node(settings) as at, asyncio.timeout(300):
        at.live.subscribe(take)
        await is_done.wait()
    return delays


def _publish_bare(settings: Bus) -> None:
    async def publish() -> None:
        client = await nats.connect(settings.url[0])
        stream = client.jetstream()
        await asyncio.sleep(3.0)  # until the reader is there
        for number in range(HOPS):
            message = Message(
                Topic("Trade", BARE, venue="binance"), _trade(BARE, number, time.perf_counter()), 0, BEGIN
            )
            one = Entry.of(message, "flow").fixed()
            await stream.publish(one.subject, one.body, headers={"Nats-Msg-Id": one.message_id})
            await asyncio.sleep(PAUSE_S)
        await client.close()

    asyncio.run(publish())


async def _received_bare(settings: Bus) -> list[float]:
    delays: list[float] = []
    is_done = asyncio.Event()
    client = await nats.connect(settings.url[-1])
    inbox = client.new_inbox()

    async def take(message: Msg) -> None:
        now = time.perf_counter()
        if message.data:  # else a sign of life
            delays.append((now - msgspec.json.decode(message.data)["data"]["trades"][0]["price"]) * 1_000)
            if len(delays) == HOPS:
                is_done.set()

    await client.subscribe(inbox, cb=take)
    await client.jsm().add_consumer(
        settings.stream,
        ConsumerConfig(
            deliver_subject=inbox,
            deliver_policy=DeliverPolicy.NEW,
            filter_subject=f"mf.binance.{BARE}.>",
            ack_policy=AckPolicy.NONE,
            max_deliver=1,
            num_replicas=1,
            mem_storage=True,
        ),
    )
    async with asyncio.timeout(300):
        await is_done.wait()
    await client.close()
    return delays
