"""The dialects and the venues of the flow were written apart from the same facts: here one reads the other."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from flows.model import Kline, Trade
from flows.model.source_events import RawFrames
from flows.queries import KlinesQuery, TradesQuery
from flows.settings import Feed, Rest
from sources.connection.pool import ConnectionPool
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.venues.listed import SYNTHETIC
from sources.venue import Venue, VenueRest
from sources.venues import VENUES
from tests.fakes.parsed import runs_of
from tests.fakes.played import play_until

BEGIN_MS = 1_767_225_600_000


@asynccontextmanager
async def served(name: str, *, played_s: int = 0) -> AsyncIterator[tuple[Venue, Feed, ReplayExchange]]:
    market, dialect = SYNTHETIC[name](["BTC-USD"], seed=5, start_ms=BEGIN_MS, trades_per_s=2.0)
    if played_s:
        play_until(market, BEGIN_MS + 1_000 * played_s)
    async with running_exchange(market, dialect=dialect, paused=bool(played_s), speed=20.0) as exchange:
        path = {"kraken": "/v2", "coinbase": "/"}[name]
        settings = {
            "venue": name,
            "origin": "replay",
            "symbols": ["BTC-USD"],
            "ws_url": exchange.ws_url + path,
            "rest_url": exchange.rest_url,
        }
        yield VENUES[name], Feed.model_validate(settings), exchange


@pytest.mark.parametrize("name", sorted(SYNTHETIC))
async def test_the_products_feed_subscribes_and_its_parser_reads_every_frame(name: str) -> None:
    async with served(name) as (venue, feed, _):
        wake = asyncio.Event()
        pool = ConnectionPool(venue.feed(feed), settings=feed, wake=wake.set)
        following = asyncio.create_task(pool.follow({"BTC-USD": ()}))
        parser = venue.parser()
        kinds: set[str] = set()
        trades: dict[int, Trade] = {}
        rejected: list[object] = []
        try:
            async with asyncio.timeout(120):
                while len(trades) < 40 or len(kinds) < 3:
                    await wake.wait()
                    wake.clear()
                    for queue in pool.queues:
                        queue.is_urgent = False
                        frames = [item for item in queue.items if isinstance(item, bytes)]
                        queue.items.clear()
                        parsed = parser.parse(RawFrames(line=queue.line, payloads=frames, received_ns=0))
                        rejected += parsed.rejected
                        for _, events in runs_of(parsed):
                            kinds |= {type(event).__name__ for event in events}
                            trades |= {event.id: event for event in events if isinstance(event, Trade)}
        finally:
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)
            await pool.close()
        assert rejected == []
        ids = sorted(trades)
        assert ids == list(range(ids[0], ids[0] + len(ids)))


async def true_trades(exchange: ReplayExchange) -> list[tuple[int, int, float, float, bool]]:
    frame = next(iter(exchange.market.markets.values())).played_trades()  # type: ignore[attr-defined]
    numbers = next(iter(exchange.market.markets.values())).encoder.decimals  # type: ignore[attr-defined]
    return [
        (row["id"], row["time"], float(numbers.price_text(row["price"])), row["quantity"] / 1e8, row["maker"])
        for row in frame.iter_rows(named=True)
    ]


@pytest.mark.parametrize("name", sorted(SYNTHETIC))
async def test_the_products_rest_reads_trades_klines_and_the_book(name: str) -> None:
    async with served(name, played_s=90) as (venue, feed, exchange), venue.rest(feed, Rest(tries=1)) as rest:
        await reads_what_the_market_has(rest, exchange)


async def reads_what_the_market_has(rest: VenueRest, exchange: ReplayExchange) -> None:
    [listed] = await rest.instruments()
    assert (listed.symbol, listed.status, listed.base, listed.quote) == ("BTC-USD", "TRADING", "BTC", "USD")
    assert None not in (listed.price_decimals, listed.quantity_decimals)
    assert abs(await rest.time() - exchange.now_ms) < 60_000
    true = await true_trades(exchange)
    some = true[20:50]
    found = await rest.trades(TradesQuery("BTC-USD", some[0][0], some[-1][0], some[0][1], some[-1][1]))
    assert [(one.id, one.time, one.price, one.quantity, one.buyer_is_maker) for one in found] == some
    minute = [row for row in true if BEGIN_MS <= row[1] < BEGIN_MS + 60_000]
    klines = await rest.klines(KlinesQuery("BTC-USD", "1m", BEGIN_MS, BEGIN_MS + 60_000))
    kline: Kline = next(one for one in klines if one.open_time == BEGIN_MS)
    prices = [row[2] for row in minute]
    assert (kline.open, kline.high, kline.low, kline.close) == (prices[0], max(prices), min(prices), prices[-1])
    assert kline.volume == pytest.approx(sum(row[3] for row in minute))
    assert json.dumps((await rest.recorded_book("BTC-USD"))[0])
