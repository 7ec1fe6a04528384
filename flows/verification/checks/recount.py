"""Recomputes candles from columns of trades: the periods of one length as buckets, which the flow's own code merges.

Sums are exact like those of the flow (`operators/candles/bucket`).
"""

from collections.abc import Iterable, Iterator
from math import gcd
from typing import Any

import numpy as np
import polars as pl

from flows.model import Candle, timeframe_ms
from flows.model.exact_sums import Floats, Places, split_sums
from flows.operators.candles.bucket import Bucket

MINUTE_MS = 60_000


def base_length_ms(timeframes: Iterable[str]) -> int:
    """The longest period, ms, of which a minute and all these timeframes are multiples."""
    return gcd(MINUTE_MS, *map(timeframe_ms, timeframes))


def recount(trades: pl.DataFrame, length_ms: int) -> list[Bucket]:
    """The periods of `length_ms` with these trades, in the order of time; those without a trade are left out.

    `trades` has the columns `first_id last_id time price quantity buyer_is_maker`, in the order of the ids.
    """
    if not trades.height:
        return []
    times = trades["time"].to_numpy()
    periods = times // length_ms
    if (periods[1:] < periods[:-1]).any():  # times may run back a little while the ids rise
        order = np.argsort(periods, kind="stable")
        trades, periods = trades[order], periods[order]
    starts = np.flatnonzero(np.diff(periods, prepend=periods[0] - 1))
    return _buckets(trades, (periods[starts] * length_ms).tolist(), starts)


def _buckets(trades: pl.DataFrame, open_times: list[int], starts: Places) -> list[Bucket]:
    price, quantity = trades["price"].to_numpy(), trades["quantity"].to_numpy()
    first_id, last_id = trades["first_id"].to_numpy(), trades["last_id"].to_numpy()
    is_bought = ~trades["buyer_is_maker"].to_numpy()
    ends = np.append(starts[1:], trades.height) - 1
    value = price * quantity
    prices = price[starts], np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts), price[ends]
    counts = np.add.reduceat(last_id - first_id + 1, starts)
    summed = quantity, value, quantity * is_bought, value * is_bought
    volumes = [_rows(*split_sums(column, starts)) for column in summed]
    ids = _rows(first_id[starts], last_id[ends])
    periods = zip(open_times, _rows(*prices), counts.tolist(), ids, zip(*volumes, strict=True), strict=True)
    return [Bucket.of_parts(*parts) for parts in periods]


def _rows(*columns: "Floats | Places") -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)


def merged(buckets: Iterable[Bucket], length_ms: int) -> dict[int, Bucket]:
    """Longer periods of shorter ones, by their open time; none without trades."""
    longer: dict[int, Bucket] = {}
    for bucket in buckets:
        open_time = bucket.open_time - bucket.open_time % length_ms
        known = longer.get(open_time)
        if known is None:
            known = longer[open_time] = Bucket(open_time, bucket.open)
        known.merge(bucket)
    return longer


def candle_of(bucket: Bucket, venue: str, symbol: str, timeframe: str) -> Candle:
    """The closed candle that the flow would make of a period."""
    return Candle(*bucket.figures, venue=venue, symbol=symbol, timeframe=timeframe, is_closed=True, status="repaired")
