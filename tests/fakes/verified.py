"""Stores in memory that hold what they claim, made by the flow's own buckets, to be falsified one by one."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

import polars as pl
from hypothesis import strategies as st
from msgspec import structs

from flows.bounds import VenueRules
from flows.model import Candle, Incident, Trade, timeframe_ms
from flows.operators.candles.bucket import Bucket
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.findings import Finding
from flows.verification.checks.held import FirstSeen
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.reading import GetKlines, OnBad
from flows.verification.checks.recount import candle_of
from flows.verification.checks.symbol import SymbolVerifier, Task
from tests.fakes.trades import BEGIN, trade_runs

TIMEFRAMES = ("1m", "5m", "15m")
VENUE, SYMBOL = "binance", "BTCUSDT"
LEAST_MS = 1_260_000
TRADES_SCHEMA = {
    "id": pl.Int64, "first_id": pl.Int64, "last_id": pl.Int64, "time": pl.Int64, "price": pl.Float64,
    "quantity": pl.Float64, "buyer_is_maker": pl.Boolean, "fill": pl.String,
}  # fmt: skip
FILLS_FOLLOW = VenueRules(fills_follow=True)
Row = dict[str, Any]


class MemoryStores:
    """Trades as rows, candles as structs, incidents."""

    def __init__(self, rows: Sequence[Row], candles: Sequence[Candle], incidents: Sequence[Incident] = ()) -> None:
        self.rows = list(rows)
        self.stored = [StoredCandle(candle, candle.close_time) for candle in candles]
        self.incidents = list(incidents)
        self.minutes_a_frame = 3
        self.has_trades = True
        self.first: FirstSeen | None = None
        self.kept: dict[str, int] = {}
        """How long candles are kept, ms, by timeframe."""
        self.elsewhere: list[tuple[str, int]] = []
        """Timeframe and open time of the candles of other symbols."""

    def first_seen(self, symbol: str) -> FirstSeen | None:
        return self.first

    def kept_ms(self, symbol: str, timeframe: str) -> int | None:
        return self.kept.get(timeframe)

    def is_made_elsewhere(self, symbol: str, timeframe: str, start: int, end: int) -> bool:
        return any(name == timeframe and start <= open_time < end for name, open_time in self.elsewhere)

    def frames(self, symbol: str, start: int, end: int, on_bad: OnBad) -> Iterator[pl.DataFrame]:
        rows = sorted((r for r in self.rows if start <= r["time"] < end), key=lambda r: r["time"])
        for _, part in groupby(rows, lambda r: r["time"] // (60_000 * self.minutes_a_frame)):
            yield pl.DataFrame(list(part), schema=TRADES_SCHEMA).unique(maintain_order=True).sort("id", "time")

    def trade_span(self, symbol: str, start: int, end: int) -> tuple[int, int] | None:
        times = [row["time"] for row in self.rows if start <= row["time"] < end]
        return (min(times), max(times)) if times else None

    def candle_span(self, symbol: str, timeframe: str, start: int, end: int) -> tuple[int, int] | None:
        times = [s.candle.open_time for s in self.candles(symbol, timeframe, start, end)]
        return (times[0], times[-1]) if times else None

    def candles(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        found = [s for s in self.stored if s.candle.timeframe == timeframe and start <= s.candle.open_time < end]
        return sorted(found, key=lambda s: s.candle.open_time)

    def candles_outside(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        return [s for s in self.stored if s.candle.timeframe == timeframe and not start <= s.candle.open_time < end]

    def ledger(self, symbol: str, start: int, end: int) -> Ledger:
        return Ledger(i for i in self.incidents if i.begin < end and i.end >= start)


def rows_of(trades: Sequence[Trade]) -> list[Row]:
    """Rows of a frame of trades."""
    return [{name: getattr(trade, name) for name in TRADES_SCHEMA} for trade in trades]


def true_candles(trades: Sequence[Trade], timeframes: Sequence[str] = TIMEFRAMES) -> list[Candle]:
    """The closed candles of the periods that end by the last trade, those without a trade included."""
    return [candle for timeframe in timeframes for candle in _of_timeframe(trades, timeframe)]


def _of_timeframe(trades: Sequence[Trade], timeframe: str) -> Iterator[Candle]:
    length = timeframe_ms(timeframe)
    periods = {start * length: list(group) for start, group in groupby(trades, lambda trade: trade.time // length)}
    price = trades[0].price
    for open_time in range(min(periods), trades[-1].time // length * length, length):
        bucket = Bucket(open_time, price)
        if group := periods.get(open_time):
            bucket.add_trades(group)
        price = bucket.close
        yield structs.replace(candle_of(bucket, VENUE, SYMBOL, timeframe), status="final")


def true_stores(trades: Sequence[Trade], timeframes: Sequence[str] = TIMEFRAMES) -> MemoryStores:
    """Stores of these trades and their candles."""
    return MemoryStores(rows_of(trades), true_candles(trades, timeframes))


@st.composite
def traded_stores(draw: st.DrawFn) -> MemoryStores:
    """True stores of trades of twenty minutes and more, the last of them behind the last candle."""
    trades = draw(trade_runs(max_size=25, max_step_ms=90_000))
    while trades[-1].time < BEGIN + LEAST_MS:
        last = trades[-1]
        time, ids = last.time + 170_000, {"first_id": last.last_id + 1, "last_id": last.last_id + 2}
        trades.append(structs.replace(last, id=last.id + 1, time=time, event_time=time, **ids))
    return true_stores(trades)


def verified(
    stores: MemoryStores,
    *,
    timeframes: tuple[str, ...] = TIMEFRAMES,
    venue: str = VENUE,
    rules: VenueRules = FILLS_FOLLOW,
    get_klines: GetKlines | None = None,
    **options: Any,
) -> list[Finding]:
    """All that a verification finds and notes."""
    task = Task(venue, SYMBOL, timeframes, rules, **options)
    return list(SymbolVerifier(stores, task, get_klines=get_klines).findings())
