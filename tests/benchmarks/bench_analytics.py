"""Analytics and frames while the flow writes: volume profiles over stored days, indicators, and frames against the bare
drivers.

python -m tests.benchmarks.bench_analytics

The symbol trades 1.5 million times a day; its last hour is stored by the second, what is older by the minute, as in a
store that the flow writes. A process of its own writes trades into that store meanwhile, 5,000 a second. All figures
are CPU time of this process, which is the reader; it takes some two minutes.
"""

import logging
import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from multiprocessing.synchronize import Event
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import numpy as np
import structlog
from pymongo import MongoClient
from rocksdict import WriteBatch

from api.analytics.bars import Bars
from api.analytics.indicators import compute, parse_wanted
from api.analytics.profile import VolumeByPrice
from flows.model import DAY_MS, Trade, TradeBatch
from flows.settings import Mongo
from sinks.dataframes import CANDLE_SCHEMA, Frames
from sinks.mongo.documents import INDEXES, MARKET_DATA, candle_document
from sinks.mongod.server import running_mongod
from sinks.trades.codec import END_MS, MINUTE_MS, SECOND_MS, TradeColumns, encode_key, encode_record
from sinks.trades.compaction import TradeCompactor
from sinks.trades.reader import TradeReader
from sinks.trades.store import StoreBusyError, TradeStore
from sinks.trades.writer import TradeWriter
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.candle_runs import wandering
from tests.fakes.candles import BEGIN

TRADES_PER_DAY: Final = 1_500_000
DAYS: Final = 7
HOUR_MS: Final = 3_600_000
CANDLES: Final = 1_000_000
CANDLES_AT_ONCE: Final = 50_000
ROUNDS: Final = 5
LONG_ROUNDS: Final = 2
"""Rounds of what takes seconds."""
SYMBOL: Final = "BTCUSDT"
END: Final = BEGIN + DAYS * DAY_MS
PROFILE_COLUMNS: Final = ("id", "time", "price", "quantity", "buyer_is_maker")
LIVE_SYMBOLS: Final = (SYMBOL, *(f"COIN{number:02d}USDT" for number in range(49)))
LIVE_TRADES_PER_S: Final = 5_000
POLLS_PER_S: Final = 20
MERGED_S: Final = 600
"""Seconds of all live symbols that are merged."""
MERGE_AT_ONCE: Final = 1_000
QUIET: Final = structlog.make_filtering_bound_logger(logging.ERROR)


def build_store(path: Path, *, days: int = DAYS, trades_per_day: int = TRADES_PER_DAY) -> None:
    """A week of trades whose price wanders around 60,000."""
    rng = np.random.default_rng(7)
    price = 60_000.0
    with TradeStore(path / "part-00") as store:
        for day in range(days):
            begin = END - (days - day) * DAY_MS
            steps = np.exp(np.cumsum(rng.normal(0, 1e-5, trades_per_day)))
            columns = (
                np.arange(day * trades_per_day, (day + 1) * trades_per_day, dtype="<i8"),
                begin + np.arange(trades_per_day, dtype="<i8") * DAY_MS // trades_per_day,
                np.round(price * steps, 2),
                np.maximum(np.round(rng.exponential(1 / 3, trades_per_day), 5), 1e-5),
                rng.random(trades_per_day) < 0.5,
            )
            price *= float(steps[-1])
            seconds_from = END - HOUR_MS
            _write(store, columns, MINUTE_MS, begin, min(begin + DAY_MS, seconds_from))
            _write(store, columns, SECOND_MS, max(begin, seconds_from), begin + DAY_MS)
        store.compact()


def _write(store: TradeStore, columns: tuple[np.ndarray, ...], length_ms: int, begin_ms: int, end_ms: int) -> None:
    bounds = np.searchsorted(columns[1], np.arange(begin_ms, end_ms + 1, length_ms))
    for number, (low, high) in enumerate(pairwise(bounds)):
        ids, times, prices, quantities, sides = (column[low:high].tobytes() for column in columns)
        record = TradeColumns(id=ids, time=times, price=prices, quantity=quantities, buyer_is_maker=sides)
        _put(store, encode_key(SYMBOL, begin_ms + number * length_ms), encode_record(record))


