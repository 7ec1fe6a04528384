"""All venues: the only place that lists them, besides the setting `feed.venue`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sources.binance.venue import BINANCE, BINANCE_USDM
from sources.coinbase.venue import COINBASE
from sources.kraken.venue import KRAKEN
from sources.venue import Venue

_VENUES: Final = (BINANCE, BINANCE_USDM, COINBASE, KRAKEN)
VENUES: Final[Mapping[str, Venue]] = MappingProxyType({venue.name: venue for venue in _VENUES})
"""By name."""
