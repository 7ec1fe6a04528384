"""Binance's two venues."""

from functools import partial
from typing import Final

from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from sources.binance.rest import BinanceRest
from sources.binance.rules import RULES
from sources.binance.usdm_rest import UsdmDerivatives
from sources.venue import Venue


def _venue(name: str) -> Venue:
    return Venue(
        name=name,
        rules=RULES[name],
        feed=BinanceFeed,
        parser=partial(BinanceParser, name),
        rest=BinanceRest.of,
        derivatives=UsdmDerivatives.of if RULES[name].has_derivatives else None,
    )


BINANCE: Final = _venue("binance")
"""Spot."""
BINANCE_USDM: Final = _venue("binance-usdm")
"""USD-M futures."""
