"""Kraken's spot market."""

from typing import Final

from sources.account import AccountSettings
from sources.kraken.account.feed import KrakenAccount
from sources.kraken.capabilities import CAPABILITIES
from sources.kraken.feed import KrakenFeed
from sources.kraken.parse import VENUE, KrakenParser
from sources.kraken.rest import KrakenRest
from sources.kraken.rules import RULES
from sources.venue import Venue, VenueRest


def _account(settings: AccountSettings, rest: VenueRest) -> KrakenAccount:
    if not isinstance(rest, KrakenRest):
        raise TypeError("the account of Kraken is queried over the client of its market data")
    return KrakenAccount(settings, rest)


KRAKEN: Final = Venue(
    name=VENUE,
    rules=RULES,
    feed=KrakenFeed,
    parser=KrakenParser,
    rest=KrakenRest.of,
    capabilities=CAPABILITIES,
    account=_account,
)
