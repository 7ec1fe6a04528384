"""What goes wrong on the lines of a venue, one after the other, and what must be stored and shown in the end: the same
for every venue that the replay exchange can be.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import fsum
from pathlib import Path
from typing import Any, NamedTuple

from flows.model import Kline, timeframe_ms
from flows.operators.candles.compare import differing_fields
from sources.replay.faults.orders import Drop, Duplicate, Gap, Late, Reorder, Silence
from sources.replay.venues.listed import Synthetic
from tests.fakes.playing import SETTLED_MS, Deployment, Message, playing
from tests.fakes.witness import Book, ClosingExchange, stored_trades

BEGIN = 1_767_225_600_000
SYMBOLS = ("BTC-USD", "ETH-USD")
SPEED = 6.0
TRADES_PER_S = 4.0
LEVELS = 20
MINUTES = 3
"""Whole minutes that every run has at least."""


class PlayedVenue(NamedTuple):
    """A venue as its replay serves it."""

    name: str
    market: Synthetic
    """Without a limit of REST: the witness is a client too, and the flow keeps to its own."""
    witness: Callable[[str], ClosingExchange]
    ws_path: str
    trades: str
    """Pattern of the streams of trades, with `{}` for the instrument."""
    books: str
    """The same of books."""
    instrument: Callable[[str], str] = str
    """The venue's own name of an instrument."""

    def trades_of(self, symbol: str) -> str:
        """The stream of its trades."""
        return self.trades.format(self.instrument(symbol))

    def book_of(self, symbol: str) -> str:
        """The stream of its book."""
        return self.books.format(self.instrument(symbol))


@asynccontextmanager
async def venue_playing(
    venue: PlayedVenue, folder: Path, mongod_uri: str, *, seed: int, **settings: Any
) -> AsyncIterator[Deployment]:
    """A flow that is live on a venue whose market has just begun."""
    served = venue.market(SYMBOLS, seed=seed, start_ms=BEGIN, trades_per_s=TRADES_PER_S)
    usual: dict[str, Any] = {
        "feed__venue": venue.name,
        "feed__symbols": list(SYMBOLS),
        "feed__timeframes": ["1m", "5m"],
        "feed__stale_after_s": 2,
        "books__levels": LEVELS,
        "books__every_ms": 50,
    }
    async with playing(
        folder,
        mongod_uri,
        served.market,
        dialect=served.dialect,
        speed=SPEED,
        witness_of=venue.witness,
        ws_path=venue.ws_path,
        **(usual | settings),
    ) as deployment:
        yield deployment


async def wrong_messages(venue: PlayedVenue, deployment: Deployment) -> None:
    """Trades that are lost, repeated, late and out of order, and the same of books."""
    btc, eth = SYMBOLS
    for fault in (
        Gap(stream=venue.trades_of(btc), count=8),
        Duplicate(stream=venue.trades_of(eth), count=10),
        Reorder(stream=venue.trades_of(btc), count=3),
        Late(stream=venue.trades_of(eth), hold_messages=4, count=2),
        Gap(stream=venue.book_of(btc), count=2),
        Duplicate(stream=venue.book_of(eth), count=2),
    ):
        await deployment.inject(fault)
        await deployment.goes_on()

    def is_repair_of_the_gap(message: Message) -> bool:
        """A busy machine has repairs of its own, of the few trades while a silent stream is subscribed anew."""
        data = message["data"]
        if message["type"] != "Incident" or (data["kind"], data["symbol"]) != ("repair", btc):
            return False
        return int(data["last_id"] - data["first_id"] + 1) >= 8

    await deployment.listener.until(is_repair_of_the_gap)


async def lost_lines(venue: PlayedVenue, deployment: Deployment) -> None:
    """Every connection is cut; then the trades of one instrument stop, and everything else goes on."""
    await deployment.inject(Drop())
    await deployment.incident("disconnect")
    await deployment.incident("reconnect")
    await deployment.goes_on()
    eth = SYMBOLS[1]
    since = deployment.listener.place
    await deployment.inject(Silence(stream=venue.trades_of(eth)))
    await deployment.incident("silent", eth, since=since)
    await asyncio.to_thread(deployment.exchange.clear_faults)
    await deployment.goes_on()


async def lives_that_end(deployment: Deployment) -> None:
    """The flow is killed and started again; the market goes on meanwhile."""
    for _ in range(2):
        await deployment.end(kill=True)
        await asyncio.sleep(1)  # some seconds of the market
        await deployment.start()
        await deployment.goes_on()


