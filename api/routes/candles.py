"""Candles and charts: stored and forming candles in one list.

A chart's `seq` is the number of the newest hub message that it contains: a client that connects with
`?resume_after=seq` misses nothing. Where fewer candles are stored than requested, or none right before the end of the
range, the flow is requested to fetch them, and `history` is the state of that job; with none at all the status is 202,
and the chart is there after `wait_s`.
"""

from typing import Annotated, cast

from msgspec import Meta, Struct

from api.analysis import CandleAge
from api.http.errors import Problem
from api.http.params import MOST, USUAL, CandleRange, RangeParams, range_of
from api.http.route import READ_ERRORS, AnyRoute, Route, Symbol, Timeframe, Venue, check_timeframe
from api.live.candle_cache import SeriesKey
from api.routes.history_requests import JobView, request_history
from api.services import Services
from api.stores.chart_json_cache import ChartJsonCache
from flows.model import Candle, timeframe_ms
from sinks.hub.payloads import CandleBody, ChartCandle, FullCandle
from sinks.mongo.commands import UNDER_WAY
from sinks.trades.codec import END_MS

CHARTS_MOST = 20_000
"""Most candles in one response with several charts."""


class CandlesAnswer(Struct, frozen=True):
    """Candles with all their fields, oldest first."""

    venue: str
    symbol: str
    timeframe: str
    candles: list[FullCandle]
    stale: bool
    """The newest candles are not known to be current."""
    state: str | None
    """How current the trades of the symbol are; null where the flow publishes no states."""


class Chart(Struct, frozen=True):
    """Candles as charts draw them, oldest first, and the instrument's latest price; figures are null where unknown."""

    venue: str
    symbol: str
    timeframe: str
    candles: list[ChartCandle]
    latest_price: float | None
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    seq: int
    stale: bool
    state: str | None
    history: JobView | None = None


class Ohlcv(Struct, frozen=True):
    """Rows of `[open_time, open, high, low, close, volume]`, oldest first; times are ms UTC."""

    venue: str
    symbol: str
    timeframe: str
    rows: list[tuple[int, float, float, float, float, float]]
    stale: bool
    state: str | None


class ChartsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Several charts at once."""

    symbols: Annotated[tuple[Symbol, ...], Meta(min_length=1, max_length=100)]
    timeframes: Annotated[tuple[Timeframe, ...], Meta(min_length=1, max_length=10)]
    venue: Venue = ""
    limit: Annotated[int, Meta(ge=1, le=MOST)] = USUAL


class Charts:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._live = services.live
        self._history = services.history
        self._chart_json = ChartJsonCache()

    async def chart(self, params: RangeParams) -> Chart | JobView:
        """The chart of a symbol: stored candles and the forming one."""
        wanted = range_of(params)
        key = await self._key(params.symbol, params.timeframe, params.venue)
        seq = self._live.seq(key.venue, key.symbol)  # before the candles: so later messages repeat, none is lost
        candles = await self._read(key, wanted)
        job = None
        if _wants_older(candles, wanted) or self._ends_early(key, candles, wanted):
            candles, job = await self._with_history(key, candles, wanted)
            if job and not candles:
                return job
        return self._chart(key, candles, seq, job)

    async def charts(self, params: ChartsParams) -> list[Chart]:
        """The newest candles of several symbols and timeframes."""
        for timeframe in params.timeframes:
            check_timeframe(timeframe)
        number = len(params.symbols) * len(params.timeframes) * params.limit
        if number > CHARTS_MOST:
            raise Problem("range_too_large", f"{number} candles are more than the {CHARTS_MOST} of one answer")
        answer = []
        for symbol in params.symbols:
            for timeframe in params.timeframes:
                key = await self._key(symbol, timeframe, params.venue)
                seq = self._live.seq(key.venue, key.symbol)
                answer.append(self._chart(key, await self._history.newest(key, params.limit), seq, None))
        return answer

    async def candles(self, params: RangeParams) -> CandlesAnswer:
        """A symbol's candles with all their fields."""
        wanted = range_of(params)
        key = await self._key(params.symbol, params.timeframe, params.venue)
        candles = await self._read(key, wanted)
        age = self._age(key, candles)
        return CandlesAnswer(*key, [CandleBody.of(candle).candle for candle in candles], age.stale, age.state)

    async def ohlcv(self, params: RangeParams) -> Ohlcv:
        """Candles as rows of numbers."""
        wanted = range_of(params)
        key = await self._key(params.symbol, params.timeframe, params.venue)
        candles = await self._read(key, wanted)
        age = self._age(key, candles)
        rows = [(c.open_time, c.open, c.high, c.low, c.close, c.volume) for c in candles]
        return Ohlcv(*key, rows, age.stale, age.state)

    async def _with_history(
        self, key: SeriesKey, candles: list[Candle], wanted: CandleRange
    ) -> tuple[list[Candle], JobView | None]:
        """The candles, and the request for those that are missing. Where it has ended they are read again: perhaps it
        has since they were read. Before the first of a known series there are none; `Problem` without a series.
        """
        try:
            job = await request_history(self._services, key, wanted, has_some=bool(candles))
        except Problem as problem:
            if problem.code != "no_data":
                raise
            found = await self._read(key, wanted)
            is_before_first = wanted.end is not None and bool(self._live.candles.contents(key))
            if not found and not is_before_first:
                raise
            return found, None
        if job and job.state not in UNDER_WAY:
            candles = await self._read(key, wanted)
        return candles, job

    def _ends_early(self, key: SeriesKey, candles: list[Candle], wanted: CandleRange) -> bool:
        """Whether candles right before the end of the range are missing, older than the newest one known: as where the
        flow is still storing a history, the oldest first.
        """
        cached = self._live.candles.contents(key)
        if wanted.end is None or not candles or not cached:
            return False
        return candles[-1].open_time + timeframe_ms(key.timeframe) <= min(wanted.end - 1, cached[-1].open_time)

    def _age(self, key: SeriesKey, candles: list[Candle]) -> CandleAge:
        """Age of the newest known candle of the series, whether in the response or not."""
        cached = self._live.candles.contents(key)
        newest = max([*candles[-1:], *cached[-1:]], key=lambda candle: candle.open_time, default=None)
        return self._services.analysis.age(key.venue, key.symbol, newest)

    async def _key(self, symbol: str, timeframe: str, venue: str) -> SeriesKey:
        instrument = await self._services.instruments.find(symbol, venue)
        return SeriesKey(instrument.venue, instrument.symbol, timeframe)

    async def _read(self, key: SeriesKey, wanted: CandleRange) -> list[Candle]:
        if wanted.start is None:
            return await self._history.newest(key, wanted.most, wanted.end)
        return await self._history.between(key, wanted.start, END_MS if wanted.end is None else wanted.end, wanted.most)

    def _chart(self, key: SeriesKey, candles: list[Candle], seq: int, job: JobView | None) -> Chart:
        found = self._live.latest("MarketData", key.symbol, key.venue)
        market, age = found[0].body if found else None, self._age(key, candles)
        return Chart(
            *key,
            cast("list[ChartCandle]", self._chart_json.json(key, candles)),  # encodes as such a list
            latest_price=market.price if market else None,
            price_change_24h=market.price_change_24h if market else None,
            price_change_percent_24h=market.price_change_percent_24h if market else None,
            volume_24h=market.volume_24h if market else None,
            seq=seq,
            stale=age.stale,
            state=age.state,
            history=job,
        )


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    charts = Charts(services)
    bounded = (*READ_ERRORS, "range_too_large")
    return [
        Route(
            "GET",
            "/api/chart/{symbol}/{timeframe}",
            charts.chart,
            Chart,
            RangeParams,
            accepted=JobView,
            errors=(*bounded, "no_data"),
        ),
        Route("GET", "/api/charts", charts.charts, list[Chart], ChartsParams, errors=bounded),
        Route("GET", "/api/candles/{symbol}/{timeframe}", charts.candles, CandlesAnswer, RangeParams, errors=bounded),
        Route("GET", "/api/ohlcv", charts.ohlcv, Ohlcv, RangeParams, errors=bounded),
    ]


def _wants_older(candles: list[Candle], wanted: CandleRange) -> bool:
    """Whether candles older than those found were requested."""
    if len(candles) >= wanted.most:
        return False
    return (
        not candles or wanted.start is None or candles[0].open_time - timeframe_ms(candles[0].timeframe) >= wanted.start
    )
