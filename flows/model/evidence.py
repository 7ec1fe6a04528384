"""How well the values of a closed candle are proven: one order for all that is stored and imported.

An import never replaces values by such that are proven worse, whatever order files come in.
"""

from enum import IntEnum
from typing import Literal, TypeAlias

from msgspec import Struct

from flows.model.candles import Candle

KlineSource: TypeAlias = Literal["exchange", "checksum", "file"]
"""Where klines come from: from the exchange itself, from a file with its checksum, or from one without."""


class Evidence(IntEnum):
    """What speaks for the values of a candle, the weakest first."""

    NOTHING = 0
    """Only the trades, which may come from anywhere."""
    FILE = 1
    """A kline of a file without a checksum: alone, or equal to the trades."""
    REPORTED = 2
    """A kline of the exchange itself, which was compared with nothing."""
    TRADES = 3
    """The checksum of the exchange over the trades."""
    PROVEN = 4
    """A kline of the exchange: with its checksum, or compared with the trades when both came from it."""


class Origin(Struct, frozen=True):
    """Where a candle comes from."""

    has_vouched_trades: bool = False
    """Whether a checksum of the exchange vouches for all trades of its time."""
    klines: KlineSource = "file"
    """Where the klines of its time come from."""


UNVOUCHED = Origin()
"""Of files without checksums."""
LIVE = Origin(klines="exchange")
"""Of the live flow."""


def evidence(candle: Candle, origin: Origin) -> Evidence:
    """What speaks for a closed candle. That it lacks trades, or that it is in doubt, is no matter of this."""
    if candle.status == "venue":
        if origin.klines == "exchange" and not candle.proof:
            return Evidence.REPORTED
        return _of_klines(origin.klines)
    by_trades = Evidence.TRADES if origin.has_vouched_trades else Evidence.NOTHING
    return max(by_trades, _of_klines(origin.klines)) if candle.proof else by_trades


def _of_klines(source: KlineSource) -> Evidence:
    return Evidence.FILE if source == "file" else Evidence.PROVEN
