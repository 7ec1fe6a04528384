"""Coinbase as a venue."""

from functools import partial
from typing import Final

from sources.account import AccountSettings
from sources.coinbase.account.feed import CoinbaseAccount
from sources.coinbase.capabilities import CAPABILITIES
from sources.coinbase.feed import CoinbaseFeed
from sources.coinbase.names import NAME
from sources.coinbase.parse import CoinbaseParser
from sources.coinbase.rest import CoinbaseRest
from sources.coinbase.rules import RULES
from sources.venue import Venue, VenueRest


def _account(settings: AccountSettings, rest: VenueRest) -> CoinbaseAccount:
    if not isinstance(rest, CoinbaseRest):
        raise TypeError("the account of Coinbase is queried over the client of its market data")
    return CoinbaseAccount(settings, rest)


COINBASE: Final = Venue(
    name=NAME,
    rules=RULES,
    feed=CoinbaseFeed,
    parser=partial(CoinbaseParser, NAME),
    rest=CoinbaseRest.of,
    capabilities=CAPABILITIES,
    account=_account,
)
"""Spot."""
