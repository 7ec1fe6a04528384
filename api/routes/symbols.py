"""Symbols that are listed, wanted and followed. The flow follows the subscriptions stored here."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import READ_ERRORS, AnyRoute, Route, Symbol, Venue
from api.routes.prices import OfSymbol
from api.services import Services
from flows.model import ListedInstrument
from flows.names import TEXT_END
from sinks.mongo.commands import DesiredSubscription

BODY_ERRORS = (*READ_ERRORS, "body_too_large", "unsupported_media_type")

StreamName = Annotated[
    str,
    Meta(pattern=f"^[A-Za-z]{{1,32}}(_[0-9]{{1,3}}[smhd])?{TEXT_END}", examples=["aggTrade", "kline", "kline_1m"]),
]
StreamNames = Annotated[tuple[StreamName, ...], Meta(max_length=20)]


class OfVenue(Struct, frozen=True, forbid_unknown_fields=True):
    """One venue."""

    venue: Venue = ""


class AddSymbol(Struct, frozen=True, forbid_unknown_fields=True):
    """A symbol to follow. Without `streams`, those of the setting `feed.streams`; `kline` is the klines of all
    timeframes, `kline_1m` of one. It replaces earlier ones: streams that are not named end.
    """

    symbol: Symbol
    venue: Venue = ""
    streams: StreamNames = ()


class AddSymbols(Struct, frozen=True, forbid_unknown_fields=True):
    """Symbols to follow, each with the same `streams`; `symbol` is one more of them."""

    symbols: Annotated[tuple[Symbol, ...], Meta(max_length=100)] = ()
    symbol: Symbol | None = None
    venue: Venue = ""
    streams: StreamNames = ()


class SymbolState(Struct, frozen=True):
    """`wanted`: the last request, null without one. `followed`: whether the hub reports the symbol, which confirms the
    request. `streams`: those requested, empty for those of the setting `feed.streams`.
    """

    venue: str
    symbol: str
    wanted: bool | None
    followed: bool
    streams: tuple[str, ...] = ()


class Supported(Struct, frozen=True):
    """Instruments of a venue; `complete` is false until the flow has stored the venue's list: these are only the
    followed symbols.
    """

    venue: str
    complete: bool
    symbols: list[ListedInstrument]


class SymbolHandlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._instruments = services.instruments
        self._mongo = services.mongo
        self._live = services.live
        self._feed = services.settings.feed

    async def states(self, params: OfVenue) -> list[SymbolState]:
        """The symbols that are wanted or followed, of all venues when none is named."""
        venues = [await self._instruments.venue(params.venue)] if params.venue else self._instruments.venues()
        return [state for venue in venues for state in await self._states(venue)]

    async def _states(self, venue: str) -> list[SymbolState]:
        async with self._mongo.guarded():
            subscriptions = await self._mongo.commands.subscriptions(venue)
        stored = {subscription.symbol: subscription for subscription in subscriptions}
        followed = self._live.symbols(venue)
        followed_only = [SymbolState(venue, name, None, followed=True) for name in followed - stored.keys()]
        desired = [_state_of(subscription, followed=name in followed) for name, subscription in stored.items()]
        return sorted([*followed_only, *desired], key=lambda state: state.symbol)

    async def add(self, _: Struct, body: AddSymbol) -> SymbolState:
        """Follow a symbol from now on; `GET /api/symbols` shows when the flow does."""
        venue = await self._instruments.venue(body.venue)
        [name] = await self._instruments.own_names([body.symbol], venue)
        return await self._store(venue, name, wanted=True, streams=body.streams)

    async def subscribe(self, _: Struct, body: AddSymbols) -> list[SymbolState]:
        """Follow several symbols from now on: all of them, or none when one is unknown."""
        spellings = [*body.symbols, body.symbol] if body.symbol else body.symbols
        if not spellings:
            raise Problem("bad_request", "name at least one symbol, in symbols or symbol")
        venue = await self._instruments.venue(body.venue)
        names = await self._instruments.own_names(spellings, venue)
        for name in names:
            await self._check(venue, name, body.streams)
        return [await self._store(venue, name, wanted=True, streams=body.streams) for name in names]

    async def remove(self, params: OfSymbol) -> SymbolState:
        """Stop following a symbol; its stored data stays."""
        instrument = await self._instruments.find(params.symbol, params.venue)
        return await self._store(*instrument, wanted=False)

    async def supported(self, params: OfVenue) -> Supported:
        """The instruments that can be followed."""
        venue = await self._instruments.venue(params.venue)
        listed = await self._instruments.listed(venue)
        followed = sorted(self._instruments.followed(venue))
        return Supported(
            venue, bool(listed), listed or [ListedInstrument(venue, symbol, "followed") for symbol in followed]
        )

    async def _store(self, venue: str, symbol: str, *, wanted: bool, streams: tuple[str, ...] = ()) -> SymbolState:
        if wanted:
            await self._check(venue, symbol, streams)
        subscription = DesiredSubscription(venue, symbol, wanted, tuple(dict.fromkeys(streams)))
        async with self._mongo.guarded():
            await self._mongo.commands.set_subscription(subscription)
        return _state_of(subscription, followed=symbol in self._live.symbols(venue))

    async def _check(self, venue: str, symbol: str, streams: tuple[str, ...]) -> None:
        """`Problem` when the venue does not list the symbol, or a flow with these settings would refuse its streams.
        Without the venue's list the flow checks later.
        """
        if venue == self._feed.venue and (reason := self._feed.refusal_of(streams)):
            raise Problem("bad_request", f"streams: {reason}")
        if listed := await self._instruments.listed(venue):
            self._instruments.check(symbol, venue, {instrument.symbol for instrument in listed})


def _state_of(subscription: DesiredSubscription, *, followed: bool) -> SymbolState:
    return SymbolState(subscription.venue, subscription.symbol, subscription.wanted, followed, subscription.streams)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    handlers = SymbolHandlers(services)
    return [
        Route("GET", "/api/symbols", handlers.states, list[SymbolState], OfVenue, errors=READ_ERRORS),
        Route(
            "POST",
            "/api/symbols",
            handlers.add,
            SymbolState,
            body=AddSymbol,
            accepted=SymbolState,
            errors=BODY_ERRORS,
        ),
        Route(
            "POST",
            "/api/subscribe",
            handlers.subscribe,
            list[SymbolState],
            body=AddSymbols,
            errors=BODY_ERRORS,
        ),
        Route(
            "DELETE",
            "/api/symbols/{symbol}",
            handlers.remove,
            SymbolState,
            OfSymbol,
            accepted=SymbolState,
            errors=READ_ERRORS,
        ),
        Route("GET", "/api/supported-symbols", handlers.supported, Supported, OfVenue, errors=READ_ERRORS),
    ]
