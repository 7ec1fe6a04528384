"""Kraken's spot market."""

from typing import Final

from sources.kraken.capabilities import CAPABILITIES
from sources.kraken.feed import KrakenFeed
from sources.kraken.parse import VENUE, KrakenParser
from sources.kraken.rest import KrakenRest
from sources.kraken.rules import RULES
from sources.venue import Venue

KRAKEN: Final = Venue(
    name=VENUE, rules=RULES, feed=KrakenFeed, parser=KrakenParser, rest=KrakenRest.of, capabilities=CAPABILITIES
)
