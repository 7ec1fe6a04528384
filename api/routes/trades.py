"""Trades of the trade store: in pages as JSON, or all as one Arrow stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Annotated, Final, Literal, TypeAlias

from aiohttp import web
from msgspec import Meta, Struct

from api.http.route import STORE_ERRORS, SYMBOL_ERRORS, AnyRoute, RawRoute, Route, Symbol, Time, Venue
from api.services import Services
from flows.model import MARKET_FILL
from flows.modules.late import late_module
from flows.names import TEXT_END
from sinks.export.arrow import END, arrow_parts
from sinks.hub.payloads import TradeRow
from sinks.trades.codec import END_MS, decode_frame

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

ARROW: Final = "application/vnd.apache.arrow.stream"
ARROW_ROWS: Final = 50_000
"""Rows of a record batch; one is in memory at a time."""
COLUMNS: Final[Mapping[str, str]] = {
    "ts": "time",
    "price": "price",
    "qty": "quantity",
    "is_sell": "buyer_is_maker",
}
"""Columns of a stored trade by their names in an Arrow stream."""
Market: TypeAlias = Literal["", "spot", "usdm", "linear", "inverse"]
SUFFIXES: Final[Mapping[Market, str]] = {"spot": "", "usdm": "-usdm", "linear": "-usdm", "inverse": "-coinm"}
"""What a market adds to the name of its exchange; flowsurface calls contracts by what they are settled in."""
ERRORS: Final = ("bad_request", *SYMBOL_ERRORS, "trade_store_absent", *STORE_ERRORS)


class TradesParams(Struct, frozen=True, forbid_unknown_fields=True):
    """Trades in `[start, end)`, oldest first; without `start` the newest before `end`. `cursor` continues a page."""

    symbol: Symbol
    venue: Venue = ""
    start: Time | None = None
    end: Time = END_MS
    limit: Annotated[int, Meta(ge=1, le=10_000)] = 500
    cursor: Annotated[
        str, Meta(pattern=rf"^([0-9]{{1,13}}\.[0-9]{{1,18}})?{TEXT_END}", description="`next` of the page before")
    ] = ""


class TradesAnswer(Struct, frozen=True):
    """A page in the order of time and id; `next` is null on the last page."""

    venue: str
    symbol: str
    trades: list[TradeRow]
    next: str | None


class ArrowParams(Struct, frozen=True, forbid_unknown_fields=True, rename={"start": "from", "end": "to"}):
    """The first `limit` trades from `from` to `to`, both inclusive, as flowsurface requests them. `market` selects a
    venue of the exchange; `with_id` adds the column `id`.
    """

    symbol: Symbol
    venue: Venue = ""
    market: Market = ""
    start: Time = 0
    end: Time = END_MS
    limit: Annotated[int, Meta(ge=1, le=50_000_000)] = 1_000_000
    with_id: bool = False


class Trades:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._instruments = services.instruments
        self._archive = services.trades
        self._feed_venue = services.settings.first_feed.venue

    async def page(self, params: TradesParams) -> TradesAnswer:
        """The trades of a symbol."""
        venue, symbol = await self._instruments.find(params.symbol, params.venue)
        if params.start is None and not params.cursor:
            frame = await self._archive.newest(venue, symbol, params.end, count=params.limit)
            return TradesAnswer(venue, symbol, _rows(frame), None)
        after = _after(params.cursor)
        frame = await self._archive.page(
            venue, symbol, params.start or 0, params.end, after=after, count=params.limit + 1
        )
        shown = frame.head(params.limit)
        more = frame.height > shown.height
        cursor = f"{shown.item(-1, 'time')}.{shown.item(-1, 'id')}" if more else None
        return TradesAnswer(venue, symbol, _rows(shown), cursor)

    async def arrow(self, request: web.Request, params: ArrowParams) -> web.StreamResponse:
        """The trades of a symbol as an Arrow IPC stream: `ts` (ms), `price`, `qty`, `is_sell` (the taker sold)."""
        venue, symbol = await self._instruments.find(params.symbol, self._venue(params))
        chunks = self._chunks(venue, symbol, params)
        first = await anext(chunks)  # errors are raised before the response begins
        response = web.StreamResponse(headers={"Content-Type": ARROW})
        await response.prepare(request)
        await response.write(first)
        async for chunk in chunks:
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _chunks(self, venue: str, symbol: str, params: ArrowParams) -> AsyncIterator[bytes]:
        columns = {**COLUMNS, "id": "id"} if params.with_id else COLUMNS
        head = arrow_parts(_arrow_frame(decode_frame([]), columns)).head
        left = params.limit
        frames = self._archive.iterate(venue, symbol, params.start, params.end + 1, rows=min(ARROW_ROWS, left))
        async with aclosing(frames):
            async for frame in frames:
                yield head + arrow_parts(_arrow_frame(frame.head(left), columns)).batch
                head = b""
                left -= min(left, frame.height)
                if not left:
                    break
        yield head + END

    def _venue(self, params: ArrowParams) -> str:
        if not params.market:
            return params.venue
        exchange = (params.venue or self._feed_venue).removesuffix("-usdm")
        return f"{exchange}{SUFFIXES[params.market]}"


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    trades = Trades(services)
    return [
        Route("GET", "/api/trades", trades.page, TradesAnswer, TradesParams, errors=ERRORS),
        RawRoute("GET", "/trades.arrow", trades.arrow, ARROW, ArrowParams, errors=ERRORS),
    ]


def _after(cursor: str) -> tuple[int, int] | None:
    if not cursor:
        return None
    time, _, number = cursor.partition(".")
    return int(time), int(number)


def _rows(frame: pl.DataFrame) -> list[TradeRow]:
    rows = frame.select("id", "first_id", "last_id", "price", "quantity", "buyer_is_maker", "time").iter_rows()
    return [
        TradeRow(number, first, last, price, quantity, buyer_is_maker, MARKET_FILL, time)
        for number, first, last, price, quantity, buyer_is_maker, time in rows
    ]


def _arrow_frame(frame: pl.DataFrame, columns: Mapping[str, str]) -> pl.DataFrame:
    return frame.select(pl.col(stored).alias(name) for name, stored in columns.items())
