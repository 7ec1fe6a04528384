"""Symbols: what can be had, what is wanted, and what is followed. The flow follows the wishes written here."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, Route, Symbol, Venue
from api.routes.prices import OfSymbol
from api.services import Services
from flows.names import TEXT_END
from sinks.mongo.commands import DesiredSubscription, ListedInstrument

ERRORS = ("bad_request", "unknown_symbol", "unknown_venue", "store_unavailable")
BODY_ERRORS = (*ERRORS, "body_too_large", "unsupported_media_type")

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
    timeframes, `kline_1m` of one. The last word counts: what was followed of it and is not named ends.
    """

    symbol: Symbol
    venue: Venue = ""
    streams: StreamNames = ()


class AddSymbols(Struct, frozen=True, forbid_unknown_fields=True):
    """Symbols to follow, each with the same `streams`."""

    symbols: Annotated[tuple[Symbol, ...], Meta(min_length=1, max_length=100)]
    venue: Venue = ""
    streams: StreamNames = ()


class SymbolState(Struct, frozen=True):
    """`wanted`: what was wished last, null when nothing was. `followed`: whether the hub tells of it, which confirms
    the wish. `streams`: those that were wished, none for those of the setting `feed.streams`.
    """

    venue: str
    symbol: str
    wanted: bool | None
    followed: bool
    streams: tuple[str, ...] = ()


class Supported(Struct, frozen=True):
    """Instruments of a venue; `complete` is false as long as the flow has not written down the venue's list, and
    these are only the symbols that are followed.
    """

    venue: str
    complete: bool
    symbols: list[ListedInstrument]


class SymbolDesk:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._catalogue = services.catalogue
        self._documents = services.documents
        self._live = services.live
        self._feed = services.settings.feed

    async def states(self, params: OfVenue) -> list[SymbolState]:
        """The symbols that are wanted or followed."""
        venue = await self._catalogue.venue(params.venue)
        async with self._documents.guarded():
            wishes = await self._documents.petitioner.subscriptions(venue)
        wished = {wish.symbol: wish for wish in wishes}
        told = self._live.symbols(venue)
        unsaid = [SymbolState(venue, name, None, followed=True) for name in told - wished.keys()]
        said = [_state_of(wish, followed=name in told) for name, wish in wished.items()]
        return sorted([*unsaid, *said], key=lambda state: state.symbol)

    async def add(self, _: Struct, body: AddSymbol) -> SymbolState:
        """Follow a symbol from now on; `GET /api/symbols` shows when the flow does."""
        venue = await self._catalogue.venue(body.venue)
        return await self._wish(venue, self._catalogue.symbol(body.symbol), wanted=True, streams=body.streams)

    async def subscribe(self, _: Struct, body: AddSymbols) -> list[SymbolState]:
        """Follow several symbols from now on: all of them, or none when one is unknown."""
        venue = await self._catalogue.venue(body.venue)
        names = list(dict.fromkeys(self._catalogue.symbol(symbol) for symbol in body.symbols))
        for name in names:
            await self._check(venue, name, body.streams)
        return [await self._wish(venue, name, wanted=True, streams=body.streams) for name in names]

    async def remove(self, params: OfSymbol) -> SymbolState:
        """Follow a symbol no more; what is stored of it stays."""
        instrument = await self._catalogue.instrument(params.symbol, params.venue)
        return await self._wish(*instrument, wanted=False)

    async def supported(self, params: OfVenue) -> Supported:
        """The instruments that can be had."""
        venue = await self._catalogue.venue(params.venue)
        listed = await self._catalogue.listed(venue)
        followed = sorted(self._catalogue.followed(venue))
        return Supported(
            venue, bool(listed), listed or [ListedInstrument(venue, symbol, "followed") for symbol in followed]
        )

    async def _wish(self, venue: str, symbol: str, *, wanted: bool, streams: tuple[str, ...] = ()) -> SymbolState:
        if wanted:
            await self._check(venue, symbol, streams)
        wish = DesiredSubscription(venue, symbol, wanted, tuple(dict.fromkeys(streams)))
        async with self._documents.guarded():
            await self._documents.petitioner.set_subscription(wish)
        return _state_of(wish, followed=symbol in self._live.symbols(venue))

    async def _check(self, venue: str, symbol: str, streams: tuple[str, ...]) -> None:
        """`Problem` when the venue is known not to have it, or a flow of these settings would refuse its streams;
        without the venue's list, the flow will tell.
        """
        if venue == self._feed.venue and (reason := self._feed.refusal_of(streams)):
            raise Problem("bad_request", f"streams: {reason}")
        if listed := await self._catalogue.listed(venue):
            self._catalogue.check(symbol, venue, {instrument.symbol for instrument in listed})


def _state_of(wish: DesiredSubscription, *, followed: bool) -> SymbolState:
    return SymbolState(wish.venue, wish.symbol, wish.wanted, followed, wish.streams)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    desk = SymbolDesk(services)
    return [
        Route("GET", "/api/symbols", desk.states, list[SymbolState], OfVenue, errors=ERRORS),
        Route(
            "POST",
            "/api/symbols",
            desk.add,
            SymbolState,
            body=AddSymbol,
            accepted=SymbolState,
            errors=BODY_ERRORS,
        ),
        Route(
            "POST",
            "/api/subscribe",
            desk.subscribe,
            list[SymbolState],
            body=AddSymbols,
            errors=BODY_ERRORS,
        ),
        Route(
            "DELETE",
            "/api/symbols/{symbol}",
            desk.remove,
            SymbolState,
            OfSymbol,
            accepted=SymbolState,
            errors=ERRORS,
        ),
        Route("GET", "/api/supported-symbols", desk.supported, Supported, OfVenue, errors=ERRORS),
    ]
