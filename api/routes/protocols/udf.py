"""TradingView's charts: the protocol UDF under `/udf`, without the envelope of the other routes.

Times are seconds UTC, `to` is not included, and `countback` is worth more than `from`. What is wrong with a request is
`{"s": "error", "errmsg"}` with status 200, as its clients expect; only texts that cannot be read get an error status.
UDF has no push: clients query again, or follow the broadcast.
"""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Annotated, Any, Final, TypeAlias

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.params import CandleRange
from api.http.route import AnyRoute, NoParams, RawRoute
from api.routes.history_requests import request_history
from api.services import Services
from api.udf.answers import (
    MARKS_MOST,
    RESOLUTIONS,
    Mark,
    columns_of,
    history_of,
    marks_of,
    timeframe_of,
    timescale_marks_of,
)
from api.udf.messages import (
    Configuration,
    FoundSymbol,
    History,
    Marks,
    Quotes,
    SearchedVenue,
    SymbolDescription,
    SymbolType,
    TimescaleMark,
    UdfError,
)
from api.udf.symbols import UdfSymbols
from flows.clock import wall_ms
from flows.model import timeframe_ms
from flows.names import TEXT_END

BARS_MOST: Final = 10_000
"""Most bars of one answer."""
JSON: Final = "application/json"
_SECONDS_END: Final = 9_999_999_999
_OF_SPAN: Final = {"name": "symbol", "start": "from", "end": "to"}

UdfSymbol: TypeAlias = Annotated[
    str,
    Meta(
        pattern=f"^[\\s\\S]{{1,128}}{TEXT_END}", description="a symbol, or VENUE:SYMBOL", examples=["BINANCE:BTCUSDT"]
    ),
]
Seconds: TypeAlias = Annotated[int, Meta(ge=0, le=_SECONDS_END, description="seconds UTC since the epoch")]
Resolution: TypeAlias = Annotated[
    str, Meta(pattern=f"^[0-9]{{0,4}}[A-Za-z]?{TEXT_END}", description="minutes, or 1D", examples=["15"])
]


class SymbolParams(Struct, frozen=True, forbid_unknown_fields=True, rename={"name": "symbol"}):
    """One instrument."""

    name: UdfSymbol


class SearchParams(Struct, frozen=True, forbid_unknown_fields=True, rename={"kind": "type"}):
    """Instruments whose name or assets contain `query`."""

    query: Annotated[str, Meta(max_length=128)] = ""
    kind: Annotated[str, Meta(max_length=32)] = ""
    exchange: Annotated[str, Meta(max_length=32)] = ""
    limit: Annotated[int, Meta(ge=1, le=1_000)] = 30


class HistoryParams(Struct, frozen=True, forbid_unknown_fields=True, rename=_OF_SPAN):
    """Bars that begin in `[from, to)`; with `countback` the last so many before `to`. Where there are fewer, the flow
    is requested to fetch them for a later query.
    """

    name: UdfSymbol
    resolution: Resolution
    end: Seconds
    start: Seconds = 0
    countback: Annotated[int, Meta(ge=0, le=1_000_000)] = 0


class MarksParams(Struct, frozen=True, forbid_unknown_fields=True, rename=_OF_SPAN):
    """Marks on bars that begin in `[from, to]`."""

    name: UdfSymbol
    resolution: Resolution
    start: Seconds
    end: Seconds


class QuotesParams(Struct, frozen=True, forbid_unknown_fields=True, rename={"names": "symbols"}):
    """Instruments."""

    names: Annotated[tuple[UdfSymbol, ...], Meta(min_length=1, max_length=100)]


Handler: TypeAlias = Callable[[Any], Awaitable[Any]]


