"""Binance's REST interface, as far as the market data needs it (spot `rest-api`, USD-M `rest-api`)."""

from bisect import bisect_left
from typing import Any, Self, TypeVar

import msgspec
from msgspec import Struct

from flows.asks import BookAsk, KlinesAsk, TradesAsk, Urgency
from flows.model import AggregateTrade, BookSnapshot, Kline, Level, Trade, timeframe_ms
from flows.settings import Feed, Rest
from sources.rest import RestClient, VenueError

_REST_URLS = {
    ("binance", "live"): "https://api.binance.com",
    ("binance", "testnet"): "https://testnet.binance.vision",
    ("binance-usdm", "live"): "https://fapi.binance.com",
    ("binance-usdm", "testnet"): "https://testnet.binancefuture.com",
}
_PATHS = {"binance": "/api/v3", "binance-usdm": "/fapi/v1"}
WEIGHT_HEADER = "X-MBX-USED-WEIGHT-1M"
DEPTH_LIMIT = 1_000
"""Levels a side that both markets serve."""
PAGE = 1_000
"""Rows that both markets serve at once."""
BAD_REQUEST = 400
_LONGEST_WINDOW_MS = 3_599_000
"""USD-M serves aggregates by time only within less than an hour."""

T = TypeVar("T")


class _Weights(Struct, frozen=True):
    """What requests cost. Steps are `(most rows or levels, weight)`."""

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

    a: int
    p: float
    q: float
    f: int
    l: int  # noqa: E741 - the exchange's name
    T: int
    m: bool


class _FillRow(Struct, frozen=True, gc=False):
    """`historicalTrades` of spot."""

    id: int
    price: float
    qty: float
    time: int
    isBuyerMaker: bool  # noqa: N815 - the exchange's name


_KlineRow = tuple[int, float, float, float, float, float, int, float, int, float, float, msgspec.Raw]


class _Depth(Struct, frozen=True):
    lastUpdateId: int  # noqa: N815 - the exchange's name
    bids: list[Level]
    asks: list[Level]
    E: int = 0


class _Symbol(Struct, frozen=True):
    symbol: str
    status: str = "TRADING"


class _ExchangeInfo(Struct, frozen=True):
    symbols: list[_Symbol]


_AGGREGATES = msgspec.json.Decoder(list[_AggregateRow], strict=False)
_FILLS = msgspec.json.Decoder(list[_FillRow], strict=False)
_KLINES = msgspec.json.Decoder(list[_KlineRow], strict=False)
_DEPTH = msgspec.json.Decoder(_Depth, strict=False)
_INFO = msgspec.json.Decoder(_ExchangeInfo)


def rest_url(settings: Feed) -> str:
    """Address of the REST interface; `ValueError` when none is set and the origin has none of its own."""
    url = settings.rest_url or _REST_URLS.get((settings.venue, settings.origin))
    if not url:
        raise ValueError(f"feed.origin is {settings.origin}: set feed.rest_url to the address that serves it")
    return url


