"""The trade store: writing against one row a trade, size, and reading.

Every symbol trades 50 times a second; trades come in polls of 1,000, as a batch a symbol.
"""

import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import msgpack
from rocksdict import DBCompressionType, Options, Rdict, WriteBatch

from flows.model import AggregateTrade, Trade, TradeBatch
from sinks.trades.codec import END_MS
from sinks.trades.compaction import TradeCompactor
from sinks.trades.reader import TradeView
from sinks.trades.store import TradeStore
from sinks.trades.writer import TradeWriter
from tests.benchmarks.rows import Row

BEGIN_MS = 1_767_225_600_000
TRADES_PER_S = 50
"""Of each symbol."""
POLL = 1_000
ROUNDS = 5


def build_polls(
    *, trades: int, symbols: int, seed: int = 7, trades_per_s: float = TRADES_PER_S
) -> list[list[TradeBatch]]:
    """Polls of batches, ids of every symbol rising by one."""
    rng = random.Random(seed)
    names = [f"COIN{index:02d}USDT" for index in range(symbols)]
    prices = [rng.uniform(0.5, 60_000) for _ in names]
    ids = [1_000_000 * (index + 1) for index in range(symbols)]
    polls = []
    for start in range(0, trades, POLL):
        batches: dict[int, list[Trade]] = {}
        for number in range(start, min(start + POLL, trades)):
            index = rng.randrange(symbols)
            prices[index] *= 1 + rng.gauss(0, 1e-5)
            ids[index] += 1
            moment = BEGIN_MS + int(number * 1_000 // (trades_per_s * symbols))
            batches.setdefault(index, []).append(
                AggregateTrade(
                    symbol=names[index],
                    id=ids[index],
                    time=moment,
                    price=round(prices[index], 2),
                    quantity=max(round(rng.expovariate(3), 5), 1e-5),
                    buyer_is_maker=rng.random() < 0.5,
                    event_time=moment,
                    first_id=2 * ids[index],
                    last_id=2 * ids[index] + 1,
                )
            )
        polls.append([TradeBatch("binance", names[index], found) for index, found in batches.items()])
    return polls


def write_rates(*, trades: int = 600_000, symbols: int = 50) -> dict[str, float]:
    """Trades a second of the writer and of one row a trade in batches of 1,000, until all are on the disk: medians of
    interleaved rounds. `ratio` is the first over the second; `write_us` is what a trade costs the thread that hands it
    over.
    """
    polls = build_polls(trades=trades, symbols=symbols)
    columns, calls, rows = [], [], []
    for _ in range(ROUNDS):
        taken_s, calls_s = _in_new_directory(lambda path: _write_columns(path, polls))
        columns.append(trades / taken_s)
        calls.append(calls_s / trades * 1e6)
        rows.append(trades / _in_new_directory(lambda path: _write_rows(path, polls))[0])
    written, baseline = statistics.median(columns), statistics.median(rows)
    return {
        "trades_per_s": written,
        "rows_per_s": baseline,
        "ratio": written / baseline,
        "write_us": statistics.median(calls),
    }


def _in_new_directory(measure: Callable[[Path], tuple[float, float]]) -> tuple[float, float]:
    with TemporaryDirectory() as directory:
        return measure(Path(directory))


def _write_columns(path: Path, polls: list[list[TradeBatch]]) -> tuple[float, float]:
    writer = TradeWriter(path, venue="binance", summary_s=3_600)
    begin = time.perf_counter()
    for batches in polls:
        writer.write(batches)
    calls_s = time.perf_counter() - begin
    if not writer.flush(timeout_s=60):
        raise RuntimeError("the writer did not finish")
    taken_s = time.perf_counter() - begin
    writer.close()
    return taken_s, calls_s


def _write_rows(path: Path, polls: list[list[TradeBatch]]) -> tuple[float, float]:
    options = Options(raw_mode=True)
    options.create_if_missing(create_if_missing=True)
    options.set_compression_type(DBCompressionType.zstd())
    options.set_write_buffer_size(16 * 1024 * 1024)  # as the store has it, or short runs would never reach the disk
    store = Rdict(str(path), options)
    begin = time.perf_counter()
    for batches in polls:
        rows = WriteBatch(raw_mode=True)
        for batch in batches:
            for trade in batch.trades:
                rows.put(b"trades:%b:%d:%d" % (batch.symbol.encode(), trade.time, trade.id), _row(trade))
        store.write(rows)
    store.flush_wal(sync=True)
    taken_s = time.perf_counter() - begin
    store.close()
    return taken_s, taken_s


def _row(trade: Trade) -> bytes:
    row: bytes = msgpack.packb(
        [trade.id, trade.first_id, trade.last_id, trade.time, trade.price, trade.quantity, trade.buyer_is_maker]
    )
    return row


def sizes_and_scans(*, trades: int = 200_000, symbols: int = 2, trades_per_s: float = TRADES_PER_S) -> dict[str, float]:
    """Bytes a trade of the data files and trades a second of a full scan, as seconds and after merging into minutes;
    scans are medians.
    """
    polls = build_polls(trades=trades, symbols=symbols, trades_per_s=trades_per_s)
    with TemporaryDirectory() as directory:
        path = Path(directory)
        _write_columns(path, polls)
        with TradeStore(path) as store:
            store.compact()
            figures = {"second_bytes": store.file_bytes() / trades, "second_scan_per_s": _scan_rate(store, trades)}
            compactor = TradeCompactor(store, retention_days=0, merge_after_minutes=0)
            begin = time.perf_counter()
            records = compactor.merge(most_records=trades)
            figures["merge_us_per_record"] = (time.perf_counter() - begin) / records * 1e6
            store.compact()
            figures["minute_bytes"] = store.file_bytes() / trades
            figures["minute_scan_per_s"] = _scan_rate(store, trades)
    return figures


def _scan_rate(store: TradeStore, trades: int) -> float:
    view, rates = TradeView([store]), []
    for _ in range(ROUNDS):
        begin = time.perf_counter()
        found = sum(view.count(symbol, 0, END_MS) for symbol in view.symbols())
        rates.append(found / (time.perf_counter() - begin))
        if found != trades:
            raise RuntimeError(f"{found} of {trades} trades were read")
    return statistics.median(rates)


def run() -> list[Row]:
    """The store against rows, and what a trade takes on the disk."""
    rates, sizes = write_rates(), sizes_and_scans()
    written, rows = f"{rates['trades_per_s']:,.0f} trades/s", f"one row a trade, {rates['rows_per_s']:,.0f}/s"
    scan = f"{sizes['second_scan_per_s'] / 1e6:.1f} M trades/s scanned"
    return [
        Row("trade store, writing", written, rows, rates["ratio"], 1.5),
        Row("trade store, seconds", "bytes a trade", scan, sizes["second_bytes"], 20, at_most=True),
    ]
