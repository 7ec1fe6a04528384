"""The catalogue of instruments of all followed venues, and one base asset's prices compared between them."""

from collections import defaultdict
from itertools import zip_longest
from typing import Annotated, Final

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import STORE_ERRORS, AnyRoute, Route, Venue
from api.live.freshness import OF_PRICE, is_stale, state_name
from api.services import Services
from api.stores.instruments import MOST_NEAREST
from flows.model import ListedInstrument
from flows.model.printed import difference
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, SYMBOL_PATTERN, TEXT_END, did_you_mean, nearest
from flows.spellings import asset_of

ERRORS: Final = ("bad_request", "unknown_venue", *STORE_ERRORS)
FIRST_QUOTES: Final = ("USD", "USDT", "USDC")
"""Quote assets that are compared first, in this order."""

Asset = Annotated[
    str,
    Meta(
        pattern=f"^({SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}})?{TEXT_END}", description="an asset in any case: BTC, xbt"
    ),
]
Status = Annotated[str, Meta(pattern=f"^[A-Za-z_]{{0,32}}{TEXT_END}", description="TRADING, or a venue's own word")]


class InstrumentsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """What the instruments have in common; what is left out may be anything. `symbol` is any spelling."""

    base: Asset = ""
    quote: Asset = ""
    symbol: Annotated[str, Meta(pattern=f"^{SYMBOL_CHARACTERS}{{0,{SYMBOL_LENGTH}}}{TEXT_END}")] = ""
    venue: Venue = ""
    status: Status = ""
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 1_000


class CatalogueEntry(ListedInstrument, frozen=True, kw_only=True):
    """An instrument as its venue lists it. `base` and `quote` are empty and decimals null where the venue does not say
    them.
    """

    followed: bool


class FoundInstruments(Struct, frozen=True):
    """`found` is how many there are, of which `instruments` are the first, by venue and name. `without_list` names the
    venues whose list the flow has not stored yet.
    """

    found: int
    instruments: list[CatalogueEntry]
    without_list: list[str]


class CompareParams(Struct, frozen=True, forbid_unknown_fields=True):
    """One base asset."""

    base: Annotated[str, Meta(pattern=SYMBOL_PATTERN, description="an asset, as in /api/instruments", examples=["BTC"])]


class ComparedPrice(Struct, frozen=True):
    """The newest price of an instrument, as `/api/prices/{symbol}` has it."""

    venue: str
    symbol: str
    price: float
    timestamp: int
    age_ms: int
    stale: bool
    state: str | None
    clock: str | None


class ComparedQuote(Struct, frozen=True):
    """Prices in one quote asset, the highest first. `spread` is between the highest and the lowest of those that are
    not stale, in the quote asset and in percent of the lowest; null with fewer than two.
    """

    quote: str
    prices: list[ComparedPrice]
    spread: float | None
    spread_percent: float | None


class Comparison(Struct, frozen=True):
    """Prices of one base asset by quote asset: USD, USDT and USDC first. Prices in different ones are not compared."""

    base: str
    quotes: list[ComparedQuote]


class InstrumentHandlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._instruments = services.instruments
        self._live = services.live
        self._limit_ms = int(services.settings.api.price_age_s * 1_000)

    async def instruments(self, params: InstrumentsParams) -> FoundInstruments:
        """The instruments of all followed venues, with base and quote asset, decimals and status."""
        base, quote, status = _asset(params.base), _asset(params.quote), params.status.upper()
        catalogue = await self._instruments.catalogue(params.venue)
        names = (
            [await self._instruments.own_names([params.symbol], venue) for venue in catalogue] if params.symbol else []
        )
        found = [
            one
            for listed, own in zip_longest(catalogue.values(), names)
            for one in listed
            if (base in ("", one.base) and quote in ("", one.quote) and status in ("", one.status))
            and (own is None or one.symbol in own)
        ]
        followed = {venue: self._instruments.followed(venue) for venue in catalogue}
        return FoundInstruments(
            len(found),
            [_entry(one, followed=one.symbol in followed[one.venue]) for one in found[: params.limit]],
            [venue for venue, listed in catalogue.items() if not listed],
        )

    async def compare(self, params: CompareParams) -> Comparison:
        """The newest prices of a base asset on all venues, and the spread between them in each quote asset."""
        base = _asset(params.base)
        listed = [one for of_venue in (await self._instruments.catalogue()).values() for one in of_venue]
        candidates = [one for one in listed if one.base == base]
        if not candidates:
            near = nearest(base, {one.base for one in listed}, most=MOST_NEAREST)
            hint = did_you_mean(near)
            where = ", ".join(sorted({one.venue for one in listed})) or "a venue whose list is stored"
            raise Problem("unknown_symbol", f"no instrument of {base} is listed at {where}{hint}", nearest=near)
        by_quote: defaultdict[str, list[ComparedPrice]] = defaultdict(list)
        for one in candidates:
            if price := self._price(one):
                by_quote[one.quote].append(price)
        if not by_quote:
            names = ", ".join(f"{one.symbol} of {one.venue}" for one in candidates[:5])
            raise Problem("no_data", f"no instrument of {base} has a price: follow one, as {names}")
        return Comparison(base, [_compared(quote, by_quote[quote]) for quote in sorted(by_quote, key=_order)])

    def _price(self, of: ListedInstrument) -> ComparedPrice | None:
        found = self._live.latest("MarketData", of.symbol, of.venue)
        if found is None:
            return None
        (message, age_ms), state = found, self._live.state(of.symbol, of.venue, OF_PRICE)
        return ComparedPrice(
            of.venue,
            of.symbol,
            message.body.price,
            message.body.timestamp,
            age_ms,
            is_stale(state, age_ms, self._limit_ms),
            state_name(state),
            self._live.clock(of.symbol, of.venue),
        )


def _compared(quote: str, found: list[ComparedPrice]) -> ComparedQuote:
    prices = sorted(found, key=lambda price: (-price.price, price.venue, price.symbol))
    current = [price.price for price in prices if not price.stale]
    if len(current) < 2:  # noqa: PLR2004 - a spread is between two
        return ComparedQuote(quote, prices, None, None)
    spread = difference(current[0], current[-1])
    return ComparedQuote(quote, prices, spread, round(100 * spread / current[-1], 4))


def _order(quote: str) -> tuple[int, str]:
    return (FIRST_QUOTES.index(quote) if quote in FIRST_QUOTES else len(FIRST_QUOTES), quote)


def _entry(of: ListedInstrument, *, followed: bool) -> CatalogueEntry:
    return CatalogueEntry(
        of.venue, of.symbol, of.status, of.base, of.quote, of.price_decimals, of.quantity_decimals, followed=followed
    )


def _asset(spelling: str) -> str:
    if not spelling:
        return ""
    try:
        return asset_of(spelling)
    except ValueError as error:
        raise Problem("bad_request", str(error)) from error


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    handlers = InstrumentHandlers(services)
    return [
        Route("GET", "/api/instruments", handlers.instruments, FoundInstruments, InstrumentsParams, errors=ERRORS),
        Route(
            "GET",
            "/api/compare/{base}",
            handlers.compare,
            Comparison,
            CompareParams,
            errors=(*ERRORS, "unknown_symbol", "no_data"),
        ),
    ]
