"""The queries of market data to Binance's REST interface (spot `rest-api`, USD-M `rest-api`)."""

from bisect import bisect_left
from functools import partial
from typing import Any, Self

import msgspec
from msgspec import Struct

from flows.model import AggregateTrade, BookSnapshot, Kline, ListedInstrument, Trade, timeframe_ms
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, QueryError, TradesQuery, Urgency
from sources.binance.paging import PAGE, by_id, covering, first_of
from sources.binance.wire import Id, Levels, Price, Quantity, QuantityOrZero, Time
from sources.rest.answers import decoded, plausible, plausible_klines, rising
from sources.rest.client import RestClient, RestSettings
from sources.rest.listing import decimals_of, listed
from sources.rest.queries import RestQueries
from sources.venue import FeedSettings, address_of

_REST_URLS = {
    ("binance", "live"): "https://api.binance.com",
    ("binance", "testnet"): "https://testnet.binance.vision",
    ("binance-usdm", "live"): "https://fapi.binance.com",
    ("binance-usdm", "testnet"): "https://testnet.binancefuture.com",
}
_PATHS = {"binance": "/api/v3", "binance-usdm": "/fapi/v1"}
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
DEPTH_LIMIT = 1_000
"""Most levels per side that both markets serve."""
_USDM_DEPTHS = (5, 10, 20, 50, 100, 500, 1_000)
_LONGEST_WINDOW_MS = 3_599_000
"""USD-M serves aggregates by time only within less than an hour."""
_KEPT_MS = 48 * 3_600_000
"""And only of the last two days."""
_AROUND_MS = 3_600_000
"""The true times of disputed trades are at most so far from the candle they are in."""


class _Weights(Struct, frozen=True):
    """Weights of requests. Steps are `(most rows or levels, weight)`."""

    per_minute: int
    exchange_info: int
    aggregates: int
    klines: tuple[tuple[int, int], ...]
    depth: tuple[tuple[int, int], ...]
    fills: int = 25


_WEIGHTS = {
    "binance": _Weights(6_000, 20, 4, ((1_000, 2),), ((100, 5), (500, 25), (1_000, 50), (5_000, 250))),
    "binance-usdm": _Weights(
        2_400, 1, 20, ((99, 1), (499, 2), (1_000, 5), (1_500, 10)), ((50, 2), (100, 5), (500, 10), (1_000, 20))
    ),
}


class _AggregateRow(Struct, frozen=True, gc=False):
    """`aggTrades`: as on the stream, without symbol and event time."""

    a: Id
    p: Price
    q: Quantity
    f: Id
    l: Id  # noqa: E741 - the exchange's name
    T: Time
    m: bool


class _FillRow(Struct, frozen=True, gc=False):
    """`historicalTrades` of spot."""

    id: Id
    price: Price
    qty: Quantity
    time: Time
    isBuyerMaker: bool  # noqa: N815 - the exchange's name


_KlineRow = tuple[
    Time,
    Price,
    Price,
    Price,
    Price,
    QuantityOrZero,
    Time,
    QuantityOrZero,
    Id,
    QuantityOrZero,
    QuantityOrZero,
    msgspec.Raw,
]


class _Depth(Struct, frozen=True):
    lastUpdateId: Id  # noqa: N815 - the exchange's name
    bids: Levels
    asks: Levels
    E: int = 0


class _Time(Struct, frozen=True):
    serverTime: int  # noqa: N815 - the exchange's name


class _Symbol(Struct, frozen=True):
    symbol: str
    status: str = "TRADING"
    baseAsset: object = ""  # noqa: N815 - the exchange's name
    quoteAsset: object = ""  # noqa: N815 - the exchange's name
    filters: msgspec.Raw = msgspec.Raw(b"[]")


class _Filter(Struct, frozen=True):
    tickSize: object = None  # noqa: N815 - the exchange's name
    stepSize: object = None  # noqa: N815 - the exchange's name
    filterType: object = ""  # noqa: N815 - the exchange's name


class _ExchangeInfo(Struct, frozen=True):
    symbols: list[_Symbol]


_ANSWER: msgspec.json.Decoder[Any] = msgspec.json.Decoder()
_AGGREGATES = msgspec.json.Decoder(list[_AggregateRow], strict=False)
_FILLS = msgspec.json.Decoder(list[_FillRow], strict=False)
_KLINES = msgspec.json.Decoder(list[_KlineRow], strict=False)
_DEPTH = msgspec.json.Decoder(_Depth, strict=False)
_TIME = msgspec.json.Decoder(_Time)
_INFO = msgspec.json.Decoder(_ExchangeInfo)
_FILTERS = msgspec.json.Decoder(list[_Filter])


