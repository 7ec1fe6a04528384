"""Running klines: the kline of any interval at any trade of a segment, by lookup."""

from array import array
from bisect import bisect_left
from functools import cached_property
from typing import NamedTuple, Self, cast

import polars as pl

from sources.replay.market.aggregate import PIECE, pieces_of
from sources.replay.market.intervals import period_of

NO_TRADE = -1
"""Trade id of a period without trades."""


class Kline(NamedTuple):
    """Open, high, low, close and volumes over a span of time, in whole numbers (see `decimals.py`)."""

    open_time: int
    open: int
    high: int
    low: int
    close: int
    volume: int
    quote: int
    trades: int
    taker_volume: int
    taker_quote: int
    first_id: int
    last_id: int

    @classmethod
    def flat(cls, open_time: int, price: int) -> Self:
        """A period without trades, at the price before it."""
        return cls(open_time, price, price, price, price, 0, 0, 0, 0, 0, NO_TRADE, NO_TRADE)

    def then(self, later: "Kline") -> "Kline":
        """Merges this span with the one after it."""
        return Kline(
            self.open_time,
            self.open,
            max(self.high, later.high),
            min(self.low, later.low),
            later.close,
            self.volume + later.volume,
            self.quote + later.quote,
            self.trades + later.trades,
            self.taker_volume + later.taker_volume,
            self.taker_quote + later.taker_quote,
            self.first_id,
            later.last_id,
        )


def klines_of(pieces: pl.DataFrame) -> list[Kline]:
    """The rows of a frame of pieces."""
    return [Kline(*row) for row in pieces.select(*PIECE).iter_rows()]


class RunningTotals:
    """Running sums over the trades of a segment, by row: the volumes between any two rows are one subtraction.

    `Kline`s of an interval need highs and lows that restart with each period; those columns are computed when an
    interval is first used, and the sums when any is.
    """

    def __init__(self, trades: pl.DataFrame) -> None:
        """`trades` are trades, or aggregates."""
        self._trades = trades
        self.rows = trades.height
        self.times = array("q", trades["time"].to_numpy().tobytes())
        """Time of each trade, ms UTC."""
        self._periods: dict[tuple[str, int], _Periods] = {}

    @cached_property
    def pieces(self) -> pl.DataFrame:
        """Each trade as a kline of its own (`PIECE`)."""
        return pieces_of(self._trades)

    @cached_property
    def _sums(self) -> pl.DataFrame:
        return self.pieces.select(pl.col("volume", "quote", "trades", "taker_volume", "taker_quote").cum_sum())

    def played(self, rows: int) -> pl.DataFrame:
        """The first trades, or aggregates."""
        return self._trades.head(rows)

    def rows_before(self, time_ms: int) -> int:
        """How many trades happened before a moment."""
        return bisect_left(self.times, time_ms)

    def close(self, row: int) -> int:
        """Price of the trade at a row."""
        return int(self._trades["price"][row])

    def at(self, interval: str, row: int, *, zone_ms: int = 0) -> Kline:
        """The running kline as of the trade at `row`, inclusive, from the trades of this segment alone."""
        periods = self._periods.get((interval, zone_ms))
        if periods is None:
            periods = self._periods[interval, zone_ms] = _Periods(self.pieces, interval, zone_ms)
        first = periods.first_row[row]
        return self._kline(periods.open_time[row], first, row, periods.high[row], periods.low[row])

    def between(self, first_row: int, end_row: int) -> Kline | None:
        """The trades from `first_row` to before `end_row` as one kline that opens with the first; None without any."""
        if first_row >= end_row:
            return None
        # of each column by itself: an expression costs many times as much, and tickers need this with every trade
        high, low = (self.pieces[name].slice(first_row, end_row - first_row) for name in ("high", "low"))
        return self._kline(
            self.times[first_row], first_row, end_row - 1, cast("int", high.max()), cast("int", low.min())
        )

    def _kline(self, open_time: int, first: int, last: int, high: int, low: int) -> Kline:
        total = self._sums.row(last)
        before = self._sums.row(first - 1) if first else (0,) * len(total)
        opened, closed = self.pieces.row(first), self.pieces.row(last)
        volume, quote, trades, *taker = (now - then for now, then in zip(total, before, strict=True))
        return Kline(
            open_time,
            opened[1],
            high,
            low,
            closed[4],
            volume,
            quote,
            trades,
            taker[0],
            taker[1],
            opened[10],
            closed[11],
        )


class _Periods:
    """For each trade: where its period begins, and the extremes since."""

    def __init__(self, pieces: pl.DataFrame, interval: str, zone_ms: int) -> None:
        frame = (
            pieces.lazy()
            .select(period_of(interval, pl.col("open_time"), zone_ms=zone_ms).alias("period"), "high", "low")
            .with_row_index("row")
            .select(
                "period",
                pl.col("row").first().over("period"),
                pl.col("high").cum_max().over("period"),
                pl.col("low").cum_min().over("period"),
            )
            .collect()
        )
        self.open_time, self.first_row = frame["period"], frame["row"]
        self.high, self.low = frame["high"], frame["low"]
