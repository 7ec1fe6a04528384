"""The queries of market data to the REST interface of the Exchange.

https://docs.cdp.coinbase.com/exchange/reference
"""

from bisect import bisect_left
from datetime import UTC, datetime
from math import fsum
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta, Struct

from flows.model import BookSnapshot, Kline, ListedInstrument, Trade, timeframe_ms
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, PastTradesQuery, QueryError, TradesQuery, Urgency
from sources.coinbase.names import NAME
from sources.coinbase.parse import in_order, microseconds, milliseconds
from sources.coinbase.rules import RULES
from sources.coinbase.wire import MOST_LEVELS, Id, Price, ProductState, Quantity, QuantityOrZero, Side, Time
from sources.rest.answers import decoded, plausible, plausible_klines, rising
from sources.rest.client import RestClient, RestSettings
from sources.rest.listing import decimals_of, listed
from sources.rest.queries import RestQueries
from sources.venue import FeedSettings, address_of

_REST_URLS: Final = {
    "live": "https://api.exchange.coinbase.com",
    "testnet": "https://api-public.sandbox.exchange.coinbase.com",
}
PAGE: Final = 1_000
"""Most trades of an answer."""
MOST_TRADES: Final = 10_000
"""Most trades in the answer to one query; for more the caller queries the rest."""
CANDLES: Final = 300
"""Most candles of an answer."""
_PER_MINUTE: Final = 600
"""Requests of an address: ten in each second."""
_WINDOW_S: Final = 1.0
_GRANULARITIES: Final = (60_000, 300_000, 900_000, 3_600_000, 21_600_000, 86_400_000)
"""Lengths of the candles that the venue has, ms; others are made of them."""
SETTLED_MS: Final = 10_000
"""A candle behind which none has begun is closed when its end was so long ago by the venue's time."""
_UNKNOWN: Final = float("nan")


class _TradeRow(Struct, frozen=True, gc=False):
    """`trades`: as on the stream."""

    trade_id: Id
    side: Side
    size: Quantity
    price: Price
    time: Time


_CandleRow = tuple[
    Annotated[int, Meta(ge=0, le=10**11)],
    Annotated[Price, "low"],
    Annotated[Price, "high"],
    Annotated[Price, "open"],
    Annotated[Price, "close"],
    QuantityOrZero,
]
"""Begin in seconds, prices, volume."""
_LevelRow = tuple[Price, QuantityOrZero, msgspec.Raw]
"""Price, quantity, number of orders."""


class _Book(Struct, frozen=True):
    bids: Annotated[list[_LevelRow], Meta(max_length=MOST_LEVELS)]
    asks: Annotated[list[_LevelRow], Meta(max_length=MOST_LEVELS)]
    time: Time


class _Time(Struct, frozen=True):
    iso: Time


class _Product(ProductState, frozen=True):
    """`products`."""

    base_currency: object = ""
    quote_currency: object = ""
    quote_increment: object = None
    base_increment: object = None


_TRADES = msgspec.json.Decoder(list[_TradeRow], strict=False)
_CANDLES = msgspec.json.Decoder(list[_CandleRow], strict=False)
_BOOK = msgspec.json.Decoder(_Book, strict=False)
_TIME = msgspec.json.Decoder(_Time)
_ANSWER = msgspec.json.Decoder(dict[str, object])
_PRODUCTS = msgspec.json.Decoder(list[_Product])


def rest_url(settings: FeedSettings) -> str:
    """Address of the REST interface; `ValueError` when none is set and the origin has no default."""
    return address_of(settings, "rest_url", _REST_URLS.get(settings.origin))


