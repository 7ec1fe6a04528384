"""The queries of market data to Kraken's REST interface (https://docs.kraken.com/api/docs/rest-api/get-ohlc-data).

Every body is `{"error":[…],"result":{…}}`, whatever the HTTP status.
"""

from collections.abc import Sequence
from typing import Final, Literal, Self

import msgspec
from msgspec import Struct

from flows.foreign import quoted
from flows.model import BookSnapshot, Kline, Level, ListedInstrument, Trade, timeframe_ms
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, PastTradesQuery, QueryError, TradesQuery, Urgency
from sources.kraken.instruments import TRADING, status_of
from sources.kraken.klines import stated
from sources.kraken.names import INTERVALS, rest_pair, symbol_of_wsname
from sources.kraken.parse import VENUE
from sources.kraken.rules import RULES
from sources.kraken.wire import Id, Price, Quantity, QuantityOrZero
from sources.rest.answers import ANSWERED, decoded, plausible, plausible_klines, rising
from sources.rest.client import RestClient, RestSettings, VenueError
from sources.rest.listing import listed
from sources.rest.queries import RestQueries
from sources.venue import FeedSettings, address_of

_REST_URLS: Final = {"live": "https://api.kraken.com"}
_REQUESTS_PER_MINUTE: Final = 60
"""One a second, by address; more is refused."""
PAGE: Final = 1_000
"""Most trades of an answer."""
MOST_TRADES: Final = 10_000
"""Most trades in the answer to one query; for more the caller queries the rest."""
MOST_PAGES: Final = 12
"""Most requests of one query for trades, whatever the answers say."""
DEPTH_LIMIT: Final = 500
"""Most levels a side."""
_EARLIER_MS: Final = (0, 60_000, 3_600_000)
"""How far before its time the trades of a query are looked for: ids decide."""
_TOO_MANY: Final = 429
_UNAVAILABLE: Final = 503
_MOST_NS_DIGITS: Final = 20
_PENALTY_S: Final = 10.0
"""Wait after a refusal for too many requests; the venue names none."""


_TradeRow = tuple[Price, Quantity, msgspec.Raw, Literal["b", "s"], str, str, Id]
"""Price, quantity, time in seconds with seven decimals, side of the taker, kind of order, free text, id."""
_KlineRow = tuple[Id, Price, Price, Price, Price, str, QuantityOrZero, Id]
"""Begin in seconds, open, high, low, close, average price, volume, count."""
_LevelRow = tuple[Price, QuantityOrZero, msgspec.Raw]


class _Pair(Struct, frozen=True):
    wsname: str = ""
    status: str = "online"
    pair_decimals: object = None
    lot_decimals: object = None


class _Time(Struct, frozen=True):
    unixtime: int


class _System(Struct, frozen=True):
    status: str


class _Depth(Struct, frozen=True):
    bids: list[_LevelRow]
    asks: list[_LevelRow]


class _Errors(Struct, frozen=True):
    error: list[str]


class _TimeAnswer(Struct, frozen=True):
    result: _Time


class _SystemAnswer(Struct, frozen=True):
    result: _System


class _PairsAnswer(Struct, frozen=True):
    result: dict[str, _Pair]


class _DepthAnswer(Struct, frozen=True):
    result: dict[str, _Depth]


class _RowsAnswer(Struct, frozen=True):
    """Rows by the name of the pair, and `last` beside them."""

    result: dict[str, msgspec.Raw]


_ERRORS = msgspec.json.Decoder(_Errors)
_TIME = msgspec.json.Decoder(_TimeAnswer)
_SYSTEM = msgspec.json.Decoder(_SystemAnswer)
_PAIRS = msgspec.json.Decoder(_PairsAnswer)
_DEPTH = msgspec.json.Decoder(_DepthAnswer, strict=False)
_ROWS = msgspec.json.Decoder(_RowsAnswer)
_TRADES = msgspec.json.Decoder(list[_TradeRow], strict=False)
_KLINES = msgspec.json.Decoder(list[_KlineRow], strict=False)


def rest_url(settings: FeedSettings) -> str:
    """Address of the REST interface; `ValueError` when none is set and the origin has no default."""
    return address_of(settings, "rest_url", _REST_URLS.get(settings.origin))


class KrakenRefusalError(VenueError):
    """An answer that is an error; `error` is the venue's own text."""

    def __init__(self, error: str, *, status: int, retry_after_s: float | None = None) -> None:
        super().__init__(f"the answer is an error: {quoted(error)}", status=status, retry_after_s=retry_after_s)
        self.error = error


