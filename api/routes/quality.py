"""Quality of the data: stored candles by status and proof, completeness of trades, last incidents."""

from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import READ_ERRORS, STORE_ERRORS, AnyRoute, Route, Venue
from api.routes.symbols import OfVenue
from api.services import Services
from flows.clock import monotonic_ms, wall_ms
from flows.model import timeframe_ms
from flows.model.candles import proof_name
from flows.names import SYMBOL_CHARACTERS, SYMBOL_LENGTH, TEXT_END
from sinks.hub.payloads import IncidentBody, iso_utc
from sinks.mongo.commands import VenueCapabilities, date_ms

KEPT_MS: Final = 10_000
"""How long a result is cached: it reads all candles of the venue."""
HOUR_MS: Final = 3_600_000
INCIDENTS: Final = 50


class QualityParams(Struct, frozen=True, forbid_unknown_fields=True):
    """One symbol, or all of a venue; completeness is that of the last `hours` of stored trades."""

    symbol: Annotated[str, Meta(pattern=f"^({SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}})?{TEXT_END}")] = ""
    venue: Venue = ""
    hours: Annotated[int, Meta(ge=1, le=24)] = 1


class SeriesQuality(Struct):
    """Stored candles of a symbol and timeframe. `proofs` counts the closed ones by the result of the comparison with
    the exchange's: `exchange's own` where the candle itself is the exchange's, as history or at a gap in our trades;
    `not compared` where the exchange's version has not arrived yet.
    """

    symbol: str
    timeframe: str
    candles: int
    by_status: dict[str, int]
    proofs: dict[str, int]
    first: str
    last: str
    written_ms_ago: int
    """Time since the newest write, by the wall clock."""


class TradesQuality(Struct, frozen=True):
    """Stored trades of a symbol against the ids that the exchange issued from the first to the last of them."""

    symbol: str
    held: int
    issued: int
    completeness: float


class Quality(Struct, frozen=True):
    """`trades` is null when there is no trade store."""

    venue: str
    series: list[SeriesQuality]
    trades: list[TradesQuality] | None
    incidents: list[IncidentBody]
    """The last ones, newest first."""


class QualityHandlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._held: dict[tuple[str, str, int], tuple[int, Quality]] = {}

    async def quality(self, params: QualityParams) -> Quality:
        """Stored candles, their proof, completeness of trades, and incidents."""
        instruments = self._services.instruments
        if params.symbol:
            venue, symbol = await instruments.find(params.symbol, params.venue)
        else:
            venue, symbol = await instruments.venue(params.venue), ""
        key = (venue, symbol, params.hours)
        held_ms, held = self._held.get(key, (0, None))
        if held is None or monotonic_ms() - held_ms > KEPT_MS:
            held = await self._read(*key)
            self._held[key] = (monotonic_ms(), held)
        return held

    async def capabilities(self, params: OfVenue) -> list[VenueCapabilities]:
        """What is proven of each kind of data of each venue, by which witness, and what no witness covers."""
        venue = await self._services.instruments.venue(params.venue) if params.venue else ""
        async with self._services.mongo.guarded():
            found = await self._services.mongo.commands.capabilities()
        return [one for one in found if venue in ("", one.venue)]

    async def _read(self, venue: str, symbol: str, hours: int) -> Quality:
        mongo = self._services.mongo
        counts = await mongo.candle_counts(venue, symbol or None)
        incidents = await mongo.incidents(venue, symbol or None, INCIDENTS)
        try:
            trades = await self._trades(venue, symbol, hours)
        except Problem:
            trades = None  # /api/status has the reason and the time
        return Quality(venue, series_of(counts, now_ms=wall_ms()), trades, [IncidentBody.of(one) for one in incidents])

    async def _trades(self, venue: str, symbol: str, hours: int) -> list[TradesQuality]:
        archive = self._services.trades
        found = []
        for name in [symbol] if symbol else await archive.symbols(venue):
            completeness = await archive.completeness(venue, name, hours * HOUR_MS)
            if completeness:
                share = completeness.held / completeness.issued
                found.append(TradesQuality(name, completeness.held, completeness.issued, share))
                self._services.metrics.completeness[venue, name] = share
        return found


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    handlers = QualityHandlers(services)
    return [
        Route("GET", "/api/quality", handlers.quality, Quality, QualityParams, errors=READ_ERRORS),
        Route(
            "GET",
            "/api/quality/capabilities",
            handlers.capabilities,
            list[VenueCapabilities],
            OfVenue,
            errors=("bad_request", "unknown_venue", *STORE_ERRORS),
        ),
    ]


def series_of(counts: list[dict[str, Any]], *, now_ms: int) -> list[SeriesQuality]:
    """Sums the store's counts by symbol, timeframe, status and proof into one entry for each series."""
    found: dict[tuple[str, int, str], SeriesQuality] = {}
    for row in sorted(counts, key=lambda row: row["first"]):
        of = row["_id"]
        key = (of["symbol"], _length_ms(of["timeframe"]), of["timeframe"])
        last, age_ms = iso_utc(row["last"]), max(0, now_ms - date_ms(row["updated"]))
        series = found.get(key)
        if series is None:
            series = SeriesQuality(of["symbol"], of["timeframe"], 0, {}, {}, iso_utc(row["first"]), last, age_ms)
            found[key] = series
        series.candles += row["candles"]
        _count(series.by_status, of["status"], row["candles"])
        if of["status"] != "forming":
            _count(series.proofs, proof_name(of["status"], of["proof"]), row["candles"])
        series.last = max(series.last, last)
        series.written_ms_ago = min(series.written_ms_ago, age_ms)
    return [found[key] for key in sorted(found)]


def _length_ms(timeframe: str) -> int:
    """The length of a stored timeframe; 0 of what is none."""
    try:
        return timeframe_ms(timeframe)
    except ValueError:
        return 0


def _count(counted: dict[str, int], name: str, candles: int) -> None:
    counted[name] = counted.get(name, 0) + candles