def _put(store: TradeStore, key: bytes, record: bytes) -> None:
    while True:
        batch = WriteBatch(raw_mode=True)  # a batch is consumed even when it was not written
        batch.put(key, record)
        try:
            store.write(batch)
        except StoreBusyError:
            time.sleep(0.05)
        else:
            return


@contextmanager
def live_writer(path: Path) -> Iterator[None]:
    """A process writes what the flow would: 5,000 trades a second of 50 symbols, the measured one among them."""
    spawn = multiprocessing.get_context("spawn")
    writing, stop = spawn.Event(), spawn.Event()
    process = spawn.Process(target=_write_live, args=(path, writing, stop))
    process.start()
    try:
        if not writing.wait(timeout=60):
            raise RuntimeError("the writer did not begin")
        yield
        if not process.is_alive():
            raise RuntimeError("the writer ended too soon")
    finally:
        stop.set()
        process.join()


def _write_live(path: Path, writing: Event, stop: Event) -> None:
    structlog.configure(wrapper_class=QUIET)
    writer = TradeWriter(path / "part-00", venue="binance", retention_days=0)
    each = LIVE_TRADES_PER_S // POLLS_PER_S // len(LIVE_SYMBOLS)
    first_id, began = DAYS * TRADES_PER_DAY, time.monotonic()
    poll = 0
    while not stop.wait(max(0.0, began + poll / POLLS_PER_S - time.monotonic())):
        moment = END + poll * 1_000 // POLLS_PER_S
        numbers = range(first_id + poll * each, first_id + (poll + 1) * each)
        writer.write([live_batch(symbol, numbers, moment) for symbol in LIVE_SYMBOLS])
        poll += 1
        if poll == POLLS_PER_S:
            writing.set()
    writer.close()


def live_batch(symbol: str, numbers: range, moment: int) -> TradeBatch:
    """Trades of one poll, whose price goes up and down between 60,000 and 60,010."""
    trades = [
        Trade(symbol, number, moment, 60_000 + number % 1_000 / 100, 0.001 + number % 7, number % 2 == 0, moment)
        for number in numbers
    ]
    return TradeBatch("binance", symbol, trades)


def median_s(work: Callable[[], object]) -> float:
    """CPU seconds of a work."""
    return interleaved(ROUNDS, work)[0]


def profile_over(reader: TradeReader, hours: int) -> int:
    """A volume profile of the last hours, as the interface makes one; returns the number of trades."""
    reader.catch_up()
    last = reader.last_time(SYMBOL) or 0
    counted = VolumeByPrice()
    for frame in reader.iterate(SYMBOL, last + 1 - hours * HOUR_MS, END_MS, columns=PROFILE_COLUMNS):
        counted.add(frame)
    counted.profile()
    return counted.trades


def profile_rows(path: Path) -> list[Row]:
    """Profiles over an hour, a day and a week."""
    rows = []
    with TradeReader(path) as reader:
        for hours, goal_s in ((1, 0.02), (24, 0.25), (168, 2.0)):
            seconds = median_s(lambda hours=hours: profile_over(reader, hours))  # type: ignore[misc]
            began = time.perf_counter()
            trades = profile_over(reader, hours)
            figure = f"CPU s; {time.perf_counter() - began:.3f} s by the clock"
            what = f"volume profile, {hours} h, while written"
            rows.append(Row(what, figure, f"{trades:,} trades", seconds, goal_s, at_most=True))
    return rows


def trades_row(path: Path) -> Row:
    """A frame of a week's trades against reading the same records and doing nothing with them."""
    begin, end = END - DAYS * DAY_MS, END
    count = DAYS * TRADES_PER_DAY
    with (
        Frames(Mongo(), path.parent, venue=path.name) as frames,
        TradeStore(path / "part-00", secondary_path=path.parent / "bare") as store,
    ):
        bare, framed = interleaved(
            LONG_ROUNDS,
            lambda: [None for _ in store.records(SYMBOL, begin, end)],
            lambda: _expect(frames.trades(SYMBOL, begin, end).height, count),
        )
    rate = f"{count / framed / 1e6:.1f} M trades/s of {count / 1e6:.1f} M"
    return Row("frame of trades, while written", rate, f"bare RocksDB read, {bare:.2f} s", bare / framed, 0.5)


