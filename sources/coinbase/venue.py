"""Coinbase as a venue."""

from functools import partial
from typing import Final

from sources.coinbase.capabilities import CAPABILITIES
from sources.coinbase.feed import CoinbaseFeed
from sources.coinbase.names import NAME
from sources.coinbase.parse import CoinbaseParser
from sources.coinbase.rest import CoinbaseRest
from sources.coinbase.rules import RULES
from sources.venue import Venue

COINBASE: Final = Venue(
    name=NAME,
    rules=RULES,
    feed=CoinbaseFeed,
    parser=partial(CoinbaseParser, NAME),
    rest=CoinbaseRest.of,
    capabilities=CAPABILITIES,
)
"""Spot."""
