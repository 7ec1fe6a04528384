"""What the market data asks of Binance, against the replay exchange."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flows.asks import BookAsk, KlinesAsk, TradesAsk
from flows.clock import wall_ms
from flows.model import AggregateTrade
from flows.settings import Feed
from sources.binance.rest import BinanceRest
from sources.replay.exchange import ReplayExchange
from sources.replay.server import running_exchange
from sources.replay.tapes import load_tapes
from tests.fakes.recordings import recording

SPOT, USDM = "binance-spot-2024-08-08", "binance-usdm-2024-08-08"


@asynccontextmanager
async def played(
    folder: str = SPOT, kind: Any = "spot", **feed: Any
) -> AsyncIterator[tuple[BinanceRest, ReplayExchange]]:
    """An exchange that has played a whole recording, and a client of it."""
    market = load_tapes([recording(folder)], kind=kind)
    async with running_exchange(market, start_now=True) as exchange:
        await exchange.finished.wait()
        settings = Feed(origin="replay", rest_url=exchange.rest_url, **feed)
        async with BinanceRest.of(settings) as rest:
            yield rest, exchange


def span(first: int, last: int, begin: int = 0, end: int = 0) -> TradesAsk:
    return TradesAsk("BTCUSDT", first, last, begin, end)


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


async def test_single_fills_by_id_on_spot() -> None:
    async with played(streams=("trade",)) as (rest, exchange):
        newest = exchange.market.trades("BTCUSDT", from_id=None, limit=1)[0]["id"]
        trades = await rest.trades(span(newest - 1_500, newest))
        assert [trade.id for trade in trades] == list(range(newest - 1_500, newest + 1))
        assert not isinstance(trades[0], AggregateTrade)


async def test_single_fills_by_the_aggregates_that_cover_them_on_usdm() -> None:
    async with played(USDM, "usdm", venue="binance-usdm", streams=("trade",)) as (rest, exchange):
        rows = exchange.market.agg_trades("BTCUSDT", from_id=None, start_ms=None, end_ms=None, limit=50)
        first, last = rows[10]["f"], rows[40]["l"]
        trades = await rest.trades(span(first, last, rows[9]["T"], rows[41]["T"]))
        assert [(trade.id, trade.last_id) for trade in trades] == [(row["f"], row["l"]) for row in rows[10:41]]


async def test_klines_of_a_span_closed_when_a_later_one_has_begun() -> None:
    async with played() as (rest, exchange):
        rows = exchange.market.klines("BTCUSDT", "1m", start_ms=None, end_ms=None, limit=5)
        ask = KlinesAsk("BTCUSDT", "1m", rows[0][0], rows[-1][0])
        klines = await rest.klines(ask)
        assert [kline.is_closed for kline in klines] == [True] * 4 + [False]
        assert [(k.open_time, k.open, k.volume, k.trades, k.taker_buy_quote_volume) for k in klines] == [
            (row[0], float(row[1]), float(row[5]), row[8], float(row[10])) for row in rows
        ]
        shorter = KlinesAsk("BTCUSDT", "1m", rows[0][0], rows[-2][0])
        assert [kline.is_closed for kline in await rest.klines(shorter)] == [True] * 4


async def test_a_book_and_the_instruments() -> None:
    async with played() as (rest, exchange):
        book = await rest.book(BookAsk("BTCUSDT", 5))
        told = exchange.market.depth("BTCUSDT", 5)
        assert told is not None
        assert book.last_update_id == told["lastUpdateId"]
        assert book.bids == [(float(price), float(quantity)) for price, quantity in told["bids"]]
        assert await rest.statuses() == {"BTCUSDT": "TRADING", "ETHUSDT": "TRADING"}


async def test_requests_cost_what_the_venue_counts() -> None:
    async with played() as (rest, exchange):
        for levels in (100, 500, 1_000, 5_000):
            await rest.book(BookAsk("BTCUSDT", levels))
        await rest.symbols()
        now_s = wall_ms() / 1_000
        assert rest.used_weight == exchange.used_weight(now_s) == 5 + 25 + 50 + 250 + 20