def _expect(found: int, count: int) -> None:
    if found != count:
        raise RuntimeError(f"{found} of {count} were read")


def merge_row() -> Row:
    """What it costs to merge the seconds of the live symbols into minutes, by how long these took to trade."""
    each = LIVE_TRADES_PER_S // len(LIVE_SYMBOLS)
    with TemporaryDirectory() as directory:
        writer = TradeWriter(Path(directory), venue="binance", retention_days=0)
        for second in range(MERGED_S):
            numbers = range(second * each, (second + 1) * each)
            writer.write([live_batch(symbol, numbers, END + second * 1_000) for symbol in LIVE_SYMBOLS])
        writer.close()
        with TradeStore(Path(directory)) as store:
            compactor = TradeCompactor(store, retention_days=0, merge_after_minutes=0)
            began = time.process_time()
            while _merge_some(compactor):
                pass
            spent_s = time.process_time() - began
    figure = f"share of a core, {spent_s / (MERGED_S * len(LIVE_SYMBOLS)) * 1e6:.0f} µs a record"
    live = f"{len(LIVE_SYMBOLS)} symbols, {LIVE_TRADES_PER_S:,} trades/s"
    return Row("merging of old seconds", figure, live, spent_s / MERGED_S, 0.02, at_most=True)


def _merge_some(compactor: TradeCompactor) -> int:
    try:
        return compactor.merge(most_records=MERGE_AT_ONCE)
    except StoreBusyError:  # it has hours for this in a live store
        time.sleep(0.2)
        return 1


def candle_row() -> Row:
    """A frame of candles against the driver's own documents, each of which is forgotten at once."""
    of = {"venue": "binance", "symbol": SYMBOL, "timeframe": "1m", "open_time": {"$gte": 0}}
    fields = {"_id": 0, **dict.fromkeys(CANDLE_SCHEMA, 1)}
    with (
        TemporaryDirectory() as directory,
        running_mongod(Path(directory)) as uri,
        MongoClient[dict[str, Any]](uri) as client,
        Frames(Mongo(uri=uri, database="frames"), Path(directory), venue="binance") as frames,
    ):
        collection = client["frames"][MARKET_DATA]
        collection.create_indexes(list(INDEXES[MARKET_DATA]))
        documents = [candle_document(one, now_ms=BEGIN, retention_days={}) for one in wandering(CANDLES_AT_ONCE)]
        for _ in range(CANDLES // CANDLES_AT_ONCE):
            collection.insert_many(documents, ordered=False)
            for document in documents:
                del document["_id"]
                document["open_time"] += CANDLES_AT_ONCE * MINUTE_MS
        bare, framed = interleaved(
            1,  # ten seconds each, and as long again to warm up
            lambda: _expect(sum(1 for _ in collection.find(of, fields).sort("open_time")), CANDLES),
            lambda: _expect(frames.candles(SYMBOL, "1m").height, CANDLES),
        )
    rate = f"{CANDLES / framed:,.0f} candles/s of {CANDLES / 1e6:g} M"
    return Row("frame of candles", rate, f"bare find, {CANDLES / bare:,.0f}/s", bare / framed, 0.5)


def indicator_row() -> Row:
    """Five indicators on 500 candles that are read."""
    candles = wandering(500)
    wanted = [parse_wanted(name) for name in ("rsi", "macd", "bbands", "ema", "sma")]

    def work() -> None:
        bars = Bars.of(candles)
        for one in wanted:
            compute(bars, one)

    return Row("five indicators", "CPU ms", "500 candles", median_s(work) * 1e3, 10, at_most=True)


def run() -> list[Row]:
    """Profiles, frames, upkeep and indicators."""
    with TemporaryDirectory() as directory:
        path = Path(directory, "binance")
        build_store(path)
        with live_writer(path):
            rows = [*profile_rows(path), trades_row(path), indicator_row()]
    return [*rows, merge_row(), candle_row()]


if __name__ == "__main__":
    from tests.benchmarks.rows import table

    structlog.configure(wrapper_class=QUIET)
    print(table(run()))  # noqa: T201 - what the command is for
