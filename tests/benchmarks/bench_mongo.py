"""How fast candles reach MongoDB: the writer against a bare `bulk_write` of the same operations, ready made.

python -m tests.benchmarks.bench_mongo
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from pymongo import MongoClient, UpdateOne, WriteConcern

from flows.clock import wall_ms
from flows.model import Candle
from flows.settings import Mongo
from sinks.mongo.buffer import CandleBuffer
from sinks.mongo.documents import INDEXES, MARKET_DATA, candle_upsert
from sinks.mongo.writer import BULK_ITEMS, MongoWriter, open_client
from sinks.mongod.server import running_mongod
from tests.benchmarks.rows import Row
from tests.fakes.candles import candle

CANDLES = 20_000
ROUNDS = 5
DAYS = {"1m": 36_500}


class Figures(NamedTuple):
    """Candles a second, and what `write` costs the flow."""

    writer: float
    bare: float
    ratio: float
    put_us: float
    """Microseconds of the flow's thread for one candle."""


def closed_candles(count: int = CANDLES, *, symbols: int = 50) -> list[Candle]:
    """Minutes of many instruments, in the order in which they close."""
    return [candle(number // symbols, symbol=f"COIN{number % symbols:02d}USDT") for number in range(count)]


def write_through_writer(uri: str, database: str, candles: list[Candle]) -> float:
    """Seconds from the first `write` until all is stored and the writer is closed."""
    writer = MongoWriter(open_client(Mongo(uri=uri)), database=database, retention_days=DAYS)
    begin = time.perf_counter()
    for start in range(0, len(candles), BULK_ITEMS):
        writer.write(candles[start : start + BULK_ITEMS])
    writer.close()
    seconds = time.perf_counter() - begin
    if writer.stored.closed != len(candles):
        raise RuntimeError(f"{writer.stored.closed} of {len(candles)} candles are stored")
    return seconds


def write_bare(uri: str, database: str, operations: list[UpdateOne]) -> float:
    """Seconds of `bulk_write` alone, with the same indexes, acknowledgement and size of batch."""
    with MongoClient[dict[str, Any]](uri) as client:
        collection = client[database].get_collection(MARKET_DATA, write_concern=WriteConcern(w="majority", j=True))
        collection.create_indexes(list(INDEXES[MARKET_DATA]))
        begin = time.perf_counter()
        for start in range(0, len(operations), BULK_ITEMS):
            collection.bulk_write(operations[start : start + BULK_ITEMS], ordered=False)
        return time.perf_counter() - begin


def put_cost_us(candles: list[Candle]) -> float:
    """Microseconds that a candle costs the flow's thread."""
    buffer = CandleBuffer(capacity=len(candles), forming_ms=1_000)
    begin = time.perf_counter()
    for start in range(0, len(candles), 100):
        buffer.put(candles[start : start + 100])
    return (time.perf_counter() - begin) / len(candles) * 1e6


def measure(rounds: int = ROUNDS) -> Figures:
    """Medians over the rounds, writer and yardstick in turns against one server, each with an empty database."""
    candles = closed_candles()
    operations = [candle_upsert(made, now_ms=wall_ms(), retention_days=DAYS) for made in candles]
    with tempfile.TemporaryDirectory() as directory, running_mongod(Path(directory)) as uri:
        sides: dict[str, Callable[[str], float]] = {
            "writer": lambda database: write_through_writer(uri, database, candles),
            "bare": lambda database: write_bare(uri, database, operations),
        }
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        with MongoClient[dict[str, Any]](uri) as client:
            for number in range(2 * rounds):
                names = sorted(sides, reverse=bool(number // 2 % 2))
                name = names[number % 2]
                seconds[name].append(sides[name](f"bench_{number}"))
                client.drop_database(f"bench_{number}")
    writer, bare = (statistics.median(seconds[name]) for name in ("writer", "bare"))
    ratios = [b / w for b, w in zip(seconds["bare"], seconds["writer"], strict=True)]
    put_us = statistics.median(put_cost_us(candles) for _ in range(rounds))
    return Figures(len(candles) / writer, len(candles) / bare, statistics.median(ratios), put_us)


def run() -> list[Row]:
    """The writer against the driver alone, and what it costs the flow."""
    figures = measure()
    bare = f"bare bulk_write, {figures.bare:,.0f}/s"
    return [
        Row("MongoDB writer", f"{figures.writer:,.0f} candles/s", bare, figures.ratio, 0.9),
        Row("what it costs the flow", "µs a candle", "", figures.put_us, 2.0, at_most=True),
    ]
