"""What the market data asks of Binance, against the replay exchange."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any

import pytest

from flows.model import DAY_MS, AggregateTrade, ListedInstrument
from flows.queries import BookQuery, DisputedTradesQuery, KlinesQuery, PastTradesQuery, QueryError, TradesQuery
from flows.settings import Books, Feed, Rest
from sources.binance.paging import MOST_TRADES
from sources.binance.rest import BinanceRest
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.market.playback import Playback
from sources.rest.client import VenueError
from tests.fakes.recordings import recording
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket
from tests.fakes.tapes import market_of

SPOT, USDM = "binance-spot-2024-08-08", "binance-usdm-2024-08-08"


@cache
def played_market(folder: str, kind: Any) -> Playback:
    """The market of a recording at midnight, which many exchanges may serve: it does not play again."""
    market = market_of(sorted(recording(folder).glob("*_20240808.gz")), kind=kind)
    assert list(market.play(lambda _: False)) == []
    return market


@asynccontextmanager
async def played(
    folder: str = SPOT, kind: Any = "spot", **feed: Any
) -> AsyncIterator[tuple[BinanceRest, ReplayExchange]]:
    """An exchange that has played a recording to midnight, and a client of it."""
    async with running_exchange(played_market(folder, kind), start_now=True) as exchange:
        await exchange.finished.wait()
        settings = Feed(origin="replay", rest_url=exchange.rest_url, **feed)
        async with BinanceRest.of(settings, Rest()) as rest:
            yield rest, exchange


class Rows(ScriptedMarket):
    """A market whose aggregates are given, and cover one fill each."""

    def __init__(self, rows: list[dict[str, Any]], **market: Any) -> None:
        super().__init__(**market)
        self._rows = rows

    def agg_trades(
        self, symbol: str, *, from_id: int | None, start_ms: int | None, end_ms: int | None, limit: int
    ) -> list[dict[str, Any]]:
        return [
            row
            for row in self._rows
            if (from_id is None or row["a"] >= from_id)
            and (start_ms is None or row["T"] >= start_ms)
            and (end_ms is None or row["T"] <= end_ms)
        ][:limit]


def row(number: int, time: int, **changes: Any) -> dict[str, Any]:
    return {"a": number, "p": "1.5", "q": "2", "f": number, "l": number, "T": time, "m": True} | changes


@asynccontextmanager
async def scripted(market: ScriptedMarket, **feed: Any) -> AsyncIterator[tuple[BinanceRest, ReplayExchange]]:
    """An exchange whose answers the test has written."""
    async with (
        running_exchange(market) as exchange,
        BinanceRest.of(Feed(origin="replay", rest_url=exchange.rest_url, **feed), Rest()) as rest,
    ):
        yield rest, exchange


USDM_FILLS = {"venue": "binance-usdm", "streams": ("trade",)}


def span(first: int, last: int, begin: int = 0, end: int = 0) -> TradesQuery:
    return TradesQuery("BTCUSDT", first, last, begin, end)


@pytest.mark.slow
async def test_aggregates_by_id_over_several_pages() -> None:
    async with played() as (rest, exchange):
        [newest] = exchange.market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=1)
        first, last = newest["a"] - 2_500, newest["a"] - 3
        trades = await rest.trades(span(first, last))
        assert [trade.id for trade in trades] == list(range(first, last + 1))
        [told] = exchange.market.agg_trades("BTCUSDT", from_id=first, start_ms=None, end_ms=None, limit=1)
        assert trades[0] == AggregateTrade(
            symbol="BTCUSDT", id=first, time=told["T"], price=float(told["p"]), quantity=float(told["q"]),
            buyer_is_maker=told["m"], event_time=told["T"], first_id=told["f"], last_id=told["l"],
        )  # fmt: skip
        beyond = await rest.trades(span(newest["a"], newest["a"] + 10))
        assert [trade.id for trade in beyond] == [newest["a"]]


@pytest.mark.slow
async def test_single_fills_by_id_on_spot() -> None:
    async with played(streams=("trade",)) as (rest, exchange):
        newest = exchange.market.trades("BTCUSDT", from_id=None, limit=1)[0]["id"]
        trades = await rest.trades(span(newest - 1_500, newest))
        assert [trade.id for trade in trades] == list(range(newest - 1_500, newest + 1))
        assert not isinstance(trades[0], AggregateTrade)


@pytest.mark.slow
async def test_single_fills_by_the_aggregates_that_cover_them_on_usdm() -> None:
    async with played(USDM, "usdm", venue="binance-usdm", streams=("trade",)) as (rest, exchange):
        rows = exchange.market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=50)
        first, last = rows[10]["f"], rows[40]["l"]
        trades = await rest.trades(span(first, last, rows[9]["T"], rows[41]["T"]))
        assert [(trade.id, trade.last_id) for trade in trades] == [(row["f"], row["l"]) for row in rows[10:41]]


@pytest.mark.slow
async def test_disputed_trades_come_in_the_form_of_their_stream() -> None:
    async with played() as (rest, exchange):
        rows = exchange.market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=50)
        times = rows[10]["T"], rows[40]["T"]
        query = DisputedTradesQuery("BTCUSDT", rows[10]["f"], rows[40]["l"], *times)
        trades = await rest.disputed_trades(query)
        assert [(trade.id, trade.price) for trade in trades] == [(row["a"], float(row["p"])) for row in rows[10:41]]
    async with played(USDM, "usdm", venue="binance-usdm", streams=("trade",)) as (rest, _):
        with pytest.raises(QueryError):
            await rest.disputed_trades(query)


def of_fills(number: int, time: int) -> dict[str, Any]:
    """An aggregate of three fills."""
    return row(number, time, f=3 * number, l=3 * number + 2)


MINUTE = 60_000
EDGES = [of_fills(n, BEGIN_MS + 10 * MINUTE + (n - 20) * 2_000) for n in range(80)]
"""The twentieth aggregate begins a minute, the fiftieth the next one."""
EDGE_MS = BEGIN_MS + 10 * MINUTE


@pytest.mark.parametrize(("first", "last"), [(20, 49), (17, 49), (20, 52), (17, 52), (0, 79), (10, 12), (60, 61)])
async def test_disputed_trades_are_those_of_the_ids_whatever_their_times(first: int, last: int) -> None:
    async with scripted(Rows(EDGES)) as (rest, _):
        query = DisputedTradesQuery("BTCUSDT", 3 * first, 3 * last + 2, EDGE_MS, EDGE_MS + MINUTE - 1)
        trades = await rest.disputed_trades(query)
    assert [(trade.id, trade.time) for trade in trades] == [(one["a"], one["T"]) for one in EDGES[first : last + 1]]


@pytest.mark.parametrize("away_ms", [-20 * MINUTE, 20 * MINUTE])
async def test_disputed_trades_are_found_where_none_was_made_in_the_period(away_ms: int) -> None:
    async with scripted(Rows(EDGES)) as (rest, _):
        begin = EDGE_MS + away_ms
        trades = await rest.disputed_trades(DisputedTradesQuery("BTCUSDT", 90, 98, begin, begin + MINUTE - 1))
    assert [trade.id for trade in trades] == [30, 31, 32]


@pytest.mark.slow
async def test_klines_of_a_span_closed_when_a_later_one_has_begun() -> None:
    async with played() as (rest, exchange):
        rows = exchange.market.klines("BTCUSDT", "1m", start_ms=None, end_ms=None, limit=5)
        query = KlinesQuery("BTCUSDT", "1m", rows[0][0], rows[-1][0])
        klines = await rest.klines(query)
        assert [kline.is_closed for kline in klines] == [True] * 4 + [False]
        assert [(k.open_time, k.open, k.volume, k.trades, k.taker_buy_quote_volume) for k in klines] == [
            (row[0], float(row[1]), float(row[5]), row[8], float(row[10])) for row in rows
        ]
        shorter = KlinesQuery("BTCUSDT", "1m", rows[0][0], rows[-2][0])
        assert [kline.is_closed for kline in await rest.klines(shorter)] == [True] * 4


@pytest.mark.slow
async def test_a_book_and_the_instruments() -> None:
    async with played() as (rest, exchange):
        book = await rest.book(BookQuery("BTCUSDT", 5))
        told = exchange.market.depth("BTCUSDT", 5)
        assert told is not None
        assert book.last_update_id == told["lastUpdateId"]
        assert book.bids == [(float(price), float(quantity)) for price, quantity in told["bids"]]
        assert await rest.instruments() == [
            ListedInstrument("binance", "BTCUSDT", "TRADING", "BTC", "USDT", 2, 5),
            ListedInstrument("binance", "ETHUSDT", "TRADING", "ETH", "USDT", 2, 4),
        ]


@pytest.mark.slow
async def test_the_venues_own_time() -> None:
    async with played() as (rest, exchange):
        assert await rest.time() == exchange.market.now_ms


@pytest.mark.slow
async def test_the_first_trades_of_a_time_and_nothing_where_nothing_was_traded() -> None:
    async with played() as (rest, exchange):
        every = exchange.market.agg_trades("BTCUSDT", from_id=0, start_ms=None, end_ms=None, limit=1_000)
        begin = every[500]["T"]
        [first, *_] = await rest.first_trades(PastTradesQuery("BTCUSDT", 0, 1 << 62, begin, begin + DAY_MS))
        assert first.id == next(row["a"] for row in every if row["T"] >= begin)
        before = every[0]["T"] - 1
        assert await rest.first_trades(PastTradesQuery("BTCUSDT", 0, 1 << 62, before - DAY_MS, before)) == []


@pytest.mark.slow
async def test_requests_cost_what_the_venue_counts(stopped_clock_s: int) -> None:
    async with played() as (rest, exchange):
        for levels in (100, 500, 1_000, 5_000):
            await rest.book(BookQuery("BTCUSDT", levels))
        await rest.instruments()
        assert rest.rate_limit.used == exchange.used_weight(stopped_clock_s) == 5 + 25 + 50 + 250 + 20


async def test_a_moment_with_more_aggregates_than_a_page_is_fetched_whole() -> None:
    rows = [row(number, BEGIN_MS if number < 1_500 else BEGIN_MS + 1_000) for number in range(2_000)]
    async with scripted(Rows(rows, kind="usdm"), **USDM_FILLS) as (rest, _):
        trades = await rest.trades(span(100, 1_899, BEGIN_MS, BEGIN_MS + 2_000))
    assert [trade.id for trade in trades] == list(range(100, 1_900))


class TradingOn(Rows):
    """A market in which a trade is made between any two requests."""

    def agg_trades(self, symbol: str, **span: Any) -> list[dict[str, Any]]:
        found = super().agg_trades(symbol, **span)
        newest = self._rows[-1]
        self._rows.append(row(newest["a"] + 1, newest["T"] + 1))
        self.requests = getattr(self, "requests", 0) + 1
        return found


@pytest.mark.parametrize(("kind", "feed"), [("spot", {}), ("usdm", USDM_FILLS)])
async def test_trades_that_are_made_meanwhile_are_not_run_after(kind: Any, feed: dict[str, Any]) -> None:
    market = TradingOn([row(number, BEGIN_MS + number) for number in range(1_500)], kind=kind)
    async with scripted(market, **feed) as (rest, _):
        trades = await rest.trades(span(0, 9_999, BEGIN_MS, BEGIN_MS + 3_600_000))
    assert [trade.id for trade in trades] == list(range(1_501))
    assert market.requests == 2


async def test_the_first_aggregate_may_be_hours_behind_the_begin_of_the_hole() -> None:
    late = BEGIN_MS + 5 * 3_600_000
    async with scripted(Rows([row(7, late), row(8, late + 1)], kind="usdm"), **USDM_FILLS) as (rest, _):
        trades = await rest.trades(span(7, 7, BEGIN_MS, late + 1))
    assert [trade.id for trade in trades] == [7]


async def test_what_usdm_no_longer_has_is_no_error_and_costs_a_bounded_weight(stopped_clock_s: int) -> None:
    async with scripted(Rows([row(9_000, BEGIN_MS)], kind="usdm"), venue="binance-usdm") as (rest, _):
        assert await rest.trades(span(10, 20, 0, 0)) == []
    async with scripted(Rows([], kind="usdm"), **USDM_FILLS) as (rest, exchange):
        week_ms = 7 * 86_400_000
        assert await rest.trades(span(10, 20, BEGIN_MS - week_ms, BEGIN_MS)) == []
        assert rest.rate_limit.used == exchange.used_weight(stopped_clock_s) == 49 * 20


@pytest.mark.parametrize("feed", [{}, {"streams": ("trade",)}, USDM_FILLS])
async def test_an_answer_holds_the_first_of_what_is_asked(feed: dict[str, Any]) -> None:
    rows = [row(number, BEGIN_MS + number) for number in range(MOST_TRADES + 2_000)]

    class Market(Rows):
        def trades(self, symbol: str, *, from_id: int | None, limit: int) -> list[dict[str, Any]]:
            first = from_id or 0
            return [
                {"id": first + n, "price": "1.5", "qty": "2", "time": BEGIN_MS, "isBuyerMaker": True}
                for n in range(limit)
            ]

    kind = "usdm" if "venue" in feed else "spot"
    async with scripted(Market(rows, kind=kind), **feed) as (rest, _):
        trades = await rest.trades(span(5, MOST_TRADES + 1_000, BEGIN_MS, BEGIN_MS + len(rows)))
    assert [trade.id for trade in trades] == list(range(5, 5 + MOST_TRADES))


@pytest.mark.parametrize("wrong", [{"p": "nan"}, {"p": "0"}, {"q": "-1"}, {"T": 5}, {"l": None}])
async def test_an_impossible_row_is_refused_and_may_be_better_next_time(wrong: dict[str, Any]) -> None:
    async with scripted(Rows([row(1, BEGIN_MS, **wrong)])) as (rest, _):
        with pytest.raises(VenueError, match="not what it should be") as caught:
            await rest.trades(span(1, 1))
    assert caught.value.status == 200


async def test_usdm_books_come_in_the_sizes_that_it_serves(stopped_clock_s: int) -> None:
    async with scripted(ScriptedMarket(kind="usdm"), venue="binance-usdm") as (rest, exchange):
        sizes = [len((await rest.book(BookQuery("BTCUSDT", levels))).bids) for levels in (1, 30, 101, 1_000, 5_000)]
        assert sizes == [5, 50, 500, 1_000, 1_000]
        assert rest.rate_limit.used == exchange.used_weight(stopped_clock_s) == 2 + 2 + 10 + 20 + 20


@pytest.mark.slow
@pytest.mark.parametrize(("venue", "kind"), [("binance", "spot"), ("binance-usdm", "usdm")])
async def test_two_hundred_books_come_up_within_one_minute_of_the_real_weights(
    venue: Any, kind: Any, stopped_clock_s: int
) -> None:
    """Although the last day of two hundred symbols was asked for before them, which alone is more on USD-M."""
    day = KlinesQuery("BTCUSDT", "1m", BEGIN_MS - DAY_MS, BEGIN_MS)
    first = BookQuery("BTCUSDT", Books().first_depth)
    async with scripted(ScriptedMarket(kind=kind), venue=venue) as (rest, exchange):
        days = [asyncio.create_task(rest.klines(day)) for _ in range(200)]
        await asyncio.sleep(0)
        books = await asyncio.gather(*(rest.book(first) for _ in range(200)))
        used = exchange.used_weight(stopped_clock_s)
        for task in days:
            task.cancel()
        await asyncio.gather(*days, return_exceptions=True)
    assert {(len(book.bids), len(book.asks)) for book in books} == {(100, 100)}
    assert used <= exchange.limits.weight_per_minute  # what is refused counts too, so nothing was