class Udf:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._symbols = UdfSymbols(services)

    async def config(self, _: NoParams) -> Configuration:
        """What the data feed for TradingView's charts can do."""
        venues = [SearchedVenue(venue, venue, venue) for venue in self._services.instruments.venues()]
        return Configuration(
            supported_resolutions=list(RESOLUTIONS),
            exchanges=[SearchedVenue("", "All venues", ""), *venues],
            symbols_types=[SymbolType("All types", ""), SymbolType("Crypto", "crypto")],
        )

    async def symbol(self, params: SymbolParams) -> SymbolDescription:
        """An instrument as TradingView's charts describe it."""
        return await self._symbols.described(params.name)

    async def search(self, params: SearchParams) -> list[FoundSymbol]:
        """Instruments by a part of their names."""
        if params.kind.lower() not in ("", "crypto"):
            return []
        return await self._symbols.search(params.query, params.exchange.lower(), params.limit)

    async def history(self, params: HistoryParams) -> History:
        """The bars of an instrument, the forming one included, for TradingView's charts."""
        key = await self._symbols.series(params.name, timeframe_of(params.resolution))
        start_ms, end_ms = params.start * 1_000, params.end * 1_000
        history, count = self._services.history, min(params.countback, BARS_MOST)
        if count:
            wanted = CandleRange(None, end_ms, count)
            bars = await history.newest(key, count, end_ms)
        else:
            wanted = CandleRange(start_ms, end_ms, BARS_MOST)
            bars = await history.between(key, start_ms, end_ms, BARS_MOST) if start_ms < end_ms else []
        before = [] if bars else await history.newest(key, 1, min(start_ms, end_ms))
        if not before and len(bars) < max(count, 1) and end_ms:
            with suppress(Problem):  # there are none, or the store is down: what is there is the answer
                await request_history(self._services, key, wanted, has_some=bool(bars))
        return history_of(bars, next_ms=before[-1].open_time if before else None)

    async def marks(self, params: MarksParams) -> Marks:
        """Incidents, and bars that were corrected or lack trades, for TradingView's charts."""
        return columns_of(await self._marks(params))

    async def timescale_marks(self, params: MarksParams) -> list[TimescaleMark]:
        """The same, below the time scale of TradingView's charts."""
        return timescale_marks_of(await self._marks(params))

    async def _marks(self, params: MarksParams) -> list[Mark]:
        key = await self._symbols.series(params.name, timeframe_of(params.resolution))
        start_ms = params.start * 1_000
        end_ms = (params.end + 1) * 1_000
        incidents = await self._services.mongo.incident_page(
            key.venue, [key.symbol, ""], start_ms=start_ms, end_ms=end_ms, count=MARKS_MOST
        )
        candles = await self._services.history.between(key, start_ms, end_ms, BARS_MOST) if start_ms < end_ms else []
        return marks_of(incidents, candles, length_ms=timeframe_ms(key.timeframe))

    async def quotes(self, params: QuotesParams) -> Quotes:
        """The newest prices of instruments, for TradingView's watch lists."""
        return Quotes([await self._symbols.quote(symbol) for symbol in params.names])

    async def time(self, _: web.Request, __: NoParams) -> web.Response:
        """The time of the first venue in seconds, as text."""
        now_ms = next((state.clock.now_ms for state in self._services.live.venue_states()), 0) or wall_ms()
        return web.Response(text=str(now_ms // 1_000))


def _answering(handler: Handler) -> Callable[[web.Request, Any], Awaitable[web.StreamResponse]]:
    """A handler of a route without envelope, whose problems are answers of the protocol."""

    async def answer(_: web.Request, params: Any) -> web.Response:
        try:
            return _json(await handler(params))
        except Problem as problem:
            return _refusal(problem)

    answer.__doc__ = handler.__doc__
    return answer


def _refusal(problem: Problem) -> web.Response:
    """A problem as the protocol has it, with status 200: its readers take what is none for a failure of the network."""
    is_unknown = problem.code in ("unknown_symbol", "unknown_venue")
    return _json(UdfError("unknown_symbol" if is_unknown else problem.message))


def _json(body: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type=JSON)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    udf = Udf(services)
    described: list[tuple[str, Handler, type[Struct], Any]] = [
        ("config", udf.config, NoParams, Configuration),
        ("symbols", udf.symbol, SymbolParams, SymbolDescription),
        ("search", udf.search, SearchParams, list[FoundSymbol]),
        ("history", udf.history, HistoryParams, History),
        ("marks", udf.marks, MarksParams, Marks),
        ("timescale_marks", udf.timescale_marks, MarksParams, list[TimescaleMark]),
        ("quotes", udf.quotes, QuotesParams, Quotes),
    ]
    return [
        *(
            RawRoute(
                "GET", f"/udf/{name}", _answering(handler), JSON, params, results=(result, UdfError),
                ignores_unknown=True, on_problem=_refusal,
            )
            for name, handler, params, result in described
        ),
        RawRoute("GET", "/udf/time", udf.time, "text/plain", ignores_unknown=True, on_problem=_refusal),
    ]  # fmt: skip
