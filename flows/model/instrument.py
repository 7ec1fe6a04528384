"""Instruments and timeframes."""

import re
from typing import NamedTuple

from msgspec import Struct

DAY_MS = 86_400_000
_UNITS_MS = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": DAY_MS}
_TIMEFRAME = re.compile(r"([1-9]\d{0,2})([smhd])")


def timeframe_ms(timeframe: str) -> int:
    """Length in milliseconds of a timeframe such as `1m`, `4h` or `1d`; `ValueError` when it is invalid, or does not
    divide the UTC day evenly (its periods would not be aligned to UTC).
    """
    match = _TIMEFRAME.fullmatch(timeframe)
    length = int(match[1]) * _UNITS_MS[match[2]] if match else 0
    if not length or DAY_MS % length:
        raise ValueError(
            f"{timeframe!r} is no timeframe: write a number and s, m, h or d that divides a day, as in 15m"
        )
    return length


def is_timeframe(name: object) -> bool:
    """Whether it is the name of a timeframe."""
    try:
        return isinstance(name, str) and timeframe_ms(name) > 0
    except ValueError:
        return False


class Instrument(NamedTuple):
    """A symbol at a venue. `symbol` is the venue's own name, upper case, with `-` for `/`."""

    venue: str
    symbol: str

    @property
    def key(self) -> str:
        """The routing key, `venue:symbol`."""
        return f"{self.venue}:{self.symbol}"

    @classmethod
    def of(cls, key: str) -> "Instrument":
        """The instrument of a routing key."""
        venue, _, symbol = key.partition(":")
        return cls(venue, symbol)


class ListedInstrument(Struct, frozen=True):
    """An instrument as its venue lists it; `status` is `TRADING` where trades are made, else the venue's own word."""

    venue: str
    symbol: str
    status: str
    base: str = ""
    """The asset that is traded, by its usual name (`BTC`); empty where the venue does not say it."""
    quote: str = ""
    """The asset of prices."""
    price_decimals: int | None = None
    quantity_decimals: int | None = None
