"""What is stored takes how much disk: the table in docs/operations.md, measured anew in two minutes.

    python -m tests.benchmarks.disk

Trades are made up, with prices and quantities of many digits. Documents are those of a demo, many times over.
No two have the same numbers, as a database would compress these well, so they are an upper bound.
"""

import logging
import random
import sys
import tempfile
from collections.abc import Iterator
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple

import structlog
from bson import ObjectId
from pymongo import MongoClient

from flows.settings import Settings
from sinks.mongo.analyses import INDEXES as OF_ANALYSES
from sinks.mongo.analyses import MARKET_ANALYSIS
from sinks.mongo.documents import INDEXES, MARKET_DATA, MARKET_STATS
from sinks.mongod.server import running_mongod
from tests.benchmarks.bench_trades import sizes_and_scans
from tests.fakes.demo import running_demo
from tests.marked import DOCS, replace

PAGE = DOCS / "operations.md"
RATES = {0.5: 20_000, 5.0: 100_000, 50.0: 300_000}
"""Trades of each symbol a second, and how many are stored."""
DOCUMENTS = 50_000
LEAST = {MARKET_DATA: 400, MARKET_STATS: 40, MARKET_ANALYSIS: 4}
"""Documents of the demo."""
DAY_MINUTES = 1_440
MINUTES = {"1m": 1, "5m": 5, "15m": 15, "1h": 60, "4h": 240}


class Size(NamedTuple):
    """Bytes a document."""

    data: float
    indexes: float


def documents_of_a_demo(folder: Path) -> dict[str, list[dict[str, Any]]]:
    """Documents of each collection, once there are enough."""
    with running_demo(folder, "--speed", "30") as demo:
        uri = demo.variables["MARKETFLOW_MONGO__URI"]
        with MongoClient[dict[str, Any]](uri) as client:
            database = client[Settings().mongo.database]
            demo.until(lambda: all(database[name].estimated_document_count() >= least for name, least in LEAST.items()))
            found = {name: list(database[name].find()) for name in LEAST}
        demo.end()
    return found


def varied(value: Any, chance: random.Random) -> Any:
    """The same with other numbers of about the same size."""
    if isinstance(value, dict):
        return {key: varied(each, chance) for key, each in value.items()}
    if isinstance(value, list):
        return [varied(each, chance) for each in value]
    return value * chance.uniform(0.999, 1.001) if isinstance(value, float) else value


def many(documents: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """So many documents with keys and numbers of their own."""
    chance = random.Random(1)
    for number, document in enumerate(islice(cycle(documents), DOCUMENTS)):
        own: dict[str, Any] = {name: number * 60_000 for name in ("open_time", "minute") if name in document}
        yield {**varied(document, chance), **own, "_id": ObjectId(), "expires_at": None}


def size_of(uri: str, name: str, documents: list[dict[str, Any]]) -> Size:
    """Measured in a collection of its own, after a checkpoint."""
    indexes = OF_ANALYSES if name == MARKET_ANALYSIS else INDEXES[name]
    with MongoClient[dict[str, Any]](uri) as client:
        collection = client["sizes"][name]
        collection.create_indexes(list(indexes))
        collection.insert_many(list(many(documents)), ordered=False)
        client.admin.command("fsync")
        stats = client["sizes"].command("collStats", name)
    return Size(stats["storageSize"] / DOCUMENTS, stats["totalIndexSize"] / DOCUMENTS)


def candles_kept() -> int:
    """Candles of a symbol with the default retention, a year of days included."""
    kept = Settings().mongo.retention_days
    return 365 + sum(days * DAY_MINUTES // MINUTES[timeframe] for timeframe, days in kept.items())


def rows() -> Iterator[str]:
    """The lines of the table."""
    settings = Settings()
    days = settings.trades.retention_days
    yield "| what | bytes each | by default kept of a symbol | takes |"
    yield "|---|---|---|---|"
    for rate, count in RATES.items():
        sizes = sizes_and_scans(trades=count, symbols=1, trades_per_s=rate)
        kept = rate * 86_400 * days
        yield (
            f"| a trade, at {rate:g} a second of the symbol "
            f"| {sizes['minute_bytes']:.1f}; {sizes['second_bytes']:.1f} in the newest "
            f"{settings.trades.merge_after_minutes} minutes | {days} days, {kept / 1e6:.1f} million "
            f"| {_megabytes(kept * sizes['minute_bytes'])} |"
        )
    with tempfile.TemporaryDirectory() as name:
        documents = documents_of_a_demo(Path(name))
    minutes = DAY_MINUTES * settings.mongo.retention_days["1m"]
    kept_of = {
        MARKET_DATA: ("a candle", candles_kept(), "by `mongo.retention_days`, with a year of days"),
        MARKET_STATS: ("24-hour statistics", minutes, "one a minute, as long as 1m candles"),
        MARKET_ANALYSIS: ("an analysis", DAY_MINUTES * settings.analysis.retention_days, "one a minute"),
    }
    with tempfile.TemporaryDirectory() as name, running_mongod(Path(name)) as uri:
        for collection, (what, number, how) in kept_of.items():
            size = size_of(uri, collection, documents[collection])
            each = f"{size.data:.0f}, and {size.indexes:.0f} of indexes"
            yield f"| {what} | {each} | {number:,}: {how} | {_megabytes(number * sum(size))} |"
    with tempfile.TemporaryDirectory() as name:
        with running_mongod(Path(name)):
            pass
        empty = sum(file.stat().st_blocks * 512 for file in Path(name).rglob("*") if file.is_file())
    yield f"| the bundled MongoDB, empty | | its journal, once | {_megabytes(empty)} |"


def _megabytes(size: float) -> str:
    return f"{size / 1e6:,.0f} MB" if size < 1e9 else f"{size / 1e9:,.1f} GB"


def main() -> None:
    """Measures, and puts the table into the page."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    text = "\n".join(rows())
    sys.stdout.write(f"{text}\n")
    replace(PAGE, "disk", text)


if __name__ == "__main__":
    main()
