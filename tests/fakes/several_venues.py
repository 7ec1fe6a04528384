"""Several venues that one flow follows: their markets, settings of the flow, and what it has to store of each."""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
from pymongo import MongoClient

from sinks.mongo.reader import read_candles
from sources.replay.exchange.threaded import ThreadedExchange
from tests.fakes.deployment import START_S, RunningFlow
from tests.fakes.served_venues import Minute, ServedVenue, served
from tests.fakes.venue_peers import PEERS
from tests.fakes.waiting import rest_after
from tests.fakes.witness import last_stored, stored_trades

BEGIN_MS: Final = 1_767_225_600_000 + 30_000
"""In the middle of a minute, and so of its candle."""
FOUR: Final = ("binance", "binance-usdm", "kraken", "coinbase")
"""All of them."""
MID_MINUTE_S: Final = range(10, 40)
"""Where markets are stopped: what closed has its proof by then, and nothing is about to close."""
SETTLED_MS: Final = 5_000
"""What ended so long ago has closed."""
_EVER: Final = 2 << 42


class Exchange(NamedTuple):
    """A made-up market of one venue, and what it says over REST of itself."""

    venue: str
    symbol: str
    served: ThreadedExchange
    its: ServedVenue

    @property
    def ws_url(self) -> str:
        """The address of its streams."""
        return f"{self.served.ws_url}{PEERS[self.venue].ws_path}"

    def closed_minutes(self, start_ms: int) -> dict[int, Minute]:
        """Those since a time that are over."""
        return {time: row for time, row in self.its.minutes().items() if time >= start_ms}


@contextmanager
def exchanges(*venues: str, speed: float, trades_per_s: float) -> Iterator[list[Exchange]]:
    """The exchanges, their markets paused."""
    with ExitStack() as stack:
        yield [stack.enter_context(one_exchange(venue, speed=speed, trades_per_s=trades_per_s)) for venue in venues]


@contextmanager
def one_exchange(venue: str, *, speed: float, trades_per_s: float) -> Iterator[Exchange]:
    """One of them."""
    symbol = PEERS[venue].symbols[0]
    seed = FOUR.index(venue)
    with served(venue, symbol, seed=seed, begin_ms=BEGIN_MS, speed=speed, trades_per_s=trades_per_s) as (served_, its):
        yield Exchange(venue, symbol, served_, its)


def settings_for(folder: Path, mongod_uri: str, found: Sequence[Exchange], **more: Any) -> dict[str, Any]:
    """One flow of these venues, with stores that are named by its folder."""
    of_venues: dict[str, Any] = {}
    for one in found:
        of_venues |= of_venue(one.venue, one.symbol, one.ws_url, one.served.rest_url)
    usual = {
        "feed__origin": "replay",
        "feed__streams": "aggTrade,kline,ticker,depth",
        "feed__timeframes": "1m,5m",
        "feed__kline_limit": 10,
        "feed__backoff_min_s": 0.1,
        "feed__repair_ms": START_S * 1_000,
        "mongo__uri": mongod_uri,
        "mongo__database": folder.name,
        "trades__path": str(folder / "trades"),
    }
    return of_venues | usual | more


def of_venue(venue: str, symbol: str, ws_url: str, rest_url: str) -> dict[str, str]:
    """The settings of one venue at these addresses."""
    values = {"symbols": symbol, "ws_url": ws_url, "rest_url": rest_url}
    return {f"venues__{venue.replace('-', '_')}__{key}": value for key, value in values.items()}


async def until(condition: Callable[[], bool], *flows: RunningFlow, every_s: float = 0.3) -> None:
    """Waits for something that is looked up on a thread, while the flows run."""
    async with asyncio.timeout(START_S):
        begun = time.monotonic()
        while not await asyncio.to_thread(condition):
            for flow in flows:
                assert flow.running, flow.said()
            await rest_after(begun, least_s=every_s)
            begun = time.monotonic()


def has_trades(folder: Path, exchange: Exchange) -> bool:
    """Whether trades of it are stored."""
    return last_stored(folder / "trades" / exchange.venue, exchange.symbol) is not None


async def until_closed(minutes: int, flow: RunningFlow, *found: Exchange) -> None:
    """Waits until so many whole minutes have passed at each, from now on."""
    ends = await asyncio.to_thread(lambda: [-(-one.its.now() // 60_000 - minutes) * 60_000 for one in found])

    def have_closed() -> bool:
        return all(one.its.now() >= end + SETTLED_MS for one, end in zip(found, ends, strict=True))

    await until(have_closed, flow)


def _is_mid_minute(exchange: Exchange) -> bool:
    return exchange.its.now() % 60_000 // 1_000 in MID_MINUTE_S


async def until_complete(flows: Mapping[Path, RunningFlow], *found: Exchange) -> None:
    """Stops the markets in the middle of a minute, when the one before it has closed, and waits until every flow has
    stored, in its folder, the last trade of each.
    """
    newest = {}
    for one in found:
        await until(partial(_is_mid_minute, one), *flows.values(), every_s=0.05)
        await asyncio.to_thread(one.served.pause)
        newest[one.venue, one.symbol] = await asyncio.to_thread(one.its.newest_id)

    def is_stored() -> bool:
        return all(
            last_stored(folder / "trades" / venue, symbol) == number
            for folder in flows
            for (venue, symbol), number in newest.items()
        )

    await until(is_stored, *flows.values())


def assert_equals_the_exchange(folder: Path, mongod_uri: str, exchange: Exchange) -> None:
    """The stores of a venue hold what its exchange says: all trades since the first, and every minute of them."""
    rows = stored_trades(folder / "trades" / exchange.venue, exchange.symbol)
    assert rows == exchange.its.trades(rows[0][0])
    minutes = exchange.closed_minutes(-(-rows[0][1] // 60_000) * 60_000)
    assert minutes
    with MongoClient[dict[str, Any]](mongod_uri) as mongo:
        candles = read_candles(mongo[folder.name], exchange.venue, exchange.symbol, "1m", 0, _EVER)
    ours = {c.open_time: (c.open, c.high, c.low, c.close, c.volume) for c in candles if c.is_closed}
    assert {time: ours.get(time) for time in minutes} == {time: pytest.approx(row) for time, row in minutes.items()}