def refusal_in(body: bytes) -> VenueError | None:
    """The error that an answer names; None when it names none."""
    try:
        errors = _ERRORS.decode(body).error
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None  # who reads the result refuses it
    if not errors:
        return None
    text = errors[0]
    if "Rate limit" in text or "Throttled" in text or "Too many requests" in text:
        return KrakenRefusalError(text, status=_TOO_MANY, retry_after_s=_PENALTY_S)
    return KrakenRefusalError(text, status=_UNAVAILABLE if text.startswith("EService") else ANSWERED)


class KrakenRest(RestQueries):
    """The REST queries of market data. Every method raises `VenueError`."""

    @classmethod
    def of(cls, feed: FeedSettings, rest: RestSettings) -> Self:
        """The client for the settings; use it with `async with`. `ProxyError` as of `RestClient`."""
        client = RestClient(
            rest_url(feed),
            settings=rest,
            weight_per_minute=_REQUESTS_PER_MINUTE,
            window_s=1.0,
            refusal_in=refusal_in,
        )
        return cls(client)

    async def time(self) -> int:
        """The venue's own time, ms UTC: it says whole seconds, so the middle of one."""
        path = "/0/public/Time"
        return decoded(_TIME, await self._client.get(path), path).result.unixtime * 1_000 + 500

    # --- instruments and books ---

    async def instruments(self) -> list[ListedInstrument]:
        """All instruments, whose status is `TRADING` where trades are made, and else the venue's word in capitals; that
        of the whole exchange where it does not trade.
        """
        path = "/0/public/SystemStatus"
        system = decoded(_SYSTEM, await self._client.get(path), path).result.status
        path = "/0/public/AssetPairs"
        pairs = decoded(_PAIRS, await self._client.get(path), path).result.values()
        is_open = status_of(system) == TRADING
        return [_listed(pair, pair.status if is_open else system) for pair in pairs if pair.wsname]

    async def pair_names(self) -> dict[str, str]:
        """The symbols of all pairs by the names that answers have for them."""
        path = "/0/public/AssetPairs"
        pairs = decoded(_PAIRS, await self._client.get(path), path).result
        return {name: symbol_of_wsname(pair.wsname) for name, pair in pairs.items() if pair.wsname}

    async def book(self, query: BookQuery) -> BookSnapshot:
        """The best levels of each side, up to 500; without an id."""
        body = await self._depth(query.symbol, min(query.levels, DEPTH_LIMIT), query.urgency)
        found = next(iter(decoded(_DEPTH, body, "Depth").result.values()), None)
        if found is None:
            raise VenueError("Depth: the answer has no book", status=ANSWERED)
        return plausible(BookSnapshot(query.symbol, 0, _levels(found.bids), _levels(found.asks)), "Depth")

    async def recorded_book(self, symbol: str) -> tuple[str, bytes]:
        """Path and query of a request for a book, and the venue's answer, JSON: as tapes hold them."""
        path = f"/0/public/Depth?pair={rest_pair(symbol)}&count={DEPTH_LIMIT}"
        return path, await self._depth(symbol, DEPTH_LIMIT, Urgency.BOOK)

    async def _depth(self, symbol: str, levels: int, urgency: Urgency) -> bytes:
        return await self._client.get("/0/public/Depth", urgency=urgency, pair=rest_pair(symbol), count=levels)

    # --- trades ---

    async def trades(self, query: TradesQuery) -> list[Trade]:
        """The first `MOST_TRADES` trades of these ids, ids rising. They are served by time, so the pages begin at that
        of the trade before, and earlier where that one's time is not true.
        """
        found: list[Trade] = []
        for earlier_ms in _EARLIER_MS:
            rows, is_behind = await self._trades_since(query, max(0, query.begin - earlier_ms))
            found = rows or found
            if not is_behind:
                break
        return found

    async def disputed_trades(self, query: DisputedTradesQuery) -> list[Trade]:
        """The trades of a candle, whatever their times."""
        return await self.trades(query)

    async def first_trades(self, query: PastTradesQuery) -> Sequence[Trade]:
        """The first page of trades in the query's time; empty when there were none."""
        page, _ = await self._page(query, query.begin * 1_000_000)
        return [trade for trade in page if query.begin <= trade.time <= query.end]

    async def _trades_since(self, query: TradesQuery, begin: int) -> tuple[list[Trade], bool]:
        """The trades of these ids from a time on, and whether the first one is behind the first id."""
        found: list[Trade] = []
        following, last = query.first_id, min(query.last_id, query.first_id + MOST_TRADES - 1)
        since, is_behind = begin * 1_000_000, False
        for number in range(MOST_PAGES):
            page, newest = await self._page(query, since)
            if number == 0:
                is_behind = bool(page) and page[0].id > following
            new = rising(page, _id_of, following, last)
            found += new
            if new:
                following = new[-1].id + 1
            if following > last or len(page) < PAGE or page[-1].id >= last:
                break
            since = max(newest, since + 1)  # the first row of a page is the last one of the page before
        return found, is_behind

    async def _page(self, query: TradesQuery, since: int) -> tuple[list[Trade], int]:
        """The trades from a time on, that included, in nanoseconds; and the time from which the next page goes on."""
        path = "/0/public/Trades"
        pair = rest_pair(query.symbol)
        body = await self._client.get(path, urgency=query.urgency, pair=pair, since=str(since), count=PAGE)
        result = decoded(_ROWS, body, path).result
        last = bytes(result.pop("last", b"")).decode().strip('"')
        rows = decoded(_TRADES, bytes(next(iter(result.values()), b"[]")), path)
        try:
            trades = [_trade(query.symbol, row) for row in rows]
        except ValueError as error:
            raise VenueError(f"{path}: the answer has a time that is none", status=ANSWERED) from error
        is_number = last.isascii() and last.isdigit() and len(last) < _MOST_NS_DIGITS
        return trades, int(last) if is_number else trades[-1].time * 1_000_000 if trades else since

    # --- klines ---

    async def klines(self, query: KlinesQuery) -> list[Kline]:
        """The klines that open in the span, oldest first; the last 720 of a timeframe are served, and the newest of
        them is running. A period without trades is flat at the close before it.
        """
        minutes = INTERVALS.get(query.timeframe)
        if minutes is None:
            raise QueryError(f"kraken has no klines of {query.timeframe}", lasting=True)
        path = "/0/public/OHLC"
        length = timeframe_ms(query.timeframe)
        since = max(0, query.start - length) // 1_000
        body = await self._client.get(
            path, urgency=query.urgency, pair=rest_pair(query.symbol), interval=minutes, since=since
        )
        result = decoded(_ROWS, body, path).result
        result.pop("last", None)
        rows = decoded(_KLINES, bytes(next(iter(result.values()), b"[]")), path)
        page = rising(rows, _begin_of, 0, 1 << 62)
        newest = page[-1][0] if page else 0
        found = []
        for row in page:
            if query.start <= row[0] * 1_000 <= query.end:
                kline = _kline(query, row, length, path)
                found.append(msgspec.structs.replace(kline, is_closed=row[0] < newest))
        return plausible_klines(found, RULES)


