"""The fields of every candle, in the model and in payloads: the only place that defines them.

`Time` is the type of its begin: `int`, ms UTC, in the model; `str`, ISO-8601, in payloads.
"""

from typing import Generic, TypeAlias, TypeVar

from msgspec import Struct

Time = TypeVar("Time", int, str)

Prices: TypeAlias = tuple[float, float, float, float]
"""Open, high, low, close."""
Volumes: TypeAlias = tuple[float, float, float, float]
"""In the base and in the quote currency, and what takers bought of either."""
Figures: TypeAlias = tuple[Time, float, float, float, float, float, float, int, float, float, int, int]
"""The values of all fields in their order, so `Candle(*figures, venue=…)` has them."""

PRICES = "open", "high", "low", "close"
TRADED = "volume", "quote_volume"
BOUGHT = "taker_buy_volume", "taker_buy_quote_volume"
"""What takers bought of either of `TRADED`."""
VOLUMES = (*TRADED, *BOUGHT)
"""The fields that are sums over the trades: a longer period has the sums of the shorter ones in it."""
MAY_BE_UNSTATED = tuple(name for name in VOLUMES if name != "volume")
"""NaN in a venue's own candle where the venue does not state them."""
IDS = "first_id", "last_id"


class Ohlcv(Struct, Generic[Time], frozen=True, gc=False):
    """Open, high, low, close and volume of a period that begins with `open_time`."""

    open_time: Time
    open: float
    high: float
    low: float
    close: float
    volume: float

    @property
    def prices(self) -> Prices:
        """The values of `PRICES`."""
        return self.open, self.high, self.low, self.close


class TradedOhlcv(Ohlcv[Time], frozen=True, gc=False):
    """With the figures of the trades in it."""

    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    """Raw trade ids; -1 when the period has no trade, or the exchange does not report them."""
    last_id: int

    @property
    def volumes(self) -> Volumes:
        """The values of `VOLUMES`."""
        return self.volume, self.quote_volume, self.taker_buy_volume, self.taker_buy_quote_volume

    @property
    def figures(self) -> Figures[Time]:
        """The values of the fields that every candle has, whatever else its type has."""
        return (
            self.open_time, self.open, self.high, self.low, self.close, self.volume, self.quote_volume, self.trades,
            self.taker_buy_volume, self.taker_buy_quote_volume, self.first_id, self.last_id,
        )  # fmt: skip
