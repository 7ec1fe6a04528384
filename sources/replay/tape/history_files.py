"""Reads kline files that lead up to a recording: `binance_<spot|usdm>_<SYMBOL>_<interval>.csv[.gz]`.

Columns `open_time_ms,open,high,low,close,volume`, and where the file has them `quote_volume,count,taker_buy_base,
taker_buy_quote`. Missing columns stay empty, with one exception: the quote volume, which the average price needs,
is estimated as volume times the mean of high, low and close.
"""

from pathlib import Path

import polars as pl

from sources.replay.market.aggregate import PIECE
from sources.replay.market.decimals import Decimals, scaled
from sources.replay.market.history import HISTORY, based
from sources.replay.market.intervals import INTERVALS_MS
from sources.replay.market.klines import Kline, RunningTotals, klines_of
from sources.replay.market.market import MarketKind


def read_history(
    folder: Path, *, kind: MarketKind, symbol: str, decimals: Decimals, totals: RunningTotals
) -> pl.DataFrame:
    """The history before the first trade of `totals`, for each time from the finest file that covers it.

    The period in which the trades begin is included without their share, so that it closes as the exchange's did;
    where they end before that period does, their share is unknown and the period begins with them. Empty without files.
    """
    rows = pl.DataFrame(schema=HISTORY)
    before_ms = totals.times[0]
    for interval, length in INTERVALS_MS.items():
        paths = sorted(folder.glob(f"binance_{kind}_{symbol}_{interval}.csv*"))
        if not paths:
            continue
        klines = _read(paths[0], decimals)
        older = klines.filter(pl.col("open_time") + length <= before_ms)
        if rows.is_empty():
            running = klines.filter(pl.col("open_time").is_between(before_ms - length, before_ms, closed="right"))
            older = pl.concat([older, *[_rest(kline, length, totals) for kline in klines_of(running)]])
        rows = pl.concat([based(older, interval), rows])
        before_ms = int(rows["open_time"][0]) if rows.height else before_ms
    return _numbered(rows, first_id=int(totals.pieces["first_id"][0]))


def _numbered(rows: pl.DataFrame, *, first_id: int) -> pl.DataFrame:
    """Adds trade ids, counted back from the first one played, as far as the numbers of trades are known."""
    first = first_id - pl.col("trades").cum_sum(reverse=True)
    return rows.with_columns(first.alias("first_id"), (first + pl.col("trades") - 1).alias("last_id"))


def _read(path: Path, decimals: Decimals) -> pl.DataFrame:
    """The rows of a file as pieces, still without trade ids."""
    texts = pl.read_csv(path, infer_schema=False)
    extra = [pl.col(name) if name in texts.columns else pl.lit(None, pl.String).alias(name) for name in _OPTIONAL]
    prices = ("open", "high", "low", "close")
    frame = texts.select(
        pl.col("open_time_ms").cast(pl.Int64).alias("open_time"),
        *[scaled(pl.col(name), decimals.price) for name in prices],
        scaled(pl.col("volume"), decimals.quantity),
        *extra,
    ).sort("open_time")
    mean = (pl.col("high") + pl.col("low") + pl.col("close")) // 3
    quote = scaled(pl.col("quote_volume"), decimals.quote).cast(pl.Int128)
    count = pl.col("count").cast(pl.Float64).cast(pl.Int64).fill_null(0)
    return frame.select(
        "open_time",
        *prices,
        "volume",
        quote.fill_null(mean.cast(pl.Int128) * pl.col("volume")).alias("quote"),
        count.alias("trades"),
        scaled(pl.col("taker_buy_base"), decimals.quantity).fill_null(0).alias("taker_volume"),
        scaled(pl.col("taker_buy_quote"), decimals.quote).cast(pl.Int128).fill_null(0).alias("taker_quote"),
        pl.lit(0, pl.Int64).alias("first_id"),
        pl.lit(0, pl.Int64).alias("last_id"),
    )


_OPTIONAL = ("quote_volume", "count", "taker_buy_base", "taker_buy_quote")


def _rest(whole: Kline, length_ms: int, totals: RunningTotals) -> pl.DataFrame:
    """The part of a period before the trades begin: the whole minus their share."""
    share = totals.between(0, totals.rows_before(whole.open_time + length_ms))
    complete = totals.times[-1] >= whole.open_time + length_ms
    if share is None or not complete or share.volume >= whole.volume:
        return pl.DataFrame(schema=PIECE)
    rest = whole._replace(
        high=whole.high if whole.high > share.high else max(whole.open, share.open),
        low=whole.low if whole.low < share.low else min(whole.open, share.open),
        close=share.open,
        volume=whole.volume - share.volume,
        quote=max(whole.quote - share.quote, 0),
        trades=max(whole.trades - share.trades, 0),
        taker_volume=max(whole.taker_volume - share.taker_volume, 0),
        taker_quote=max(whole.taker_quote - share.taker_quote, 0),
    )
    return pl.DataFrame([rest], schema=PIECE, orient="row")
