"""Bars as frames."""

from collections.abc import Mapping, Sequence
from typing import Final

import polars as pl

from sinks.bars.maker import BarRow

BAR_SCHEMA: Final[Mapping[str, pl.DataType]] = {
    "open_time": pl.Int64(),
    "close_time": pl.Int64(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "quote_volume": pl.Float64(),
    "trades": pl.Int64(),
    "taker_buy_volume": pl.Float64(),
    "taker_buy_quote_volume": pl.Float64(),
    "first_id": pl.Int64(),
    "last_id": pl.Int64(),
    "is_closed": pl.Boolean(),
}


def bar_frame(rows: Sequence[BarRow]) -> pl.DataFrame:
    """Bars as a frame."""
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")