class CoinbaseRest(RestQueries):
    """Queries, each answered with model values; `VenueError` when there is no valid answer."""

    @classmethod
    def of(cls, feed: FeedSettings, rest: RestSettings) -> Self:
        """The client for the settings; use it with `async with`. `ProxyError` as of `RestClient`."""
        return cls(RestClient(rest_url(feed), settings=rest, weight_per_minute=_PER_MINUTE, window_s=_WINDOW_S))

    async def time(self, urgency: Urgency = Urgency.REPAIR) -> int:
        """The venue's own time, ms UTC."""
        return milliseconds(decoded(_TIME, await self._client.get("/time", urgency=urgency), "/time").iso)

    # --- products and books ---

    async def instruments(self) -> list[ListedInstrument]:
        """All products."""
        return [_listed(one) for one in decoded(_PRODUCTS, await self._client.get("/products"), "/products")]

    async def book(self, query: BookQuery) -> BookSnapshot:
        """The best levels of each side. The venue serves whole books; its id is their time, microseconds."""
        _, body = await self._book(query.symbol, query.urgency)
        found = decoded(_BOOK, body, "book")
        bids = in_order([(price, quantity) for price, quantity, _ in found.bids], is_bids=True)
        asks = in_order([(price, quantity) for price, quantity, _ in found.asks])
        snapshot = BookSnapshot(
            query.symbol,
            microseconds(found.time),
            bids[: query.levels],
            asks[: query.levels],
            milliseconds(found.time),
        )
        return plausible(snapshot, "book")

    async def recorded_book(self, symbol: str) -> tuple[str, object]:
        """Path and query of a book as tapes name it, and the answer."""
        path, body = await self._book(symbol, Urgency.BOOK)
        return path, decoded(_ANSWER, body, path)

    async def _book(self, symbol: str, urgency: Urgency) -> tuple[str, bytes]:
        path = f"/products/{symbol}/book"
        return f"{path}?level=2", await self._client.get(path, urgency=urgency, level=2)

    # --- trades ---

    async def trades(self, query: TradesQuery) -> list[Trade]:
        """The first `MOST_TRADES` trades of these ids that the venue still has, ids rising. Pages go from the last one
        down; one that is not full is the oldest.
        """
        pages: list[list[Trade]] = []
        before = min(query.last_id, query.first_id + MOST_TRADES - 1) + 1
        while before > query.first_id:
            limit = min(PAGE, before - query.first_id)
            page = await self._page(query, before, limit)
            new = rising(reversed(page), _id_of, query.first_id, before - 1)
            pages.append(new)
            if not new or len(page) < limit:
                break
            before = new[0].id
        return [trade for page in reversed(pages) for trade in page]

    async def disputed_trades(self, query: DisputedTradesQuery) -> list[Trade]:
        """The trades of a candle, whatever their times."""
        return await self.trades(query)

    async def first_trades(self, query: PastTradesQuery) -> list[Trade]:
        """The first page of trades in the query's time; empty when there were none. The venue serves trades by id
        alone, so their place is found by bisection.
        """
        newest = await self._page(query, None, 1)
        if not newest or newest[0].time < query.begin:
            return []
        below, at = -1, newest[0].id  # what was traded at or before the one was too early, the other was not
        while at - below > PAGE:
            middle = (below + at) // 2
            found = await self._page(query, middle + 1, 1)
            if found and found[0].time >= query.begin:
                at = min(middle, max(below + 1, found[0].id))
            else:
                below = middle
        page = await self._page(query, at + 1, PAGE)
        last = await self._page(query, at + PAGE, PAGE) if at < newest[0].id else []
        found = rising((*reversed(page), *reversed(last)), _id_of, 0, newest[0].id)
        return [trade for trade in found if query.begin <= trade.time <= query.end][:PAGE]

    async def _page(self, query: TradesQuery, before: int | None, limit: int) -> list[Trade]:
        """Trades with ids below `before`, or the newest, as the venue gives them: newest first."""
        path = f"/products/{query.symbol}/trades"
        after = {} if before is None else {"after": before}
        body = await self._client.get(path, urgency=query.urgency, limit=limit, **after)
        return [
            Trade(
                query.symbol, row.trade_id, time := milliseconds(row.time), row.price, row.size, row.side == "buy", time
            )
            for row in decoded(_TRADES, body, path)
        ]

    # --- candles ---

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The candles that open in the span; those of lengths that the venue does not have are made of shorter ones. It
        has none of a period without a trade. A candle is closed when the venue has begun a later one, or its own time
        says so.
        """
        length = timeframe_ms(query.timeframe)
        part = next((ms for ms in reversed(_GRANULARITIES) if length % ms == 0), None)
        if part is None:
            raise QueryError(f"the venue has no candles of {query.timeframe}", lasting=True)
        begin = -(-query.start // length) * length
        rows = await self._rows(query, part, begin, query.end - query.end % length + length)
        newest = rows[-1][0] if rows else 0
        klines = [_kline(query, open_time, found) for open_time, found in _by_period(rows, length)]
        ends = await self._end_of_closed(query, klines, newest)
        wanted = klines[: bisect_left(klines, query.end + 1, key=_open_time)]
        found = [msgspec.structs.replace(kline, is_closed=kline.close_time < ends) for kline in wanted]
        return plausible_klines(found, RULES)

    async def _rows(self, query: KlinesQuery, part: int, begin: int, end: int) -> list["_Row"]:
        """Candles of `part` ms that open from `begin` to `end`, both inclusive, rising."""
        found: list[_Row] = []
        path = f"/products/{query.symbol}/candles"
        while begin <= end:
            last = min(end, begin + (CANDLES - 1) * part)
            body = await self._client.get(
                path, urgency=query.urgency, granularity=part // 1_000, start=_iso(begin), end=_iso(last)
            )
            rows: list[_Row] = [(row[0] * 1_000, *row[1:]) for row in decoded(_CANDLES, body, path)]
            found += rising(reversed(rows), _open_time_of_row, begin, last)
            begin = last + part
        return found

    async def _end_of_closed(self, query: KlinesQuery, klines: list[Kline], newest: int) -> int:
        """What ends before this time is closed. The venue's time is queried where the last candle depends on it."""
        if not klines or klines[-1].open_time > query.end or klines[-1].close_time < newest:
            return newest
        return max(newest, await self.time(query.urgency) - SETTLED_MS)


