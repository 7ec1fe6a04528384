"""Bars of stored trades by time, number, volume or value, and footprints: volume at bid and ask by price and candle."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import aclosing
from decimal import Decimal
from typing import Annotated, Final, TypeAlias, TypeVar

from msgspec import Meta, Struct

from api.analytics.footprint import FootprintCandle, FootprintMaker
from api.http.errors import Problem
from api.http.params import BarSize, bar_rule
from api.http.route import STORE_ERRORS, SYMBOL_ERRORS, AnyRoute, Route, Symbol, Time, Venue
from api.services import Services
from flows.model import Instrument
from flows.model.printed import DECIMALS
from flows.names import TEXT_END
from sinks.bars.maker import BarRow
from sinks.bars.rule import LENGTH_PATTERN, BarKind, BarRule
from sinks.bars.span import SpanBars
from sinks.trades.codec import END_MS
from sinks.trades.reader import TradeView

MOST_BARS: Final = 10_000
MOST_TRADES: Final = 10_000_000
"""Trades that are read for one answer; it ends with the last bar that they have closed."""
MOST_CANDLES: Final = 1_500
MOST_LEVELS: Final = 100_000
"""Levels of one answer; it ends with the candle before."""
SHOWN_GAPS: Final = 100
ERRORS: Final = ("bad_request", "range_too_large", *SYMBOL_ERRORS, "trade_store_absent", *STORE_ERRORS)

T = TypeVar("T")
Length: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^{LENGTH_PATTERN}{TEXT_END}",
        description="seconds to weeks, of any number",
        examples=["5m"],
    ),
]


class BarsParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Bars of time that open in `[start, end)`, or bars of the trades in it, the oldest first. `cursor` continues a
    page.
    """

    symbol: Symbol
    kind: BarKind = "time"
    size: BarSize = "1m"
    venue: Venue = ""
    start: Time = 0
    end: Time = END_MS
    limit: Annotated[int, Meta(ge=1, le=MOST_BARS)] = 500
    cursor: Annotated[
        str, Meta(pattern=rf"^([0-9]{{1,13}}\.[0-9]{{1,18}})?{TEXT_END}", description="`next` of the page before")
    ] = ""


class FootprintParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Candles that open in `[start, end)`, the oldest first, with their levels: prices, or multiples of `tick`. The
    cumulative delta begins with `start`; `cursor` continues a page.
    """

    symbol: Symbol
    timeframe: Length
    venue: Venue = ""
    start: Time = 0
    end: Time = END_MS
    tick: Annotated[float, Meta(ge=1e-8, le=1e9)] | None = None
    limit: Annotated[int, Meta(ge=1, le=MOST_CANDLES)] = 100
    cursor: Annotated[
        str, Meta(pattern=rf"^([0-9]{{1,13}}\.-?[0-9]{{1,30}})?{TEXT_END}", description="`next` of the page before")
    ] = ""


class BarBody(Struct, frozen=True, gc=False):
    """A bar. Times are ms UTC: those of its period, or of its first and last trade. Without a trade its ids are -1. Not
    `is_closed`: no later trade is stored, or the size is not reached.
    """

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    last_id: int
    is_closed: bool


class GapBody(Struct, frozen=True, gc=False):
    """Ids of trades that are not stored, both inclusive, and the times of the trades on both sides, ms UTC."""

    first_id: int
    last_id: int
    begin: int
    end: int


class Lacking(Struct, frozen=True):
    """What the stored data lacks in the time of an answer: trades of which the ids are missing, in `gap_count` gaps, of
    which `gaps` lists the first 100; and the minutes whose stored candle is `partial` or `unproven`, null while the
    database does not answer. `since`: the time of the first stored trade, ms UTC, where it is within the period of the
    first bar, which then may lack trades before it; else null.
    """

    trades: int
    gap_count: int
    gaps: list[GapBody]
    doubtful_minutes: int | None
    since: int | None


class BarsAnswer(Struct, frozen=True):
    """A page; `next` is null on the last one."""

    venue: str
    symbol: str
    kind: BarKind
    size: str
    bars: list[BarBody]
    lacking: Lacking
    next: str | None


class FootprintAnswer(Struct, frozen=True):
    """A page; `next` is null on the last one. `tick` is null where every price is a level."""

    venue: str
    symbol: str
    timeframe: str
    tick: float | None
    candles: list[FootprintCandle]
    lacking: Lacking
    next: str | None


class Bars:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services

    async def bars(self, params: BarsParams) -> BarsAnswer:
        """Bars of stored trades: of any length of time, or of so many trades, so much volume or value."""
        rule = bar_rule(params.kind, params.size)
        found = await self._services.instruments.find(params.symbol, params.venue)
        start, after = params.start, None
        if params.cursor:
            start, last_id = map(int, params.cursor.split("."))
            after = None if rule.periods else (start, last_id)
        made = await self._made(found, lambda view: SpanBars(view, found.symbol, rule, start, params.end, after=after))
        rows, has_more = await self._read(found, made, made, params.limit, lambda _: 1)
        _check_read(rows, has_more, params.size)
        cursor = _cursor_of(rows[-1], rule) if has_more else None
        lacking = await self._lacking(found, made, [row[:2] for row in rows])
        bars = [BarBody(*row) for row in rows]
        return BarsAnswer(found.venue, found.symbol, params.kind, params.size, bars, lacking, cursor)

    async def footprint(self, params: FootprintParams) -> FootprintAnswer:
        """What takers sold and bought at each price of each candle, with delta and cumulative delta."""
        rule = bar_rule("time", params.timeframe)
        found = await self._services.instruments.find(params.symbol, params.venue)
        maker, start = FootprintMaker(rule, tick=params.tick), params.start
        if params.cursor:
            start, units = map(int, params.cursor.split("."))
            maker.begin(units / 10**DECIMALS)
        made = await self._made(
            found, lambda view: SpanBars(view, found.symbol, rule, start, params.end, watch=maker.take)
        )
        footprints = (list(maker.candles(rows)) for rows in made)
        candles, has_more = await self._read(found, made, footprints, params.limit, lambda one: len(one.levels) + 1)
        _check_read(candles, has_more, params.timeframe)
        cursor = _continued(candles[-1]) if has_more else None
        lacking = await self._lacking(found, made, [(candle.open_time, candle.close_time) for candle in candles])
        return FootprintAnswer(*found, params.timeframe, params.tick, candles, lacking, cursor)

    async def _made(self, found: Instrument, make: Callable[[TradeView], SpanBars]) -> SpanBars:
        return await self._services.trades.read(found.venue, make)

    async def _read(
        self,
        found: Instrument,
        made: SpanBars,
        parts: Iterable[list[T]],
        limit: int,
        weight: Callable[[T], int],
    ) -> tuple[list[T], bool]:
        """The first ones, at most `limit` of them and of the weight of an answer; whether there are more."""
        taken: list[T] = []
        left = MOST_LEVELS
        async with aclosing(self._services.trades.each(found.venue, parts)) as read:
            async for part in read:
                for one in part:
                    left -= weight(one)
                    if len(taken) == limit or left < 0:
                        if not taken:
                            text = f"one candle has more than {MOST_LEVELS:,} levels: set tick, or a larger one"
                            raise Problem("range_too_large", text)
                        return taken, True
                    taken.append(one)
                if made.span.trades > MOST_TRADES:
                    return taken, True
        return taken, False

    async def _lacking(self, found: Instrument, made: SpanBars, times: Sequence[tuple[int, int]]) -> Lacking:
        if not times:
            return Lacking(0, 0, [], 0, None)
        begin, end = times[0][0], times[-1][1] + 1
        lack = made.span.missing.within(begin, end, most=SHOWN_GAPS)
        try:
            doubtful = await self._services.mongo.doubtful_minutes(*found, begin, end)
        except Problem:
            doubtful = None
        return Lacking(lack.trades, lack.gap_count, [GapBody(*gap) for gap in lack.first], doubtful, made.begins_within)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    bars = Bars(services)
    return [
        Route("GET", "/api/bars/{symbol}", bars.bars, BarsAnswer, BarsParams, errors=ERRORS),
        Route(
            "GET",
            "/api/footprint/{symbol}/{timeframe}",
            bars.footprint,
            FootprintAnswer,
            FootprintParams,
            errors=ERRORS,
        ),
    ]


def _check_read(taken: Sequence[object], has_more: bool, size: str) -> None:
    if has_more and not taken:
        text = f"no bar of {size} ends within {MOST_TRADES:,} trades: take a smaller size, or marketflow export bars"
        raise Problem("range_too_large", text)


def _cursor_of(row: BarRow, rule: BarRule) -> str:
    """Where the page after a bar begins: time and last raw id, or the begin of a period."""
    return f"{row[1] + 1}.0" if rule.periods else f"{row[1]}.{row[-2]}"


def _continued(candle: FootprintCandle) -> str:
    """Where the page after a candle begins, and the cumulative delta in units of the last decimal."""
    return f"{candle.close_time + 1}.{int(Decimal(repr(candle.cumulative_delta)).scaleb(DECIMALS))}"
