"""What is derived from trades, computed by polars: aggregates, single trades, klines of any interval.

The flow's own machines are checked against these results, so nothing here shares code with them.
Frames hold whole numbers only (see `decimals.py`), times in ms UTC, rows ascending by id:

- *trades* have `id time event_time due place price quantity maker`: `due` is when it leaves, `place` its rank among
  what leaves at the same time;
- *aggregates* have the same and `first_id last_id`, with ids of their own;
- *pieces* are klines over any stretch within one period (`PIECE`): a single trade is one, so is a day.
"""

import numpy as np
import polars as pl

from sources.replay.market.intervals import period_of

TRADE = {
    "id": pl.Int64,
    "time": pl.Int64,
    "event_time": pl.Int64,
    "due": pl.Int64,
    "place": pl.Int64,
    "price": pl.Int64,
    "quantity": pl.Int64,
    "maker": pl.Boolean,
}
AGGREGATE = TRADE | {"first_id": pl.Int64, "last_id": pl.Int64}
PIECE = {
    "open_time": pl.Int64,
    "open": pl.Int64,
    "high": pl.Int64,
    "low": pl.Int64,
    "close": pl.Int64,
    "volume": pl.Int64,
    "quote": pl.Int128,  # a day of a cheap coin is 1e13 units, and ticks times lots outgrow 64 bits
    "trades": pl.Int64,
    "taker_volume": pl.Int64,
    "taker_quote": pl.Int128,
    "first_id": pl.Int64,
    "last_id": pl.Int64,
}


def aggregates_of(trades: pl.DataFrame, first_id: int = 1) -> pl.DataFrame:
    """Merges consecutive trades of one price, side and time, as the exchange does; ids start at `first_id`."""
    if trades.is_empty():
        return pl.DataFrame(schema=AGGREGATE)
    # By numpy: an expression of polars costs half a millisecond, however few the rows are.
    columns = {name: trades[name].to_numpy() for name in TRADE}
    differs = np.logical_or.reduce([columns[name][1:] != columns[name][:-1] for name in ("price", "maker", "time")])
    first = np.concatenate(([0], np.flatnonzero(differs) + 1))
    last = np.append(first[1:], trades.height) - 1
    return pl.DataFrame(
        {
            "id": np.arange(first_id, first_id + first.size),
            "time": columns["time"][first],
            **{name: columns[name][last] for name in ("event_time", "due", "place")},
            "price": columns["price"][first],
            "quantity": np.add.reduceat(columns["quantity"], first),
            "maker": columns["maker"][first],
            "first_id": columns["id"][first],
            "last_id": columns["id"][last],
        },
        schema=AGGREGATE,
    )


def trades_of(aggregates: pl.DataFrame) -> pl.DataFrame:
    """Splits aggregates into the single trades they cover. Where one covers several, its quantity is split into equal
    shares, the first ones larger by a lot where it does not divide, so that they sum up to it exactly.
    """
    count = pl.col("last_id") - pl.col("first_id") + 1
    place = pl.col("id") - pl.col("first_id")
    share = pl.col("quantity") // pl.col("count")
    extra = (place < pl.col("quantity") % pl.col("count")).cast(pl.Int64)
    return (
        aggregates.with_columns(count.alias("count"), pl.int_ranges("first_id", pl.col("last_id") + 1).alias("id"))
        .explode("id")
        .with_columns((share + extra).alias("quantity"))
        .select(*TRADE)
    )


def pieces_of(trades: pl.DataFrame) -> pl.DataFrame:
    """Every trade, or aggregate, as a kline of its own; an aggregate counts the trades it covers."""
    first, last = (pl.col("first_id"), pl.col("last_id")) if "first_id" in trades.columns else (pl.col("id"),) * 2
    price, quantity = pl.col("price"), pl.col("quantity")
    quote = price.cast(pl.Int128) * quantity
    return trades.select(
        pl.col("time").alias("open_time"),
        *[price.alias(name) for name in ("open", "high", "low", "close")],
        quantity.alias("volume"),
        quote.alias("quote"),
        (last - first + 1).alias("trades"),
        pl.when("maker").then(0).otherwise(quantity).alias("taker_volume"),
        pl.when("maker").then(pl.lit(0, pl.Int128)).otherwise(quote).alias("taker_quote"),
        first.alias("first_id"),
        last.alias("last_id"),
    )


def roll_up(pieces: pl.DataFrame, interval: str, *, zone_ms: int = 0) -> pl.DataFrame:
    """Klines of an interval from pieces in order of time, each of which lies within one period; periods without a piece
    are left out.
    """
    sums = ("volume", "quote", "trades", "taker_volume", "taker_quote")
    return (
        pieces.group_by(
            period_of(interval, pl.col("open_time"), zone_ms=zone_ms).alias("open_time"), maintain_order=True
        )
        .agg(
            pl.col("open").first(),
            pl.col("high").max(),
            pl.col("low").min(),
            pl.col("close").last(),
            pl.col(*sums).sum(),
            pl.col("first_id").first(),
            pl.col("last_id").last(),
        )
        .select(*PIECE)
    )
