"""What every candle has, whoever made it and however it is told: the one place where these fields are spelled.

`Time` is how its begin is written: `int`, ms UTC, in the model; `str`, ISO-8601, in what clients are sent.
"""

from typing import Generic, TypeVar

from msgspec import Struct

Time = TypeVar("Time", int, str)


class Ohlcv(Struct, Generic[Time], frozen=True, gc=False):
    """Open, high, low, close and volume of a period that begins with `open_time`."""

    open_time: Time
    open: float
    high: float
    low: float
    close: float
    volume: float


class TradedOhlcv(Ohlcv[Time], frozen=True, gc=False):
    """And what is known of the trades in it."""

    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    """Raw trade ids; -1 when the period has no trade, or the exchange did not tell them."""
    last_id: int


VOLUMES = "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"
"""The fields that are sums over its trades: those of a longer period are the sums of the shorter ones in it."""