def _kline(query: KlinesQuery, row: _KlineRow, length: int, path: str) -> Kline:
    begin, opened, high, low, closed, average, volume, trades = row
    open_time = begin * 1_000
    try:
        return stated(
            query.symbol,
            query.timeframe,
            open_time,
            (opened, high, low, closed),
            average,
            volume,
            trades,
            event_time=open_time + length - 1,
        )
    except ValueError as error:
        raise VenueError(f"{path}: the answer has an average price that is no number", status=ANSWERED) from error


def _trade(symbol: str, row: _TradeRow) -> Trade:
    price, quantity, seconds, side, _, _, number = row
    whole, _, fraction = bytes(seconds).decode().partition(".")
    time = int(whole) * 1_000 + int((fraction + "000")[:3])
    return Trade(symbol, number, time, price, quantity, side == "s", time)


def _listed(pair: _Pair, status: str) -> ListedInstrument:
    symbol = symbol_of_wsname(pair.wsname)
    base, _, quote = symbol.partition("-")
    return listed(
        VENUE,
        symbol,
        status_of(status),
        base=base,
        quote=quote,
        price_decimals=pair.pair_decimals,
        quantity_decimals=pair.lot_decimals,
    )


def _levels(rows: list[_LevelRow]) -> list[Level]:
    # quantities are cut to three decimals: of what is printed as 0 nothing is known but that it is small
    return [(price, quantity) for price, quantity, _ in rows if quantity]


def _id_of(trade: Trade) -> int:
    return trade.id


def _begin_of(row: _KlineRow) -> int:
    return row[0]