def rest_url(settings: FeedSettings) -> str:
    """Address of the REST interface; `ValueError` when none is set and the origin has no default."""
    return address_of(settings, "rest_url", _REST_URLS.get((settings.venue, settings.origin)))


class BinanceRest(RestQueries):
    """The REST queries of market data. Every method raises `VenueError`."""

    def __init__(self, client: RestClient, *, venue: str, counts_fills: bool) -> None:
        """`counts_fills`: the ids of trades count single fills (`@trade`), not aggregates."""
        super().__init__(client)
        self._venue = venue
        self._prefix = _PATHS[venue]
        self._weights = _WEIGHTS[venue]
        self._counts_fills = counts_fills

    @classmethod
    def of(cls, feed: FeedSettings, rest: RestSettings) -> Self:
        """The client for the settings; use it with `async with`. `ProxyError` as of `RestClient`."""
        client = RestClient(
            rest_url(feed),
            settings=rest,
            weight_per_minute=_WEIGHTS[feed.venue].per_minute,
            weight_header=WEIGHT_HEADER,
        )
        return cls(client, venue=feed.venue, counts_fills="trade" in feed.streams)

    @property
    def venue(self) -> str:
        """Name of the venue."""
        return self._venue

    async def time(self) -> int:
        """The venue's own time, ms UTC."""
        path = f"{self._prefix}/time"
        return decoded(_TIME, await self._client.get(path), path).serverTime

    # --- instruments and books ---

    async def instruments(self) -> list[ListedInstrument]:
        """All instruments."""
        path = f"{self._prefix}/exchangeInfo"
        body = await self._client.get(path, weight=self._weights.exchange_info)
        return [_listed(self._venue, row) for row in decoded(_INFO, body, path).symbols]

    async def recorded_book(self, symbol: str) -> tuple[str, object]:
        """Path and query of a book snapshot as tapes name it, and the answer: `lastUpdateId`, `bids`, `asks`."""
        path = f"{self._prefix}/depth?symbol={symbol}&limit={DEPTH_LIMIT}"
        return path, decoded(_ANSWER, await self._depth(symbol, DEPTH_LIMIT, Urgency.BOOK), path)

    async def book(self, query: BookQuery) -> BookSnapshot:
        """The best levels of each side; on USD-M up to 1,000, in the next larger of the sizes that it serves."""
        found = decoded(_DEPTH, await self._depth(query.symbol, query.levels, query.urgency), "depth")
        return plausible(BookSnapshot(query.symbol, found.lastUpdateId, found.bids, found.asks, found.E), "depth")

    async def _depth(self, symbol: str, levels: int, urgency: Urgency) -> bytes:
        if self._venue != "binance":
            levels = next((size for size in _USDM_DEPTHS if size >= levels), _USDM_DEPTHS[-1])
        weight = _step(self._weights.depth, levels)
        return await self._client.get(
            f"{self._prefix}/depth", weight=weight, urgency=urgency, symbol=symbol, limit=levels
        )

    # --- trades ---

    async def trades(self, query: TradesQuery) -> list[Trade]:
        """The first `MOST_TRADES` trades of these ids that the venue still has, ids rising.

        Ids of aggregates are queried as such, and ids of single fills on spot too. USD-M serves those only with a key,
        so there the answer is the aggregates that lie wholly within the ids, each under its first id. Missing then are
        fills that share an aggregate with one outside, and fills that were no trades on the market.
        """
        if not self._counts_fills:
            return await self._aggregates(query)
        if self._venue == "binance":
            return await self._fills(query)
        return [msgspec.structs.replace(trade, id=trade.first_id) for trade in await self._covering(query)]

    async def _aggregates(self, query: TradesQuery) -> list[Trade]:
        return await by_id(query, partial(self._page_from, query))

    async def disputed_trades(self, query: DisputedTradesQuery) -> list[Trade]:
        """The trades of a candle, in the form in which the stream brings them, whatever their times. `QueryError` where
        the venue serves them in another form only.
        """
        if self._counts_fills and self._venue == "binance":
            return await self._fills(query)
        if self._counts_fills:
            raise QueryError(f"{self._venue} serves no single fills", lasting=True)
        around = msgspec.structs.replace(query, begin=query.begin - _AROUND_MS, end=query.end + _AROUND_MS)
        rows = await self.first_trades(query) or await self.first_trades(around)
        if (first := first_of(rows, query)) is not None:
            rows = await self._page_of_aggregates(query, fromId=first, limit=PAGE)
        return [*await covering(around, rows, partial(self._page_from, query))]

    async def _covering(self, query: TradesQuery) -> list[AggregateTrade]:
        return await covering(query, await self.first_trades(query), partial(self._page_from, query))

    async def _page_from(self, query: TradesQuery, first_id: int, limit: int) -> list[AggregateTrade]:
        return await self._page_of_aggregates(query, fromId=first_id, limit=limit)

    async def first_trades(self, query: TradesQuery) -> list[AggregateTrade]:
        """The first page of trades in the query's time; empty when there were none, or the venue no longer has them."""
        start = max(query.begin, query.end - _KEPT_MS)
        while start <= query.end:
            end = min(query.end, start + _LONGEST_WINDOW_MS)
            page = await self._page_of_aggregates(query, startTime=start, endTime=end, limit=PAGE)
            if page:
                return page
            start = end + 1
        return []

    async def _page_of_aggregates(self, query: TradesQuery, **params: int) -> list[AggregateTrade]:
        path = f"{self._prefix}/aggTrades"
        body = await self._client.get(
            path, weight=self._weights.aggregates, urgency=query.urgency, symbol=query.symbol, **params
        )
        return [
            AggregateTrade(
                symbol=query.symbol,
                id=row.a,
                time=row.T,
                price=row.p,
                quantity=row.q,
                buyer_is_maker=row.m,
                event_time=row.T,
                first_id=row.f,
                last_id=row.l,
            )
            for row in decoded(_AGGREGATES, body, path)
        ]

    async def _fills(self, query: TradesQuery) -> list[Trade]:
        return await by_id(query, partial(self._page_of_fills, query))

    async def _page_of_fills(self, query: TradesQuery, first_id: int, limit: int) -> list[Trade]:
        path = f"{self._prefix}/historicalTrades"
        body = await self._client.get(
            path, weight=self._weights.fills, urgency=query.urgency, symbol=query.symbol, fromId=first_id, limit=limit
        )
        return [
            Trade(query.symbol, row.id, row.time, row.price, row.qty, row.isBuyerMaker, row.time)
            for row in decoded(_FILLS, body, path)
        ]

    # --- klines ---

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The klines that open in the span. A kline is closed when the venue has begun a later one: so the one after
        the span is fetched too, and no clock is used.
        """
        length = timeframe_ms(query.timeframe)
        found: list[Kline] = []
        start, end = query.start, query.end + length  # one more, which shows that the last one is closed
        path = f"{self._prefix}/klines"
        while start <= end:
            limit = min(PAGE, (end - start) // length + 1)
            params: dict[str, str | int] = {"symbol": query.symbol, "interval": query.timeframe, "limit": limit}
            body = await self._client.get(
                path,
                weight=_step(self._weights.klines, limit),
                urgency=query.urgency,
                **params,
                startTime=start,
                endTime=end,
            )
            rows = decoded(_KLINES, body, path)
            page = [_kline(query, row) for row in rows]
            found += rising(page, lambda kline: kline.open_time, start, end)
            if len(rows) < limit or not found or found[-1].open_time < start:
                break
            start = found[-1].open_time + length
        last = found[-1].open_time if found else 0
        wanted = found[: bisect_left(found, query.end + 1, key=lambda kline: kline.open_time)]
        closed = [msgspec.structs.replace(kline, is_closed=kline.open_time < last) for kline in wanted]
        return plausible_klines(closed)


def _listed(venue: str, row: _Symbol) -> ListedInstrument:
    """The decimals are those of the smallest steps: the precisions of the list are the exchange's own, not prices'."""
    try:
        filters = {one.filterType: one for one in _FILTERS.decode(row.filters) if isinstance(one.filterType, str)}
    except (msgspec.MsgspecError, ValueError, RecursionError):
        filters = {}
    prices, lots = filters.get("PRICE_FILTER", _Filter()), filters.get("LOT_SIZE", _Filter())
    return listed(
        venue,
        row.symbol,
        row.status,
        base=row.baseAsset,
        quote=row.quoteAsset,
        price_decimals=decimals_of(prices.tickSize),
        quantity_decimals=decimals_of(lots.stepSize),
    )


def _kline(query: KlinesQuery, row: _KlineRow) -> Kline:
    opened, first, high, low, close, volume, closed, quote_volume, trades, taker_volume, taker_quote_volume, _ = row
    return Kline(
        symbol=query.symbol, timeframe=query.timeframe, event_time=closed, open_time=opened, open=first, high=high,
        low=low, close=close, volume=volume, quote_volume=quote_volume, trades=trades, taker_buy_volume=taker_volume,
        taker_buy_quote_volume=taker_quote_volume, first_id=-1, last_id=-1, is_closed=False, close_time=closed,
    )  # fmt: skip


def _step(steps: tuple[tuple[int, int], ...], rows: int) -> int:
    return next((weight for most, weight in steps if rows <= most), steps[-1][1])
