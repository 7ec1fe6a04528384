"""Binance's two venues."""

from functools import partial
from typing import Final

from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from sources.binance.rest import BinanceRest
from sources.binance.rules import RULES
from sources.venue import Venue


def _venue(name: str) -> Venue:
    return Venue(
        name=name, rules=RULES[name], feed=BinanceFeed, parser=partial(BinanceParser, name), rest=BinanceRest.of
    )


BINANCE: Final = _venue("binance")
"""Spot."""
BINANCE_USDM: Final = _venue("binance-usdm")
"""USD-M futures."""
