"""The fields of every candle, in the model and in payloads: the only place that defines them.

`Time` is the type of its begin: `int`, ms UTC, in the model; `str`, ISO-8601, in payloads.
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
    """With the figures of the trades in it."""

    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    """Raw trade ids; -1 when the period has no trade, or the exchange does not report them."""
    last_id: int


VOLUMES = "volume", "quote_volume", "taker_buy_volume", "taker_buy_quote_volume"
"""The fields that are sums over the trades: a longer period has the sums of the shorter ones in it."""
