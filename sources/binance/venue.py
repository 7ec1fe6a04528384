"""Binance's two venues."""

from functools import partial
from typing import Final

from flows.model import Capability
from sources.account import AccountFeed, AccountSettings
from sources.binance.account.spot import SpotAccount
from sources.binance.account.usdm import UsdmAccount
from sources.binance.capabilities import SPOT, USDM
from sources.binance.feed import BinanceFeed
from sources.binance.parse import BinanceParser
from sources.binance.rest import BinanceRest
from sources.binance.rules import RULES
from sources.binance.sbe.feed import SbeFeed
from sources.binance.usdm_rest import UsdmDerivatives
from sources.venue import FeedSettings, Venue, VenueRest


def _feed(settings: FeedSettings) -> BinanceFeed:
    return SbeFeed(settings) if settings.encoding == "sbe" else BinanceFeed(settings)


def _account(settings: AccountSettings, rest: VenueRest) -> AccountFeed:
    """The account of a venue on its REST client."""
    assert isinstance(rest, BinanceRest)  # noqa: S101 - the same `Venue` has built it
    return UsdmAccount(settings, rest) if RULES[rest.venue].has_derivatives else SpotAccount(settings, rest)


def _venue(name: str, archive: str, capabilities: tuple[Capability, ...]) -> Venue:
    return Venue(
        name=name,
        rules=RULES[name],
        feed=_feed,
        parser=partial(BinanceParser, name),
        rest=BinanceRest.of,
        archive=archive,
        capabilities=capabilities,
        account=_account,
        derivatives=UsdmDerivatives.of if RULES[name].has_derivatives else None,
    )


BINANCE: Final = _venue("binance", "spot", SPOT)
"""Spot."""
BINANCE_USDM: Final = _venue("binance-usdm", "futures/um", USDM)
"""USD-M futures."""