async def assert_all_is_there(deployment: Deployment) -> None:
    """Waits for whole minutes, and compares trades, candles and books with the exchange: stored ones, those that
    clients got, and those of the interface.
    """
    # trades of now are shown before they are stored
    await deployment.until(lambda: all(stored_trades(deployment.store, symbol) for symbol in SYMBOLS))
    begin = stored_begin(deployment)
    length = MINUTES * timeframe_ms("1m")

    def has_minutes() -> bool:
        return deployment.witness.server_time() > begin + length + timeframe_ms("1m") + SETTLED_MS

    await deployment.until(has_minutes)
    await asyncio.to_thread(deployment.exchange.pause)
    await books_are_right(deployment)
    await interface_is_right(deployment)
    await deployment.assert_stored()
    for symbol in SYMBOLS:
        trades = deployment.witness.aggregates(symbol, stored_trades(deployment.store, symbol)[0][0])
        for timeframe in deployment.timeframes:
            wrong = candles_that_are_no_sum(deployment, symbol, timeframe, trades)
            assert wrong == [], wrong


def stored_begin(deployment: Deployment) -> int:
    """The time of the first stored trade."""
    begins: list[int] = [stored_trades(deployment.store, symbol)[0][1] for symbol in SYMBOLS]
    return min(begins)


def candles_that_are_no_sum(
    deployment: Deployment, symbol: str, timeframe: str, trades: list[tuple[Any, ...]]
) -> list[tuple[Any, ...]]:
    """Closed candles, of whole periods, that are not the sum of the exchange's trades."""
    ours = {candle.open_time: candle for candle in deployment.candles(symbol, timeframe) if candle.is_closed}
    end = trades[-1][1] - SETTLED_MS
    found: list[tuple[Any, ...]] = []
    for summed in sums(symbol, timeframe, trades):
        if not trades[0][1] <= summed.open_time <= end - timeframe_ms(timeframe):
            continue
        candle = ours.get(summed.open_time)
        fields = ["missing"] if candle is None else differing_fields(candle, summed)
        if fields:
            found.append((symbol, timeframe, summed.open_time, fields))
    return found


def sums(symbol: str, timeframe: str, trades: list[tuple[Any, ...]]) -> list[Kline]:
    """Candles of the exchange's trades, made by nothing of ours."""
    length = timeframe_ms(timeframe)
    periods: dict[int, list[tuple[Any, ...]]] = {}
    for trade in trades:
        periods.setdefault(trade[1] // length * length, []).append(trade)
    return [_summed(symbol, timeframe, begin, rows) for begin, rows in sorted(periods.items())]


def _summed(symbol: str, timeframe: str, begin: int, rows: list[tuple[Any, ...]]) -> Kline:
    prices = [price for _, _, price, _, _ in rows]
    bought = [(price, quantity) for _, _, price, quantity, is_maker in rows if not is_maker]
    return Kline(
        symbol=symbol, timeframe=timeframe, event_time=begin, open_time=begin, open=prices[0], high=max(prices),
        low=min(prices), close=prices[-1], volume=fsum(row[3] for row in rows),
        quote_volume=fsum(row[2] * row[3] for row in rows), trades=len(rows),
        taker_buy_volume=fsum(quantity for _, quantity in bought),
        taker_buy_quote_volume=fsum(price * quantity for price, quantity in bought),
        first_id=rows[0][0], last_id=rows[-1][0], is_closed=True,
    )  # fmt: skip


async def books_are_right(deployment: Deployment) -> None:
    """The market stands still: waits until the newest view of each book is the exchange's book."""
    for symbol in SYMBOLS:
        theirs = await asyncio.to_thread(deployment.witness.book, symbol, LEVELS)
        assert len(theirs.bids) == len(theirs.asks) == LEVELS
        try:
            await deployment.until_so(partial(_shows, deployment, symbol, theirs))
        except TimeoutError:
            last = _last_shown(deployment, symbol)
            assert (last["synced"], last["bids"], last["asks"]) == (True, theirs.bids, theirs.asks)


def _last_shown(deployment: Deployment, symbol: str) -> dict[str, Any]:
    return [book for book in deployment.listener.of_type("OrderBook") if book["symbol"] == symbol][-1]


async def _shows(deployment: Deployment, symbol: str, theirs: Book) -> bool:
    last = _last_shown(deployment, symbol)
    return last["synced"] and (last["bids"], last["asks"]) == (theirs.bids, theirs.asks)


async def interface_is_right(deployment: Deployment) -> None:
    """The market stands still: the interface serves its newest trades, and the books."""
    await deployment.serve()
    for symbol in SYMBOLS:
        theirs = await asyncio.to_thread(deployment.witness.book, symbol, LEVELS)

        async def has_book(symbol: str = symbol, theirs: Any = theirs) -> bool:
            book = await deployment.answered(f"/api/orderbook/{symbol}?depth={LEVELS}")
            return book is not None and (book["bids"], book["asks"]) == (theirs.bids, theirs.asks)

        await deployment.until_so(has_book)
        rows = (await deployment.ask(f"/api/candles/{symbol}/1m?limit=50"))["candles"]
        closed = {row["timestamp"]: row for row in rows if row["is_closed"]}
        assert len(closed) >= MINUTES
