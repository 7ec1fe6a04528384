"""The queries to Coinbase's REST interface, against a server that answers as it does."""

import json
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web

from flows.model import Kline, ListedInstrument, Trade
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.settings import Feed, Rest
from sources.coinbase.rest import MOST_TRADES, SETTLED_MS, CoinbaseRest
from sources.rest.client import VenueError
from tests.fakes.coinbase import rest_book

BEGIN = 1_767_225_600_000
MINUTE = 60_000
FIRST, LAST = 1_000, 13_500
"""Ids that the venue has; one each second."""


def iso(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat().replace("+00:00", "Z")


def time_of(number: int) -> int:
    return BEGIN + (number - FIRST) * 1_000


class Server:
    """A venue with one product. `rows` are its candles of a minute by begin in seconds; `change` alters an answer."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.first, self.last = FIRST, LAST
        self.time = BEGIN + 100 * MINUTE
        self.rows: dict[int, list[Any]] = {}
        self.change: Callable[[Any], Any] = lambda answer: answer

    async def answer(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.asked.append((request.path, query))
        if not request.path.startswith(("/products", "/time")):
            return web.json_response({"message": "NotFound"}, status=404)
        answers = {"trades": self.trades, "candles": self.candles, "book": self.book}
        answer = answers.get(request.path.rpartition("/")[2], self.plain)(request.path, query)
        return web.json_response(self.change(answer))

    def plain(self, path: str, _: dict[str, str]) -> Any:
        if path == "/time":
            return {"iso": iso(self.time), "epoch": self.time / 1_000}
        return PRODUCTS

    def trades(self, _: str, query: dict[str, str]) -> Any:
        before = min(int(query.get("after", self.last + 1)), self.last + 1)
        ids = range(before - 1, max(self.first, before - int(query["limit"])) - 1, -1)
        return [
            {"trade_id": n, "side": "sell" if n % 2 else "buy", "size": "0.5", "price": "7.25", "time": iso(time_of(n))}
            for n in ids
        ]

    def candles(self, _: str, query: dict[str, str]) -> Any:
        length = int(query["granularity"])
        start, end = (int(datetime.fromisoformat(query[name]).timestamp()) for name in ("start", "end"))
        assert (end - start) // length < 300
        return [[at, *self.rows[at]] for at in sorted(self.rows, reverse=True) if start <= at <= end]

    def book(self, _: str, __: dict[str, str]) -> Any:
        return json.loads(rest_book())


PRODUCTS = [
    {
        "id": "BTC-USD",
        "status": "online",
        "trading_disabled": False,
        "base_currency": "BTC",
        "quote_currency": "USD",
        "quote_increment": "0.01",
        "base_increment": "0.00000001",
    },
    {"id": "A-USD", "status": "delisted", "trading_disabled": True},
    {"id": "B-USD", "status": "online", "trading_disabled": True},
    {"id": "C-USD", "status": "online", "cancel_only": True},
    {"id": "D-USD", "status": "online", "post_only": True},
]


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Server, CoinbaseRest]]:
    server, app = Server(), web.Application()
    app.router.add_get("/{path:.*}", server.answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    settings = Feed(venue="coinbase", origin="replay", rest_url=f"http://127.0.0.1:{port}")
    try:
        async with CoinbaseRest.of(settings, Rest(tries=1)) as rest:
            yield server, rest
    finally:
        await runner.cleanup()


def trades_from(first: int, last: int) -> TradesQuery:
    return TradesQuery("BTC-USD", first, last, BEGIN, BEGIN)


def trade(number: int) -> Trade:
    return Trade("BTC-USD", number, time_of(number), 7.25, 0.5, number % 2 == 0, time_of(number))


async def test_a_hole_is_filled_with_exactly_its_trades() -> None:
    async with served() as (server, rest):
        assert await rest.trades(trades_from(5_001, 5_003)) == [trade(5_001), trade(5_002), trade(5_003)]
        assert server.asked == [("/products/BTC-USD/trades", {"limit": "3", "after": "5004"})]


async def test_a_long_hole_takes_several_pages_from_its_end_down() -> None:
    async with served() as (server, rest):
        query = DisputedTradesQuery("BTC-USD", 2_000, 4_499, BEGIN, BEGIN)
        found = await rest.disputed_trades(query)
        assert found == [trade(number) for number in range(2_000, 4_500)]
        assert [(q["after"], q["limit"]) for _, q in server.asked] == [
            ("4500", "1000"),
            ("3500", "1000"),
            ("2500", "500"),
        ]


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (LAST - 1, LAST + 500, range(LAST - 1, LAST + 1)),
        (LAST + 1, LAST + 500, range(0)),
        (FIRST - 10, FIRST + 1, range(FIRST, FIRST + 2)),
        (FIRST, LAST, range(FIRST, FIRST + MOST_TRADES)),
    ],
)
async def test_what_the_venue_does_not_have_is_left_out(first: int, last: int, found: range) -> None:
    async with served() as (_, rest):
        assert [one.id for one in await rest.trades(trades_from(first, last))] == [*found]


async def test_rows_that_were_not_queried_are_dropped_and_end_the_query() -> None:
    async with served() as (server, rest):
        server.change = lambda rows: [*rows, *rows, rows[0] | {"trade_id": 1}, rows[0] | {"trade_id": 999_999}]
        assert await rest.trades(trades_from(5_001, 5_003)) == [trade(5_001), trade(5_002), trade(5_003)]
        server.change = lambda rows: [row | {"trade_id": 7} for row in rows]
        assert await rest.trades(trades_from(5_001, 9_003)) == []
        assert len(server.asked) == 2


@pytest.mark.parametrize(
    ("begin", "end", "first"),
    [
        (time_of(FIRST) - 9, time_of(LAST), FIRST),
        (time_of(7_777) - 500, time_of(9_999), 7_777),
        (time_of(LAST), time_of(LAST), LAST),
    ],
)
async def test_the_first_trades_of_a_time_are_found_by_their_ids(begin: int, end: int, first: int) -> None:
    async with served() as (_, rest):
        found = await rest.first_trades(PastTradesQuery("BTC-USD", 0, 1 << 62, begin, end))
        assert found[0] == trade(first)
        assert [one.id for one in found] == [*range(first, first + len(found))]
        assert await rest.first_trades(PastTradesQuery("BTC-USD", 0, 1 << 62, time_of(LAST) + 1, end + 10**6)) == []


def stated(found: Kline) -> tuple[Any, ...]:
    assert all(map(math.isnan, (found.quote_volume, found.taker_buy_volume, found.taker_buy_quote_volume)))
    assert (found.trades, found.first_id, found.last_id) == (-1, -1, -1)
    return (found.timeframe, found.open_time, *found.prices, found.volume, found.is_closed)


async def test_candles_rise_have_what_the_venue_states_and_no_empty_ones_are_made_up() -> None:
    async with served() as (server, rest):
        server.rows = {BEGIN // 1_000 + 60 * n: [1 + n, 4 + n, 2 + n, 3 + n, 4.5] for n in range(700) if n % 7}
        server.time = BEGIN + 700 * MINUTE
        found = await rest.klines(KlinesQuery("BTC-USD", "1m", BEGIN, BEGIN + 650 * MINUTE))
        assert [stated(one) for one in found] == [
            ("1m", BEGIN + n * MINUTE, 2 + n, 4 + n, 1 + n, 3 + n, 4.5, True) for n in range(651) if n % 7
        ]
        assert [path for path, _ in server.asked] == ["/products/BTC-USD/candles"] * 3 + ["/time"]


@pytest.mark.parametrize(("later_ms", "closed"), [(SETTLED_MS, False), (SETTLED_MS + 1, True)])
async def test_the_last_candle_is_closed_when_the_venues_time_says_so(later_ms: int, closed: bool) -> None:
    async with served() as (server, rest):
        figures = [1.0, 3.0, 2.0, 2.5, 4.0]
        server.rows = {BEGIN // 1_000: figures, BEGIN // 1_000 + 60: figures}
        server.time = BEGIN + 2 * MINUTE - 1 + later_ms
        found = await rest.klines(KlinesQuery("BTC-USD", "1m", BEGIN, BEGIN + MINUTE))
        assert [one.is_closed for one in found] == [True, closed]
        assert server.asked[-1][0] == "/time"


async def test_four_hours_are_made_of_single_ones() -> None:
    async with served() as (server, rest):
        hour = 3_600
        begin = BEGIN // 1_000
        server.rows = {
            begin: [5.0, 8.0, 6.0, 7.0, 0.1],
            begin + 2 * hour: [4.0, 7.5, 7.0, 5.0, 0.2],
            begin + 4 * hour: [5.0, 5.0, 5.0, 5.0, 1.0],
        }
        found = await rest.klines(KlinesQuery("BTC-USD", "4h", BEGIN, BEGIN))
        assert [stated(one) for one in found] == [("4h", BEGIN, 6.0, 8.0, 4.0, 5.0, math.fsum((0.1, 0.2)), True)]
        assert server.asked[0][1]["granularity"] == "3600"
        with pytest.raises(QueryError, match="no candles of 1s"):
            await rest.klines(KlinesQuery("BTC-USD", "1s", BEGIN, BEGIN))


async def test_a_candle_that_cannot_be_is_left_out() -> None:
    async with served() as (server, rest):
        server.rows = {BEGIN // 1_000: [3.0, 1.0, 2.0, 2.0, 4.0], BEGIN // 1_000 + 60: [1.0, 3.0, 2.0, 2.0, 4.0]}
        assert [one.open_time for one in await rest.klines(KlinesQuery("BTC-USD", "1m", BEGIN, BEGIN + MINUTE))] == [
            BEGIN + MINUTE
        ]


async def test_instruments_and_time() -> None:
    async with served() as (server, rest):
        assert await rest.instruments() == [
            ListedInstrument("coinbase", "BTC-USD", "TRADING", "BTC", "USD", 2, 8),
            ListedInstrument("coinbase", "A-USD", "DELISTED"),
            ListedInstrument("coinbase", "B-USD", "TRADING_DISABLED"),
            ListedInstrument("coinbase", "C-USD", "CANCEL_ONLY"),
            ListedInstrument("coinbase", "D-USD", "POST_ONLY"),
        ]
        assert await rest.time() == server.time


async def test_the_recorded_book_is_served_best_first() -> None:
    plain = json.loads(rest_book())
    async with served() as (_, rest):
        book = await rest.book(BookQuery("BTC-USD", 500))
        assert book.bids == [(float(price), float(size)) for price, size, _ in plain["bids"][:500]]
        assert book.asks == [(float(price), float(size)) for price, size, _ in plain["asks"][:500]]
        assert (book.event_time, book.last_update_id) == (1783467384683, 1783467384683210)
        assert await rest.recorded_book("BTC-USD") == ("/products/BTC-USD/book?level=2", plain)


async def test_an_answer_that_is_none_is_an_error_with_the_venues_words() -> None:
    async with served() as (server, rest):
        server.change = lambda _: {"surprise": 1}
        with pytest.raises(VenueError, match="the answer is not what it should be"):
            await rest.trades(trades_from(5_001, 5_003))
        with pytest.raises(VenueError, match='404, the exchange says: "NotFound"'):
            await rest.trades(TradesQuery("../nowhere", 1, 3, BEGIN, BEGIN))


@pytest.mark.parametrize(("origin", "url"), [("live", "https://api.exchange.coinbase.com"), ("replay", "")])
async def test_addresses(origin: Any, url: str) -> None:
    if url:
        async with CoinbaseRest.of(Feed(venue="coinbase", origin=origin), Rest()) as rest:
            assert rest._client.base_url == url
    else:
        with pytest.raises(ValueError, match=r"set feed\.rest_url"):
            CoinbaseRest.of(Feed(venue="coinbase", origin=origin), Rest())