class BinanceRest:
    """The questions that the market data asks. Every method raises `VenueError`."""

    def __init__(self, client: RestClient, *, venue: str, counts_fills: bool) -> None:
        """`counts_fills`: the ids of trades count single fills (`@trade`), not aggregates."""
        self._client = client
        self._venue = venue
        self._prefix = _PATHS[venue]
        self._weights = _WEIGHTS[venue]
        self._counts_fills = counts_fills

    @classmethod
    def of(cls, feed: Feed, rest: Rest | None = None) -> Self:
        """The client for what the settings name; the caller closes it with `async with`."""
        client = RestClient(
            rest_url(feed),
            settings=rest or Rest(),
            weight_per_minute=_WEIGHTS[feed.venue].per_minute,
            weight_header=WEIGHT_HEADER,
        )
        return cls(client, venue=feed.venue, counts_fills="trade" in feed.streams)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    @property
    def used_weight(self) -> int:
        """Request weight that counts at this moment."""
        return self._client.budget.used

    # --- instruments and books ---

    async def statuses(self) -> dict[str, str]:
        """Every instrument and its status, in the venue's words; `TRADING` when it trades."""
        path = f"{self._prefix}/exchangeInfo"
        body = await self._client.get(path, weight=self._weights.exchange_info)
        return {row.symbol: row.status for row in _decoded(_INFO, body, path).symbols}

    async def symbols(self) -> list[str]:
        """The names of all instruments."""
        return list(await self.statuses())

    def depth_path(self, symbol: str) -> str:
        """Path and query of a book snapshot, as tapes name it."""
        return f"{self._prefix}/depth?symbol={symbol}&limit={DEPTH_LIMIT}"

    async def depth(self, symbol: str) -> dict[str, Any]:
        """The snapshot of a book: `lastUpdateId`, `bids`, `asks`, as the venue words it."""
        snapshot: dict[str, Any] = msgspec.json.decode(await self._depth(symbol, DEPTH_LIMIT, Urgency.BOOK))
        return snapshot

    async def book(self, ask: BookAsk) -> BookSnapshot:
        """The best levels of each side."""
        found = _decoded(_DEPTH, await self._depth(ask.symbol, ask.levels, ask.urgency), "depth")
        return BookSnapshot(ask.symbol, found.lastUpdateId, found.bids, found.asks, found.E)

    async def _depth(self, symbol: str, levels: int, urgency: Urgency) -> bytes:
        weight = _step(self._weights.depth, levels)
        return await self._client.get(
            f"{self._prefix}/depth", weight=weight, urgency=urgency, symbol=symbol, limit=levels
        )

    # --- trades ---

    async def trades(self, ask: TradesAsk) -> list[Trade]:
        """The trades of these ids that the venue still has, ids rising.

        Ids of aggregates are asked for as such. Ids of single fills spot serves as such too; USD-M does not without a
        key, so there the aggregates answer that lie wholly within the ids, each under its first id.
        """
        if not self._counts_fills:
            return await self._aggregates(ask)
        return await (self._fills(ask) if self._venue == "binance" else self._covering(ask))

    async def _aggregates(self, ask: TradesAsk) -> list[Trade]:
        found: list[Trade] = []
        following = ask.first_id
        while following <= ask.last_id:
            limit = min(PAGE, ask.last_id - following + 1)
            page = await self._page_of_aggregates(ask, fromId=following, limit=limit)
            found += [trade for trade in page if following <= trade.id <= ask.last_id]
            if not page or page[-1].id < following:
                break
            following = page[-1].id + 1
        return found

    async def _covering(self, ask: TradesAsk) -> list[Trade]:
        found: dict[int, Trade] = {}
        start = ask.begin
        while start <= ask.end:
            end = min(ask.end, start + _LONGEST_WINDOW_MS)
            page = await self._page_of_aggregates(ask, startTime=start, endTime=end, limit=PAGE)
            for trade in page:
                if ask.first_id <= trade.first_id and trade.last_id <= ask.last_id:
                    found[trade.first_id] = msgspec.structs.replace(trade, id=trade.first_id)
            is_full = len(page) == PAGE and page[-1].time > start
            start = page[-1].time if is_full else end + 1
        return [found[number] for number in sorted(found)]

    async def _page_of_aggregates(self, ask: TradesAsk, **params: int) -> list[AggregateTrade]:
        path = f"{self._prefix}/aggTrades"
        body = await self._client.get(
            path, weight=self._weights.aggregates, urgency=ask.urgency, symbol=ask.symbol, **params
        )
        return [
            AggregateTrade(
                symbol=ask.symbol, id=row.a, time=row.T, price=row.p, quantity=row.q, buyer_is_maker=row.m,
                event_time=row.T, first_id=row.f, last_id=row.l,
            )
            for row in _decoded(_AGGREGATES, body, path)
        ]  # fmt: skip

    async def _fills(self, ask: TradesAsk) -> list[Trade]:
        path = f"{self._prefix}/historicalTrades"
        found: list[Trade] = []
        following = ask.first_id
        while following <= ask.last_id:
            limit = min(PAGE, ask.last_id - following + 1)
            body = await self._client.get(
                path, weight=self._weights.fills, urgency=ask.urgency, symbol=ask.symbol, fromId=following, limit=limit
            )
            page = _decoded(_FILLS, body, path)
            found += [
                Trade(ask.symbol, row.id, row.time, row.price, row.qty, row.isBuyerMaker, row.time)
                for row in page
                if following <= row.id <= ask.last_id
            ]
            if not page or page[-1].id < following:
                break
            following = page[-1].id + 1
        return found

    # --- klines ---

    async def klines(self, ask: KlinesAsk) -> list[Kline]:
        """The klines that open in the span. A kline is closed when the venue has begun a later one."""
        length = timeframe_ms(ask.timeframe)
        found: list[Kline] = []
        start, end = ask.start, ask.end + length  # one more, for it says that the last one is closed
        path = f"{self._prefix}/klines"
        while start <= end:
            limit = min(PAGE, (end - start) // length + 1)
            params: dict[str, str | int] = {"symbol": ask.symbol, "interval": ask.timeframe, "limit": limit}
            body = await self._client.get(
                path, weight=_step(self._weights.klines, limit), urgency=ask.urgency, **params, startTime=start,
                endTime=end,
            )  # fmt: skip
            rows = _decoded(_KLINES, body, path)
            found += [_kline(ask, row) for row in rows]
            if len(rows) < limit:
                break
            start = rows[-1][0] + length
        last = found[-1].open_time if found else 0
        wanted = found[: bisect_left(found, ask.end + 1, key=lambda kline: kline.open_time)]
        return [msgspec.structs.replace(kline, is_closed=kline.open_time < last) for kline in wanted]


def _kline(ask: KlinesAsk, row: _KlineRow) -> Kline:
    opened, first, high, low, close, volume, closed, quote_volume, trades, taker_volume, taker_quote_volume, _ = row
    return Kline(
        symbol=ask.symbol, timeframe=ask.timeframe, event_time=closed, open_time=opened, open=first, high=high, low=low,
        close=close, volume=volume, quote_volume=quote_volume, trades=trades, taker_buy_volume=taker_volume,
        taker_buy_quote_volume=taker_quote_volume, first_id=-1, last_id=-1, is_closed=False,
    )  # fmt: skip


def _decoded(decoder: msgspec.json.Decoder[T], body: bytes, path: str) -> T:
    try:
        return decoder.decode(body)
    except msgspec.MsgspecError as error:
        raise VenueError(f"{path}: the answer is not what it should be: {error}", status=BAD_REQUEST) from error


def _step(steps: tuple[tuple[int, int], ...], rows: int) -> int:
    return next((weight for most, weight in steps if rows <= most), steps[-1][1])