_Row = tuple[int, float, float, float, float, float]
"""Open time, low, high, open, close, volume."""


def _listed(product: _Product) -> ListedInstrument:
    return listed(
        NAME,
        product.id,
        product.state,
        base=product.base_currency,
        quote=product.quote_currency,
        price_decimals=decimals_of(product.quote_increment),
        quantity_decimals=decimals_of(product.base_increment),
    )


def _by_period(rows: list[_Row], length: int) -> list[tuple[int, list[_Row]]]:
    """Rows by the open time of the period of `length` in which they are."""
    found: dict[int, list[_Row]] = {}
    for row in rows:
        found.setdefault(row[0] - row[0] % length, []).append(row)
    return [*found.items()]


def _kline(query: KlinesQuery, open_time: int, rows: list[_Row]) -> Kline:
    """One candle of the venue's shorter ones. What these do not state is not a number, or -1."""
    end = open_time + timeframe_ms(query.timeframe) - 1
    return Kline(
        symbol=query.symbol, timeframe=query.timeframe, event_time=end, open_time=open_time, open=rows[0][3],
        high=max(row[2] for row in rows), low=min(row[1] for row in rows), close=rows[-1][4],
        volume=fsum(row[5] for row in rows), quote_volume=_UNKNOWN, trades=-1, taker_buy_volume=_UNKNOWN,
        taker_buy_quote_volume=_UNKNOWN, first_id=-1, last_id=-1, is_closed=False, close_time=end,
    )  # fmt: skip


def _iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _id_of(trade: Trade) -> int:
    return trade.id


def _open_time(kline: Kline) -> int:
    return kline.open_time


def _open_time_of_row(row: _Row) -> int:
    return row[0]
