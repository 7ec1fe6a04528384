"""All venues: the only place that lists them, besides the setting `feed.venue`."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from sources.binance.venue import BINANCE, BINANCE_USDM
from sources.kraken.venue import KRAKEN
from sources.venue import Venue

VENUES: Final[Mapping[str, Venue]] = MappingProxyType({venue.name: venue for venue in (BINANCE, BINANCE_USDM, KRAKEN)})
"""By name."""
