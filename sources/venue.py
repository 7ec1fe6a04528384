"""What a venue consists of: its feed, its parser, its REST interface, its rules. `sources/venues.py` has all venues."""

from collections.abc import Callable, Sequence
from typing import Literal, Protocol, Self

from msgspec import Struct

from flows.bounds import VenueRules
from flows.model import (
    BookSnapshot,
    Capability,
    Funding,
    FundingTerms,
    Kline,
    ListedInstrument,
    MarkReport,
    OpenInterest,
    Trade,
    VenueParser,
)
from flows.model.secret import Secret
from flows.queries import (
    BookQuery,
    DisputedTradesQuery,
    FundingQuery,
    FundingTermsQuery,
    KlinesQuery,
    MarkQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
    PastTradesQuery,
    TradesQuery,
)
from sources.account import AccountFeed, AccountSettings
from sources.feed import VenueFeed
from sources.rest.client import RestSettings
from sources.rest.rate_limit import RateLimiter


class FeedSettings(Protocol):
    """The settings that a venue's feed and REST client read; the section `feed` has and describes them."""

    @property
    def venue(self) -> str:
        """Name of the venue."""

    @property
    def origin(self) -> str:
        """Origin of the data; it chooses the default addresses."""

    @property
    def ws_url(self) -> str | None:
        """Base address of the streams; None for the venue's own."""

    @property
    def book_ws_url(self) -> str | None:
        """Base address of the streams of books, where the venue has another one for them; None for the venue's own."""

    @property
    def encoding(self) -> Literal["json", "sbe"]:
        """How the streams are encoded, where the venue has a choice."""

    @property
    def sbe_ws_url(self) -> str | None:
        """Base address of the binary streams; None for the venue's own."""

    @property
    def api_key(self) -> Secret | None:
        """The key for streams that want one."""

    @property
    def rest_url(self) -> str | None:
        """Base address of the REST interface; None for the venue's own."""

    @property
    def streams(self) -> tuple[str, ...]:
        """Kinds of streams of a symbol that names none."""

    @property
    def timeframes(self) -> tuple[str, ...]:
        """Timeframes of the kind `kline`."""

    @property
    def connections(self) -> int:
        """Least number of connections per line."""

    @property
    def streams_per_connection(self) -> int:
        """Most streams on one connection."""

    @property
    def book_levels(self) -> int:
        """Levels a side of books whose snapshots come by their stream."""


def address_of(settings: FeedSettings, key: Literal["ws_url", "rest_url"], default: str | None) -> str:
    """The address of the settings, else the venue's own for the origin; `ValueError` when there is neither."""
    url = (settings.ws_url if key == "ws_url" else settings.rest_url) or default
    if not url:
        raise ValueError(f"feed.origin is {settings.origin}: set feed.{key} to the address that serves it")
    return url


class VenueRest(Protocol):
    """The REST interface of a venue. It is an asynchronous context. Every query raises `VenueError` when there is no
    valid answer, and `QueryError` for what the venue does not serve.
    """

    @property
    def rate_limit(self) -> RateLimiter:
        """The limit of requests, and what the venue says of it."""

    async def __aenter__(self) -> Self:
        """The interface itself."""

    async def __aexit__(self, *error: object) -> None:
        """Closes its connections."""

    async def time(self) -> int:
        """The venue's own time, ms UTC."""

    async def instruments(self) -> list[ListedInstrument]:
        """All instruments, with their assets by the usual names (`flows/spellings.py`)."""

    async def trades(self, query: TradesQuery) -> list[Trade]:
        """The trades of these ids that the venue still has, ids rising, as the stream brings them."""

    async def disputed_trades(self, query: DisputedTradesQuery) -> list[Trade]:
        """The trades of a candle in the form in which the stream brings them, whatever their times."""

    async def first_trades(self, query: PastTradesQuery) -> Sequence[Trade]:
        """Some of the first trades of a time; none when nothing was traded, or the venue no longer has them."""

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The klines that open in the span, oldest first."""

    async def book(self, query: BookQuery) -> BookSnapshot:
        """The best levels of each side."""

    async def recorded_book(self, symbol: str) -> tuple[str, object]:
        """Path and query of a request for a book, and the venue's answer, decoded JSON: as tapes hold them."""


class DerivativesRest(Protocol):
    """What the REST interface of a venue of derivatives answers besides. Errors as of `VenueRest`."""

    async def mark(self, query: MarkQuery) -> MarkReport:
        """The mark price at present."""

    async def funding(self, query: FundingQuery) -> list[Funding]:
        """Settled payments of a time, oldest first."""

    async def funding_terms(self, query: FundingTermsQuery) -> FundingTerms | None:
        """How funding is settled."""

    async def open_interest(self, query: OpenInterestQuery) -> OpenInterest:
        """The open interest at present."""

    async def open_interest_history(self, query: OpenInterestHistoryQuery) -> list[OpenInterest]:
        """The open interest of the past, oldest first."""


class Venue(Struct, frozen=True):
    """A venue. Its parts are built from the settings, which name the venue too."""

    name: str
    """As in the setting `feed.venue`."""
    rules: VenueRules
    feed: Callable[[FeedSettings], VenueFeed]
    """Builds the feed; `ValueError` when no address is set and the origin has no default."""
    parser: Callable[[], VenueParser]
    rest: Callable[[FeedSettings, RestSettings], VenueRest]
    """Builds the REST client; `ValueError` as for the feed, and for a proxy that cannot be used."""
    capabilities: tuple[Capability, ...]
    """What is proven of each kind of its data, by what, and what is not."""
    derivatives: Callable[[VenueRest], DerivativesRest] | None = None
    """Builds the rest of the REST side on its client; None where instruments are no derivatives."""
    account: Callable[[AccountSettings, VenueRest], AccountFeed] | None = None
    """Builds the account on the client of the REST side; None where accounts are not supported. `ValueError` for a
    secret that cannot be used, with what to write instead, or when no address is set and the origin has no default.
    """
    archive: str = ""
    """Folder of its market in the public archive of files; empty for a venue without files there."""
