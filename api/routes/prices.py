"""Prices and ticks, from the live view; those that are not current are marked `stale`."""

from functools import partial

from msgspec import Struct

from api.http.errors import Problem
from api.http.route import LATEST_ERRORS, STORE_ERRORS, AnyRoute, Route, Symbol, Symbols, Venue
from api.live.freshness import OF_PRICE, clock_of, is_stale, state_name, state_of
from api.live.messages import HubMessage
from api.live.state import VenueState
from api.live.view import Tick
from api.services import Services

LIST_ERRORS = ("unknown_venue", "unknown_symbol", *STORE_ERRORS)


class OfSymbol(Struct, frozen=True, forbid_unknown_fields=True):
    """One instrument."""

    symbol: Symbol
    venue: Venue = ""


class OfSymbols(Struct, frozen=True, forbid_unknown_fields=True):
    """Some instruments, or all."""

    symbols: Symbols = ()
    venue: Venue = ""


class Price(Struct, frozen=True):
    """Price in the quote currency; the 24-hour figures are null until they are known."""

    venue: str
    symbol: str
    price: float
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    timestamp: int
    """Of the price, at the exchange, ms UTC."""
    age_ms: int
    """Since the exchange's own time of the price, in the venue's time."""
    stale: bool
    """The price is not known to be current."""
    state: str | None
    """`live`, `quiet`, `silent`, …; null where the flow publishes no states."""
    clock: str | None
    """`unsure` while the venue's time, and so the age, is carried on by a local clock; else `sure`. Null as `state`."""


class TickAnswer(Tick, frozen=True):
    """Price, best bid and best ask; null where unknown."""

    stale: bool
    state: str | None
    clock: str | None


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    live, instruments = services.live, services.instruments
    limit_ms = int(services.settings.api.price_age_s * 1_000)

    def price_of(message: HubMessage, age_ms: int, hubs: list[VenueState]) -> Price:
        """`hubs` are those of its venue."""
        body, state = message.body, state_of(hubs, message.symbol, OF_PRICE)
        return Price(
            message.venue,
            body.symbol,
            body.price,
            body.price_change_24h,
            body.price_change_percent_24h,
            body.volume_24h,
            body.timestamp,
            age_ms,
            is_stale(state, age_ms, limit_ms),
            state_name(state),
            clock_of(hubs, message.symbol),
        )

    def tick_of(tick: Tick) -> TickAnswer:
        state = live.state(tick.symbol, tick.venue, OF_PRICE)
        return TickAnswer(
            tick.venue,
            tick.symbol,
            tick.price,
            tick.bid,
            tick.ask,
            tick.age_ms,
            is_stale(state, tick.age_ms, limit_ms),
            state_name(state),
            live.clock(tick.symbol, tick.venue),
        )

    async def price(params: OfSymbol) -> Price:
        """The latest price of a symbol."""
        instrument = await instruments.find(params.symbol, params.venue)
        found = live.latest("MarketData", instrument.symbol, instrument.venue)
        if found is None:
            raise Problem("no_data", f"{instrument.symbol} has no price yet; /api/status has the state of its feed")
        message, age_ms = found
        return price_of(message, age_ms, list(live.venue_states(message.venue)))

    async def prices(params: OfSymbols) -> list[Price]:
        """The latest prices, in alphabetical order of the symbols."""
        found: list[Price] = []
        for venue_state, wanted in await chosen_states(services, params):
            latest = [
                message for message in venue_state.all_latest("MarketData") if not wanted or message.symbol in wanted
            ]
            hubs = list(live.venue_states(venue_state.venue))
            found += map(partial(price_of, hubs=hubs), latest, venue_state.ages_ms(latest))
        return found

    async def ticks(params: OfSymbols) -> list[TickAnswer]:
        """Price, best bid and best ask of each symbol."""
        found = []
        for venue_state, wanted in await chosen_states(services, params):
            found += [
                live.tick(message.symbol, venue_state.venue)
                for message in venue_state.all_latest("MarketData")
                if not wanted or message.symbol in wanted
            ]
        return [tick_of(tick) for tick in found if tick]

    return [
        Route("GET", "/api/prices", prices, list[Price], OfSymbols, errors=LIST_ERRORS),
        Route(
            "GET",
            "/api/prices/{symbol}",
            price,
            Price,
            OfSymbol,
            errors=LATEST_ERRORS,
        ),
        Route("GET", "/api/ticks", ticks, list[TickAnswer], OfSymbols, errors=LIST_ERRORS),
    ]


async def chosen_states(services: Services, params: OfSymbols) -> list[tuple[VenueState, set[str]]]:
    """The hubs' states, and the symbols that are wanted of each: all where the set is empty."""
    instruments = services.instruments
    named = await instruments.named(params.venue)
    wanted = await instruments.chosen(params.symbols, [named] if named else instruments.venues())
    return [(state, wanted[state.venue]) for state in services.live.venue_states(named)]
