"""Verification of stores: trades a second and core, against reading the same trades alone."""

import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from flows.model import TradeBatch, timeframe_ms
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.reading import OnBad
from flows.verification.checks.recount import candle_of, merged, recount
from flows.verification.checks.symbol import SymbolVerifier, Task
from sinks.trades.codec import END_MS, MINUTE_MS
from sinks.trades.merge import add_batches
from sinks.trades.reader import TradeReader
from sinks.trades.store import StoreBusyError, TradeStore
from sources.binance.rules import RULES
from tests.benchmarks.bench_trades import build_polls
from tests.benchmarks.rows import Row, interleaved
from tests.fakes.verified import MemoryStores

TRADES = 1_000_000
AT_ONCE = 60
"""Polls that are written at once: twenty minutes."""
ROUNDS = 5
BUSY_S = 0.05
TIMEFRAMES = ("1m", "5m", "15m", "1h", "4h", "1d")
VENUE = "binance"


class _Stores(MemoryStores):
    """Trades of a store, and candles in memory: the database has its own benchmark."""

    def __init__(self, reader: TradeReader, symbol: str) -> None:
        super().__init__([], [])
        self._reader = reader
        buckets = recount(reader.trades(symbol, 0, END_MS), MINUTE_MS)
        for timeframe in TIMEFRAMES:
            for bucket in merged(buckets, timeframe_ms(timeframe)).values():
                candle = candle_of(bucket, VENUE, symbol, timeframe)
                self.stored.append(StoredCandle(candle, candle.close_time))

    def frames(self, symbol: str, start: int, end: int, on_bad: OnBad) -> Iterator[pl.DataFrame]:
        yield from self._reader.iterate(symbol, start, min(end, END_MS), every_fill=True)

    def trade_span(self, symbol: str, start: int, end: int) -> tuple[int, int] | None:
        first, last = self._reader.first_time(symbol), self._reader.last_time(symbol)
        return None if first is None or last is None else (first, last)


def run() -> list[Row]:
    """The rows of this part."""
    with TemporaryDirectory() as folder:
        path = Path(folder, "part-00")
        with TradeStore(path) as store:
            polls = build_polls(trades=TRADES, symbols=1)
            for start in range(0, len(polls), AT_ONCE):
                batches = [batch for poll in polls[start : start + AT_ONCE] for batch in poll]
                _write(store, batches)
            symbol = store.symbols()[0]
        with TradeReader(path) as reader:
            return _compared(reader, symbol)


def _write(store: TradeStore, batches: list[TradeBatch]) -> None:
    """Writes as the writer does: a store that has to make room is waited for."""
    while True:
        try:
            with store.lock:
                add_batches(store, batches, record_ms=MINUTE_MS)
        except StoreBusyError:
            time.sleep(BUSY_S)
        else:
            return


def _compared(reader: TradeReader, symbol: str) -> list[Row]:
    stores = _Stores(reader, symbol)

    def read() -> None:
        for _ in reader.iterate(symbol, 0, END_MS, every_fill=True):
            pass

    def verify() -> None:
        verifier = SymbolVerifier(stores, Task(VENUE, symbol, TIMEFRAMES, RULES[VENUE]))
        wrong = [finding for finding in verifier.findings() if finding.kind == "candle"]
        assert not wrong, wrong[0]
        assert verifier.counts.trades == TRADES

    reading, verifying = interleaved(ROUNDS, read, verify)
    rate, alone = TRADES / verifying, TRADES / reading
    yardstick = f"reading alone {alone:,.0f}/s"
    return [
        Row("verifying stored trades and candles, a core", f"{rate:,.0f} trades/s", yardstick, rate / 1e6, 1.0),
        Row("verifying, of the pace of reading alone", f"{rate:,.0f} trades/s", yardstick, rate / alone, 0.15),
    ]
