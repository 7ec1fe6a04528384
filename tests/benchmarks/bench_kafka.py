"""What topics of Kafka cost: publishing and reading, against the bare client with the same bytes. The broker is the one
that librdkafka has for its own tests, on loopback: it has no disk and no replicas, so what is measured is our side.
"""

import statistics
import threading
import time
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition

from flows.clock import FeedClock
from flows.kafka.frames import headers_of, key_of
from flows.model import RawFrames, Trade, TradeBatch, VenueItems
from flows.settings import Feed
from sinks.bus.entry import Entry
from sinks.hub.messages import Message, Topic
from sinks.kafka.writer import KafkaWriter
from sources.binance.feed import BinanceFeed
from sources.kafka.bridge import TopicSource
from sources.kafka.topic import consumer_config
from tests.benchmarks.rows import Row
from tests.fakes.candles import BEGIN
from tests.fakes.kafka import PARTITIONS, Broker, running_broker

SYMBOLS: Final = tuple(f"S{number}USDT" for number in range(2_000))
ROUNDS: Final = 5
TURNS: Final = 5
"""Messages of each symbol in a round: the next one of a symbol follows when the broker has taken the one before."""
FRAMES: Final = 40_000
"""Of a topic: the broker keeps 5 MB of a partition."""
APART_NS: Final = 500_000
"""Between the times at which two frames were received."""
_LOOK_S: Final = 0.001
_FRAME: Final = (
    b'{"stream":"%b@aggTrade","data":{"e":"aggTrade","E":1722000000000,"s":"BTCUSDT","a":%d,"p":"61710.10000000",'
    b'"q":"0.00100000","f":1,"l":1,"T":1722000000000,"m":true,"M":true}}'
)


class _Cost(NamedTuple):
    """Of a message, in seconds."""

    cpu_s: float
    wall_s: float


def run() -> list[Row]:
    """Publishing, and reading."""
    numbers = iter(range(10**9))
    with running_broker() as broker:
        sink = _in_turns(lambda: _bare_published(broker, next(numbers)), lambda: _published(broker, next(numbers)))
        _fill(broker)
        source = _in_turns(lambda: _bare_read(broker), lambda: _read(broker))
    return [
        _row("Kafka, publishing a trade a message", "message", *sink, goal_us=60),
        _row("Kafka, reading raw frames", "frame", *source, goal_us=20),
    ]


def _in_turns(*works: Callable[[], _Cost]) -> list[list[_Cost]]:
    """What each work costs, in rounds in which each has its turn; one more round warms up."""
    costs: list[list[_Cost]] = [[] for _ in works]
    for number in range(ROUNDS + 1):
        for work, found in zip(works, costs, strict=True):
            cost = work()
            if number:
                found.append(cost)
    return costs


def _row(what: str, noun: str, bare: list[_Cost], own: list[_Cost], *, goal_us: float) -> Row:
    own_us, bare_us = (statistics.median(one.cpu_s for one in costs) * 1e6 for costs in (own, bare))
    rate = 1 / statistics.median(one.wall_s for one in own)
    return Row(
        what,
        f"µs of CPU a {noun}; {rate:,.0f}/s",
        f"bare confluent-kafka with bytes that are ready, {bare_us:.0f} µs",
        own_us,
        goal_us,
        at_most=True,
    )


def _timed(work: Callable[[], object], number: int) -> _Cost:
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    return _Cost((time.process_time() - cpu) / number, (time.perf_counter() - wall) / number)


# --- publishing ---


def _trade(symbol: str, number: int) -> TradeBatch:
    return TradeBatch("binance", symbol, [Trade(symbol, number, BEGIN + number, 100.0, 1.0, False, BEGIN + number)])


def _published(broker: Broker, round_number: int) -> _Cost:
    settings = broker.settings(prefix=f"own{round_number}")
    writer = KafkaWriter(settings, kinds=("trades",), flow="flow", clocks={"binance": FeedClock()})
    turns = [VenueItems("binance", [_trade(symbol, number) for symbol in SYMBOLS]) for number in range(TURNS)]

    def publish() -> None:
        for items in turns:
            writer.write(items)
            while writer.waiting:  # else trades that wait are joined
                time.sleep(_LOOK_S)

    cost = _timed(publish, TURNS * len(SYMBOLS))
    writer.close()
    assert writer.published == {"trades": TURNS * len(SYMBOLS)}
    return cost


def _bare_published(broker: Broker, round_number: int) -> _Cost:
    """The client alone publishes as many of the same, and waits for the answers."""
    turns = [
        [
            Entry.of(Message(Topic("Trade", symbol, venue="binance"), _trade(symbol, number), 0, BEGIN), "flow").fixed()
            for symbol in SYMBOLS
        ]
        for number in range(TURNS)
    ]
    producer = Producer(
        {"bootstrap.servers": broker.address, "enable.idempotence": True, "compression.type": "lz4",
         "on_delivery": lambda *_: None}
    )  # fmt: skip

    def publish() -> None:
        for turn in turns:
            for one in turn:
                headers: Any = [("type", b"Trade"), ("version", b"1"), ("id", one.message_id.encode())]
                producer.produce(f"bare{round_number}.trades", key=b"binance:X", value=one.body, headers=headers)
                producer.poll(0)
            assert producer.flush(60) == 0

    return _timed(publish, TURNS * len(SYMBOLS))


# --- reading ---

_FEED: Final = Feed(symbols=("BTCUSDT", "ETHUSDT"), streams=("aggTrade",), origin="replay", ws_url="ws://none")
_TOPIC: Final = "marketflow.frames.binance"


def _fill(broker: Broker) -> None:
    for part in range(PARTITIONS):
        symbol = ("BTCUSDT", "ETHUSDT")[part % 2]
        broker.put(
            _TOPIC,
            (
                (
                    key_of("binance", symbol),
                    _FRAME % (symbol.lower().encode(), number),
                    headers_of("binance", "market", (number + 1) * APART_NS),
                )
                for number in range(part, FRAMES, PARTITIONS)
            ),
            partition=part,
        )


def _read(broker: Broker) -> _Cost:
    """Through the source, whose partitions keep together as in a flow."""
    source = TopicSource(
        BinanceFeed(_FEED), venue="binance", kafka=broker.settings(read_frames=True, stop_at_end=True), settings=_FEED,
        stop=threading.Event(), on_incident=lambda _: None,
    )  # fmt: skip
    found = 0

    def read() -> None:
        nonlocal found
        parts = [source.build_part("source", name, None) for name in source.list_parts()]
        while parts:
            for part in list(parts):
                try:
                    batch = part.next_batch()
                except StopIteration:
                    parts.remove(part)
                    continue
                found += sum(len(one.payloads) for one in batch if isinstance(one, RawFrames))

    cost = _timed(read, FRAMES)
    assert found == FRAMES
    return cost


def _bare_read(broker: Broker) -> _Cost:
    """The client alone."""
    config = consumer_config(broker.settings()) | {"enable.partition.eof": True}
    found = 0

    def read() -> None:
        nonlocal found
        consumer = Consumer(config)
        consumer.assign([TopicPartition(_TOPIC, part, 0) for part in range(PARTITIONS)])
        open_parts = PARTITIONS
        while open_parts:
            for one in consumer.consume(1_000, timeout=1.0):
                error = one.error()
                if error is None:
                    found += bool(one.value() and one.headers())
                else:
                    assert error.code() == KafkaError._PARTITION_EOF, error
                    open_parts -= 1
        consumer.close()

    cost = _timed(read, FRAMES)
    assert found == FRAMES
    return cost
