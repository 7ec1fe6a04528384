"""Indicators of candles, and the analysis of several timeframes.

Indicators are computed with `memory` candles before the first one returned, so that values do not depend on `limit`.
Where the store has fewer, `settled` is false.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final

from msgspec import Meta, Struct

from api.analytics.analysis import Analysis, Signal
from api.analytics.bars import Bars
from api.analytics.indicators import IndicatorSeries, Wanted, compute, parse_wanted
from api.http.errors import Problem
from api.http.route import (
    LATEST_ERRORS,
    READ_ERRORS,
    AnyRoute,
    Route,
    Symbol,
    Time,
    Timeframe,
    Venue,
    check_timeframe,
)
from api.live.candle_cache import SeriesKey
from api.routes.prices import OfSymbol, OfSymbols
from api.services import Services
from flows.model import Candle, timeframe_ms
from flows.names import TEXT_END

READ_MOST: Final = 5_000
"""Most candles read for one response."""
MOST: Final = 1_000
ERRORS: Final = ("bad_request", *LATEST_ERRORS)

Name = Annotated[
    str,
    Meta(pattern=f"^[A-Za-z]{{1,10}}(:[0-9.]{{1,8}}){{0,3}}{TEXT_END}", examples=["rsi", "ema:50", "macd:12:26:9"]),
]


class IndicatorParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Indicators by name, each with its parameters after colons, for the newest `limit` candles: 1 is the latest."""

    symbol: Symbol
    timeframe: Timeframe
    venue: Venue = ""
    names: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=20)] = ("rsi", "macd", "bbands", "ema", "sma")
    limit: Annotated[int, Meta(ge=1, le=MOST)] = 100


class IndicatorAnswer(Struct, frozen=True):
    """One entry for each candle, oldest first; `timestamps` are the begins of their periods, values null where not
    defined. The last candle is still forming unless `is_closed`. `age_ms` counts from the end of a closed candle and is
    0 during a forming one; it is null, and the data stale, where the venue's time is unknown.
    """

    venue: str
    symbol: str
    timeframe: str
    timestamps: list[int]
    is_closed: bool
    statuses: dict[str, int]
    """Number of candles by status."""
    settled: bool
    age_ms: int | None
    stale: bool
    state: str | None
    indicators: list[IndicatorSeries]


class AnalysisAnswer(Struct, frozen=True):
    """The analysis of all timeframes that have a weight."""

    venue: str
    symbol: str
    age_ms: int | None
    stale: bool
    state: str | None
    analysis: Analysis


class PastParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The newest `limit` analyses whose minute begins in `[start, end)`, ms UTC of the feed."""

    symbol: Symbol
    venue: Venue = ""
    start: Time = 0
    end: Time | None = None
    limit: Annotated[int, Meta(ge=1, le=1_440)] = 60


class PastAnalysis(Struct, frozen=True):
    """A stored analysis without its reasons; `price` is the close of the newest candle at that time."""

    timestamp: int
    price: float
    signal: Signal
    score: float | None
    confidence: float
    agreement: float
    data: float
    calm: float


class Summary(Struct, frozen=True):
    """An instrument in one row; figures are null where unknown."""

    venue: str
    symbol: str
    price: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    signal: Signal
    score: float | None
    confidence: float
    age_ms: int | None
    stale: bool
    state: str | None
    """`live`, `quiet`, `silent`, …; null where the flow publishes no states."""


class IndicatorHandlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._analysis = services.analysis

    async def indicators(self, params: IndicatorParams) -> IndicatorAnswer:
        """Technical indicators of a symbol's candles."""
        check_timeframe(params.timeframe)
        wanted = _parsed(params.names)
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        memory = max(one.memory for one in wanted)
        key = SeriesKey(venue, symbol, params.timeframe)
        candles = await self._services.history.newest(key, min(params.limit + memory, READ_MOST))
        if not candles:
            raise Problem(
                "no_data", f"no {params.timeframe} candle of {symbol} is stored; request /api/chart to fetch them"
            )
        shown = candles[-params.limit :]
        candles = [*joining(candles[: -params.limit], shown), *shown]
        bars = Bars.of(candles)
        age = self._analysis.age(venue, symbol, shown[-1])
        return IndicatorAnswer(
            venue,
            symbol,
            params.timeframe,
            [candle.open_time for candle in shown],
            is_closed=shown[-1].is_closed,
            statuses=_statuses(shown),
            settled=len(candles) - len(shown) >= memory,
            age_ms=age.ms,
            stale=age.stale,
            state=age.state,
            indicators=[compute(bars, one, params.limit) for one in wanted],
        )

    async def analysis(self, params: OfSymbol) -> AnalysisAnswer:
        """The analysis of all timeframes, with the signal and every reason."""
        venue, symbol = await self._services.instruments.find(params.symbol, params.venue)
        result = await self._analysis.read(venue, symbol)
        if result.newest is None:
            raise Problem("no_data", f"no candle of {symbol} is stored; request /api/chart to fetch them")
        return AnalysisAnswer(venue, symbol, result.age_ms, result.stale, result.state, result.analysis)

    async def past(self, params: PastParams) -> list[PastAnalysis]:
        """The analyses that were stored once a minute, oldest first."""
        services = self._services
        venue, symbol = await services.instruments.find(params.symbol, params.venue)
        async with services.mongo.guarded():
            documents = await services.mongo.analyses.newest(
                venue, symbol, count=params.limit, start_ms=params.start, before_ms=params.end
            )
        return [_past(document) for document in documents]

    async def overview(self, params: OfSymbols) -> list[Summary]:
        """Price and signal of every symbol, in alphabetical order."""
        venue = await self._services.instruments.venue(params.venue)
        wanted = (await self._services.instruments.chosen(params.symbols, [venue]))[venue]
        followed = sorted(self._services.instruments.followed(venue))
        return [await self._summary(venue, symbol) for symbol in followed if not wanted or symbol in wanted]

    async def _summary(self, venue: str, symbol: str) -> Summary:
        result = await self._analysis.read(venue, symbol)
        found = self._services.live.latest("MarketData", symbol, venue)
        market = found[0].body if found else None
        return Summary(
            venue,
            symbol,
            price=market.price if market else None,
            price_change_percent_24h=market.price_change_percent_24h if market else None,
            volume_24h=market.volume_24h if market else None,
            signal=result.analysis.signal,
            score=result.analysis.score,
            confidence=result.analysis.confidence,
            age_ms=result.age_ms,
            stale=result.stale,
            state=result.state,
        )


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    handlers = IndicatorHandlers(services)
    return [
        Route(
            "GET",
            "/api/indicators/{symbol}/{timeframe}",
            handlers.indicators,
            IndicatorAnswer,
            IndicatorParams,
            errors=ERRORS,
        ),
        Route("GET", "/api/analysis/{symbol}", handlers.analysis, AnalysisAnswer, OfSymbol, errors=ERRORS),
        Route(
            "GET",
            "/api/analysis/{symbol}/history",
            handlers.past,
            list[PastAnalysis],
            PastParams,
            errors=READ_ERRORS,
        ),
        Route(
            "GET",
            "/api/overview",
            handlers.overview,
            list[Summary],
            OfSymbols,
            errors=("bad_request", "unknown_venue", "unknown_symbol", "unreadable_data", "store_unavailable"),
        ),
    ]


def joining(before: Sequence[Candle], shown: Sequence[Candle]) -> Sequence[Candle]:
    """The last of the candles `before` that follow each other up to those `shown`: what lies before a gap is another
    price, and an average that begins with it is wrong for long. The store has gaps while older candles are fetched.
    """
    length, expected = timeframe_ms(shown[0].timeframe), shown[0].open_time
    for count, candle in enumerate(reversed(before)):
        expected -= length
        if candle.open_time != expected:
            return before[len(before) - count :]
    return before


def _parsed(names: tuple[str, ...]) -> list[Wanted]:
    try:
        return [parse_wanted(name) for name in dict.fromkeys(names)]
    except ValueError as error:
        raise Problem("bad_request", str(error)) from error


def _past(document: Mapping[str, Any]) -> PastAnalysis:
    return PastAnalysis(int(document["time"]), *(document[name] for name in PastAnalysis.__struct_fields__[1:]))


def _statuses(candles: list[Candle]) -> dict[str, int]:
    found: dict[str, int] = {}
    for candle in candles:
        found[candle.status] = found.get(candle.status, 0) + 1
    return found
