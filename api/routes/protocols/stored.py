"""What this host has stored itself, for the interfaces of other hosts (`api/stores/peers.py`): trades of the shards
that its flow has, or had. Nothing of other hosts is in these answers, so that no query goes from host to host.
"""

from contextlib import aclosing
from typing import ClassVar, Final

from aiohttp import web
from msgspec import Struct

from api.http.errors import Problem
from api.http.route import STORE_ERRORS, AnyRoute, NoParams, RawRoute, Route, Symbol, Time, Venue
from api.services import Services
from api.stores.peers import MEDIA, RECORDS, SPAN, STORED, StoredSpan, StoredSymbols, encode_record
from flows.foreign import visible
from sinks.trades.codec import END_MS

CHUNK: Final = 1 << 18
"""Bytes that are sent at once."""
ERRORS: Final = ("bad_request", "unknown_venue", "trade_store_absent", *STORE_ERRORS)


class StoredParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Records that start in `[start, end)`."""

    MAY_BE_EMPTY: ClassVar = True
    """As other hosts compute it."""
    venue: Venue
    symbol: Symbol
    start: Time = 0
    end: Time = END_MS


class StoredTrades:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._archive = services.own_trades
        self._venues = tuple(services.settings.by_venue)

    async def symbols(self, _: NoParams) -> StoredSymbols:
        """The symbols of which this host has trades, by venue."""
        found: dict[str, list[str]] = {}
        for venue in self._venues:
            try:
                found[venue] = await self._archive.symbols(venue)
            except Problem as problem:
                if problem.code != "trade_store_absent":
                    raise
        return StoredSymbols(found)

    def _known(self, venue: str) -> str:
        """A venue of the settings."""
        if venue not in self._venues:
            raise Problem("unknown_venue", f"there is no venue {visible(venue)} here: {', '.join(self._venues)}")
        return venue

    async def span(self, params: StoredParams) -> StoredSpan:
        """Starts of the first and the last record of this host in a span."""
        first, last = await self._archive.read(
            self._known(params.venue), lambda reader: reader.span_of(params.symbol, params.start, params.end)
        )
        return StoredSpan(first, last)

    async def records(self, request: web.Request, params: StoredParams) -> web.StreamResponse:
        """The records of this host in a span, as a stream of MessagePack with lengths."""
        made = await self._archive.read(
            self._known(params.venue), lambda reader: reader.records_of(params.symbol, params.start, params.end)
        )
        response = web.StreamResponse(headers={"Content-Type": MEDIA})
        waiting = bytearray()
        async with aclosing(self._archive.each(params.venue, made)) as records:
            async for start, columns in records:
                waiting += encode_record(start, columns)
                if len(waiting) >= CHUNK:
                    if not response.prepared:
                        await response.prepare(request)
                    await response.write(bytes(waiting))
                    waiting.clear()
        if not response.prepared:
            await response.prepare(request)
        await response.write(bytes(waiting))
        await response.write_eof()
        return response


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    stored = StoredTrades(services)
    return [
        Route("GET", STORED, stored.symbols, StoredSymbols, errors=ERRORS),
        Route("GET", SPAN, stored.span, StoredSpan, StoredParams, errors=ERRORS),
        RawRoute("GET", RECORDS, stored.records, MEDIA, StoredParams, errors=ERRORS),
    ]
