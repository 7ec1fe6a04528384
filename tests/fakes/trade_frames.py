"""Trades as the frames that the store gives."""

from collections.abc import Sequence

import polars as pl

from flows.model import Trade
from sinks.trades.codec import decode_frame, encode_columns


def trade_frame(trades: Sequence[Trade]) -> pl.DataFrame:
    """The frame of trades, as it comes out of the store."""
    return decode_frame([encode_columns(trades)] if trades else [])
