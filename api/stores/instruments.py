"""The known instruments: distinguishes an unknown symbol from one without data so far."""

from collections.abc import Collection, Iterable
from collections.abc import Set as AbstractSet
from contextlib import suppress
from difflib import get_close_matches
from typing import Final

from api.http.errors import Problem
from api.live.view import LiveView
from api.stores.mongo import MongoStore
from flows.clock import monotonic_ms
from flows.model import Instrument, ListedInstrument
from flows.names import symbol_of
from flows.settings import Feed
from flows.spellings import Spellings

KEPT_MS: Final = 60_000
"""How long the venue's list and the stored symbols are cached."""
RELOAD_MS: Final = 2_000
"""Least time between two reads for symbols that were not found."""


class Instruments:
    """The instruments that the flow follows or lists, or that have stored candles."""

    def __init__(self, feed: Feed, live: LiveView, mongo: MongoStore, *, venues: Iterable[str] = ()) -> None:
        """`venues` are those of the settings."""
        self._feed = feed
        self._venues_of_settings = frozenset(venues) or frozenset((feed.venue,))
        self._live = live
        self._mongo = mongo
        self._venues: set[str] = set()
        self._listed: dict[str, list[ListedInstrument]] = {}
        self._spellings: dict[str, Spellings] = {}
        self._stored: dict[str, list[str]] = {}
        self._read_ms: dict[str, int] = {}

    async def venue(self, named: str) -> str:
        """The venue of a request, by default that of the settings; `Problem` when it is unknown."""
        if not named:
            return self._feed.venue
        followed = {self._feed.venue, *(venue_state.venue for venue_state in self._live.venue_states())}
        if named not in followed | self._venues:
            self._venues = set(await self._mongo.venues())
            if named not in self._venues:
                raise Problem("unknown_venue", f"the venue {named} is unknown", nearest=sorted(followed))
        return named

    def followed(self, venue: str) -> AbstractSet[str]:
        """The symbols that the hubs report; those of the settings while the hubs report none."""
        own = self._feed.symbols if venue == self._feed.venue else ()
        return self._live.symbols(venue) or frozenset(own)

    async def listed(self, venue: str) -> list[ListedInstrument]:
        """The venue's instruments; empty until the flow has stored the list. `Problem` when the store is down."""
        await self._load(venue, KEPT_MS)
        return self._listed[venue]

    async def find(self, symbol: str, venue: str = "") -> Instrument:
        """The instrument of a spelling; `Problem` with the nearest names when it is unknown."""
        venue, symbol = await self.venue(venue), self.symbol(symbol)
        if symbol not in self.followed(venue):
            await self._load(venue, KEPT_MS)
            if self._own(venue, symbol) not in self._names(venue):
                await self._load(venue, RELOAD_MS)
            symbol = self._own(venue, symbol)
            self.check(symbol, venue, self._names(venue))
        return Instrument(venue, symbol)

    async def own_names(self, spellings: Iterable[str], venue: str) -> list[str]:
        """The venue's own names of spellings, each once; one that it does not list stays as it is, and so do all while
        the store is down. `Problem` for what can be no symbol.
        """
        symbols = [self.symbol(spelling) for spelling in spellings]
        if not self.followed(venue) >= set(symbols):
            with suppress(Problem):  # the answer has what is followed
                await self._load(venue, KEPT_MS)
        return list(dict.fromkeys(self._own(venue, symbol) for symbol in symbols))

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
        followed = {*self._venues_of_settings, *(state.venue for state in self._live.venue_states())}
        return {name: await self._known(name) for name in sorted(followed)}

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
            nearest = get_close_matches(symbol, sorted(names), n=5)
            hint = f"; did you mean {', '.join(nearest)}?" if nearest else ""
            raise Problem("unknown_symbol", f"{symbol} is not known at {venue}{hint}", nearest=nearest)

    def _names(self, venue: str) -> AbstractSet[str]:
        listed = {instrument.symbol for instrument in self._listed.get(venue, ())}
        return self.followed(venue) | listed | set(self._stored.get(venue, ()))

    async def _load(self, venue: str, kept_ms: int) -> None:
        now_ms = monotonic_ms()
        if venue in self._read_ms and now_ms - self._read_ms[venue] < kept_ms:
            return
        self._stored[venue] = await self._mongo.symbols(venue)
        async with self._mongo.guarded():
            self._listed[venue] = await self._mongo.commands.instruments(venue)
        self._spellings[venue] = Spellings(self._listed[venue])
        self._read_ms[venue] = now_ms
