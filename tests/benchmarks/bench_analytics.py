"""Analytics and frames: volume profiles over stored days, indicators, and frames against the bare drivers.

python -m tests.benchmarks.bench_analytics

The symbol trades 1.5 million times a day; its last hour is stored by the second, what is older by the minute, as in a
store that the flow writes. All figures are CPU time of this process.
"""

import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import numpy as np
from pymongo import MongoClient
from rocksdict import WriteBatch

from api.analytics.bars import Bars
from api.analytics.indicators import compute, parse_wanted
from api.analytics.profile import VolumeByPrice
from flows.model import DAY_MS
from flows.settings import Mongo, Settings
from sinks.candle_store import CandleStore
from sinks.documents import MARKET_DATA
from sinks.frames import CANDLE_SCHEMA, Frames
from sinks.mongod import running_mongod
from sinks.trade_codec import MINUTE_MS, SECOND_MS, TradeColumns, encode_key, encode_record
from sinks.trade_reader import TradeReader
from sinks.trade_store import StoreBusyError, TradeStore
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.candle_runs import wandering
from tests.fakes.candles import BEGIN

TRADES_PER_DAY: Final = 1_500_000
DAYS: Final = 7
HOUR_MS: Final = 3_600_000
CANDLES: Final = 100_000
ROUNDS: Final = 5
SYMBOL: Final = "BTCUSDT"
END: Final = BEGIN + DAYS * DAY_MS
PROFILE_COLUMNS: Final = ("time", "price", "quantity", "buyer_is_maker")


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
                np.round(rng.exponential(1 / 3, trades_per_day), 5),
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


def median_s(work: Callable[[], object]) -> float:
    """CPU seconds of a work."""
    return interleaved(ROUNDS, work)[0]


def profile_over(reader: TradeReader, hours: int) -> None:
    """A volume profile of the last hours."""
    counted = VolumeByPrice()
    for frame in reader.iterate(SYMBOL, END - hours * HOUR_MS, END, columns=PROFILE_COLUMNS):
        counted.add(frame)
    counted.profile()


def profile_rows(path: Path) -> list[Row]:
    """Profiles over an hour, a day and a week, and a day's frame of trades."""
    with TradeReader(path) as reader, TradeStore(path / "part-00") as store:
        rows = []
        for hours, goal_s in ((1, 0.02), (24, 0.25), (168, 2.0)):
            trades = reader.count(SYMBOL, END - hours * HOUR_MS, END)
            seconds = median_s(lambda hours=hours: profile_over(reader, hours))  # type: ignore[misc]
            rows.append(Row(f"volume profile, {hours} h", "CPU s", f"{trades:,} trades", seconds, goal_s, at_most=True))
        begin = END - DAY_MS
        bare, framed = interleaved(
            ROUNDS,
            lambda: [None for _ in store.records(SYMBOL, begin, END)],
            lambda: reader.trades(SYMBOL, begin, END),
        )
    rate = f"{TRADES_PER_DAY / framed / 1e6:.1f} M trades/s"
    return [*rows, Row("frame of trades", rate, f"bare RocksDB read, {bare:.3f} s", bare / framed, 0.5)]


def candle_rows() -> list[Row]:
    """A frame of candles against the driver's own documents."""
    of = {"venue": "binance", "symbol": SYMBOL, "timeframe": "1m", "open_time": {"$gte": 0}}
    fields = {"_id": 0, **dict.fromkeys(CANDLE_SCHEMA, 1)}
    candles = wandering(CANDLES)
    with (
        TemporaryDirectory() as directory,
        running_mongod(Path(directory)) as uri,
        MongoClient[dict[str, object]](uri) as client,
        Frames(Settings(mongo=Mongo(uri=uri, database="frames"))) as frames,
    ):
        collection = client["frames"][MARKET_DATA]
        store = CandleStore(client["frames"], retention_days={})
        store.ensure_indexes(timeout_s=30)
        for start in range(0, CANDLES, 10_000):
            store.store(candles[start : start + 10_000], timeout_s=60)
        bare, framed = interleaved(
            ROUNDS,
            lambda: list(collection.find(of, fields).sort("open_time")),
            lambda: frames.candles(SYMBOL, "1m"),
        )
    rate = f"{CANDLES / framed:,.0f} candles/s"
    return [Row("frame of candles", rate, f"bare find, {CANDLES / bare:,.0f}/s", bare / framed, 0.5)]


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
    """Profiles, frames and indicators."""
    with TemporaryDirectory() as directory:
        path = Path(directory)
        build_store(path)
        return [*profile_rows(path), *candle_rows(), indicator_row()]


if __name__ == "__main__":
    from tests.benchmarks.rows import table

    print(table(run()))  # noqa: T201 - what the command is for
