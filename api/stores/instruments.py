"""The known instruments: distinguishes an unknown symbol from one without data so far."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Final, Protocol

from api.http.errors import Problem
from api.live.view import LiveView
from api.stores.mongo import MongoStore
from flows.clock import monotonic_ms
from flows.model import Instrument, ListedInstrument
from flows.names import did_you_mean, nearest, symbol_of
from flows.settings import Feed
from flows.spellings import Catalogue, Spellings

KEPT_MS: Final = 60_000
"""How long the venue's list and the stored symbols are cached."""
MOST_NEAREST: Final = 5
"""Names in a response that refuses one."""
RELOAD_MS: Final = 2_000
"""Least time between two reads for symbols that were not found."""


class OlderSymbols(Protocol):
    """Candles that the database has no more."""

    async def symbols(self, venue: str) -> Collection[str]:
        """The symbols with such candles."""
        ...


class Instruments:
    """The instruments that the flow follows or lists, or that have stored candles."""

    def __init__(
        self, feeds: Mapping[str, Feed], live: LiveView, mongo: MongoStore, *, older: OlderSymbols | None = None
    ) -> None:
        """`feeds` are the settings by venue; the first is that of requests which name neither venue nor symbol. `older`
        knows further symbols.
        """
        self._older = older
        self._feeds = feeds
        self._first = next(iter(feeds))
        self._live = live
        self._mongo = mongo
        self._venues: set[str] = set()
        self._listed: dict[str, list[ListedInstrument]] = {}
        self._spellings: dict[str, Spellings] = {}
        self._catalogue = Catalogue()
        self._stored: dict[str, list[str]] = {}
        self._read_ms: dict[str, int] = {}

    async def venue(self, named: str) -> str:
        """The venue of a request, by default the first of the settings; `Problem` when it is unknown."""
        if not named:
            return self._first
        followed = set(self.venues())
        if named not in followed | self._venues:
            self._venues = set(await self._mongo.venues())
            if named not in self._venues:
                known = sorted(followed | self._venues)
                raise Problem(
                    "unknown_venue", f"the venue {named} is unknown; there are {', '.join(known)}", nearest=known
                )
        return named

    async def named(self, venue: str) -> str | None:
        """The venue that a request names, None where it means all; `Problem` when it is unknown."""
        return await self.venue(venue) if venue else None

    def followed(self, venue: str) -> AbstractSet[str]:
        """The symbols that the hubs report; those of the settings while the hubs report none."""
        own = self._feeds[venue].symbols if venue in self._feeds else ()
        return self._live.symbols(venue) or frozenset(own)

    async def listed(self, venue: str) -> list[ListedInstrument]:
        """The venue's instruments; empty until the flow has stored the list. `Problem` when the store is down."""
        await self._load(venue, KEPT_MS)
        return self._listed[venue]

    def venues(self) -> list[str]:
        """The followed venues: those of the settings, then others that the hubs report."""
        return list(dict.fromkeys([*self._feeds, *(state.venue for state in self._live.venue_states())]))

    async def find(self, symbol: str, venue: str = "") -> Instrument:
        """The instrument of a spelling. `Problem` with the nearest names when it is unknown, and with the
        venues when several followed ones have it and none is named.
        """
        symbol = self.symbol(symbol)
        venue = await self.venue(venue) if venue else await self._venue_of(symbol)
        if symbol not in self.followed(venue):
            await self._load(venue, KEPT_MS)
            if self._own(venue, symbol) not in self._names(venue):
                await self._load(venue, RELOAD_MS)
            symbol = self._own(venue, symbol)
            self.check(symbol, venue, self._names(venue))
        return Instrument(venue, symbol)

    async def _venue_of(self, symbol: str) -> str:
        """The one venue that follows a symbol, or of those that do not the one that knows it; `Problem` where there is
        not just one.
        """
        venues = self.venues()
        if len(venues) == 1:
            return venues[0]
        owners = [venue for venue in venues if symbol in self.followed(venue)]
        for kept_ms in (KEPT_MS, RELOAD_MS):
            if not owners:
                for venue in venues:
                    await self._load(venue, kept_ms)
                known = [venue for venue in venues if self._own(venue, symbol) in self._names(venue)]
                owners = [venue for venue in known if self._own(venue, symbol) in self.followed(venue)] or known
        if len(owners) > 1:
            text = f"{symbol} is at {' and '.join(owners)}: name one of them with venue"
            raise Problem("ambiguous_symbol", text, nearest=owners)
        if not owners:
            self.check(symbol, ", ".join(venues), set().union(*map(self._names, venues)))
        return owners[0]

    async def own_names(self, spellings: Iterable[str], venue: str) -> list[str]:
        """The venue's own names of spellings, each once; one that it does not list stays as it is, and so do all while
        the store is down. `Problem` for what can be no symbol.
        """
        symbols = [self.symbol(spelling) for spelling in spellings]
        if not self.followed(venue) >= set(symbols):
            with suppress(Problem):  # the answer has what is followed
                await self._load(venue, KEPT_MS)
        return list(dict.fromkeys(self._own(venue, symbol) for symbol in symbols))

    def names_of(self, spelling: str, venues: Collection[str] | None = None) -> Iterable[str]:
        """As `Catalogue.symbols`, by the lists that are known; the text alone where none is."""
        return self._catalogue.symbols(spelling, venues)

    async def follow(self) -> None:
        """Keeps the lists of the followed venues known, until cancelled."""
        while True:
            known = True
            for venue in self.venues():
                try:
                    await self._load(venue, KEPT_MS if self._listed.get(venue) else RELOAD_MS)
                except Problem:
                    known = False
                known = known and bool(self._listed.get(venue))
            await asyncio.sleep((KEPT_MS if known else RELOAD_MS) / 1_000)

    async def chosen(self, spellings: Iterable[str], venues: Iterable[str]) -> dict[str, set[str]]:
        """Which instruments a list is restricted to: the own names of spellings, by venue; empty sets for no
        restriction. `Problem` with the nearest names for one that none of the venues knows; where the store is down,
        and the venues' lists were not read before, it is only not in the list.
        """
        symbols, named = [self.symbol(spelling) for spelling in spellings], list(dict.fromkeys(venues))
        found = {venue: set(await self.own_names(symbols, venue)) for venue in named}
        if missing := [symbol for symbol in symbols if not self._is_at(symbol, named)]:
            for venue in named:
                with suppress(Problem):
                    await self._load(venue, RELOAD_MS)
            found = {venue: {self._own(venue, symbol) for symbol in symbols} for venue in named}
        if all(venue in self._read_ms for venue in named):
            for symbol in missing:
                if not self._is_at(symbol, named):
                    self.check(symbol, ", ".join(named), set().union(*map(self._names, named)))
        return found

    def _is_at(self, symbol: str, venues: Iterable[str]) -> bool:
        return any(self._own(venue, symbol) in self._names(venue) for venue in venues)

    def _own(self, venue: str, symbol: str) -> str:
        if symbol in self._names(venue) or venue not in self._spellings:
            return symbol
        return self._spellings[venue].symbol(symbol) or symbol

    async def catalogue(self, venue: str = "") -> dict[str, list[ListedInstrument]]:
        """The instruments of a venue, or of all that are followed; empty where the flow has stored no list yet.
        `Problem` when the venue is unknown, or the store is down and was not read before.
        """
        if venue:
            return {venue: await self.listed(await self.venue(venue))}
        return {name: await self._known(name) for name in sorted(self.venues())}

    async def _known(self, venue: str) -> list[ListedInstrument]:
        try:
            return await self.listed(venue)
        except Problem:
            if venue in self._listed:
                return self._listed[venue]
            raise

    @staticmethod
    def symbol(spelling: str) -> str:
        """A spelling in the form of a symbol; `Problem` when it is not valid."""
        try:
            return symbol_of(spelling)
        except ValueError as error:
            raise Problem("bad_request", str(error)) from error

    @staticmethod
    def check(symbol: str, venue: str, names: Collection[str]) -> None:
        """`Problem` when a symbol is not among the names."""
        if symbol not in names:
            near = nearest(symbol, names, most=MOST_NEAREST)
            raise Problem("unknown_symbol", f"{symbol} is not known at {venue}{did_you_mean(near)}", nearest=near)

    def _names(self, venue: str) -> AbstractSet[str]:
        listed = {instrument.symbol for instrument in self._listed.get(venue, ())}
        return self.followed(venue) | listed | set(self._stored.get(venue, ()))

    async def _load(self, venue: str, kept_ms: int) -> None:
        now_ms = monotonic_ms()
        if venue in self._read_ms and now_ms - self._read_ms[venue] < kept_ms:
            return
        older = await self._older.symbols(venue) if self._older else ()
        self._stored[venue] = [*older, *await self._mongo.symbols(venue)]
        async with self._mongo.guarded():
            self._listed[venue] = await self._mongo.commands.instruments(venue)
        self._spellings[venue] = Spellings(self._listed[venue])
        self._catalogue.put(venue, self._listed[venue])
        self._read_ms[venue] = now_ms
