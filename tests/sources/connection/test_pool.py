"""Wishes become connections; the venue is the replay exchange, or one that does what a script says."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from flows.model import Connected, Removed, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.connection.pool import ConnectionPool
from tests.fakes.venue import VenueSession, frame, running_venue


class Followed:
    """Lines, and what came out of them, awaited one by one."""

    def __init__(self, lines: ConnectionPool, rung: asyncio.Event) -> None:
        self.lines = lines
        self._rung = rung

    async def follow(self, *symbols: str, **kinds: tuple[str, ...]) -> None:
        async with asyncio.timeout(20):
            await self.lines.follow(dict.fromkeys(symbols, ()) | kinds)

    async def next(self, queue: int = 0) -> Any:
        async with asyncio.timeout(20):
            while len(self.lines.queues) <= queue or not self.lines.queues[queue].items:
                self._rung.clear()
                await self._rung.wait()
        self.lines.queues[queue].is_urgent = False
        return self.lines.queues[queue].items.popleft()

    async def news(self, count: int, queue: int = 0) -> list[Any]:
        """The next so many events of a line, without the frames between them."""
        out: list[Any] = []
        while len(out) < count:
            item = await self.next(queue)
            if not isinstance(item, bytes):
                out.append(item)
        return out


@asynccontextmanager
async def lines_to(url: str, **changes: Any) -> AsyncIterator[Followed]:
    chosen: dict[str, Any] = {"streams": ("aggTrade",), "ws_url": url, "origin": "replay"}
    settings = Feed(**chosen | changes)
    rung = asyncio.Event()
    before = asyncio.all_tasks()
    try:
        yield Followed(ConnectionPool(BinanceFeed(settings), settings=settings, wake=rung.set), rung)
    finally:
        ours = asyncio.all_tasks() - before
        for task in ours:
            task.cancel()
        await asyncio.gather(*ours, return_exceptions=True)


async def confirm_everything(session: VenueSession) -> None:
    """Confirms whatever is asked, and sends a frame of every new stream."""
    while True:
        body = await session.confirm()
        if body["method"] == "SUBSCRIBE":
            for name in body["params"]:
                await session.send(frame(1, name))


async def test_what_comes_and_goes_is_told_in_its_place_and_the_line_stays_up() -> None:
    async with running_venue(confirm_everything) as url, lines_to(url) as it:
        await it.follow("BTCUSDT")
        assert [type(event) for event in await it.news(2)] == [Connected, Subscribed]
        await it.follow("BTCUSDT", "ETHUSDT", "SOLUSDT")
        more = ("ethusdt@aggTrade", "solusdt@aggTrade")
        assert await it.news(1) == [Subscribed("market", ("ETHUSDT", "SOLUSDT"), more)]
        await it.follow("BTCUSDT", "SOLUSDT")
        assert await it.news(1) == [Removed("market", ("ETHUSDT",), ("aggTrade",), is_gone=True)]
        assert len(it.lines.queues) == 1


async def test_one_kind_of_stream_goes_and_the_others_stay() -> None:
    async with running_venue(confirm_everything) as url, lines_to(url) as it:
        await it.follow(BTCUSDT=("aggTrade", "ticker"))
        await it.news(2)
        await it.follow(BTCUSDT=("aggTrade", "miniTicker"))
        assert await it.news(2) == [
            Subscribed("market", ("BTCUSDT",), ("btcusdt@miniTicker",)),
            Removed("market", ("BTCUSDT",), ("ticker",), is_gone=False),
        ]


async def test_the_klines_of_one_timeframe_go_and_those_of_another_stay() -> None:
    async with running_venue(confirm_everything) as url, lines_to(url, timeframes=("1m", "5m")) as it:
        await it.follow(BTCUSDT=("aggTrade", "kline"))
        await it.news(2)
        await it.follow(BTCUSDT=("aggTrade", "kline_5m"))
        assert await it.news(1) == [Removed("market", ("BTCUSDT",), ("kline_1m",), is_gone=False)]
        await it.follow(BTCUSDT=("aggTrade", "kline"))
        assert await it.news(1) == [Subscribed("market", ("BTCUSDT",), ("btcusdt@kline_1m",))]


async def test_what_does_not_fit_gets_a_connection_of_its_own_and_that_is_closed_when_it_is_empty() -> None:
    sessions: list[VenueSession] = []

    async def serve(session: VenueSession) -> None:
        sessions.append(session)
        await confirm_everything(session)

    async with running_venue(serve) as url, lines_to(url, streams_per_connection=1) as it:
        await it.follow("BTCUSDT")
        await it.news(2)
        await it.follow("BTCUSDT", "ETHUSDT")
        assert [event.symbols for event in await it.news(2, queue=1)] == [("ETHUSDT",)] * 2
        await it.follow("BTCUSDT")
        assert await it.news(1, queue=1) == [Removed("market", ("ETHUSDT",), ("aggTrade",), is_gone=True)]
        async with asyncio.timeout(20):
            await sessions[1].stay()
        await it.follow("BTCUSDT", "SOLUSDT")  # in its place, on the same queue
        assert [event.symbols for event in await it.news(2, queue=1)] == [("SOLUSDT",)] * 2
        assert len(sessions) == 3


async def test_changes_that_come_before_the_last_one_is_done_are_made_in_their_order() -> None:
    async with running_venue(confirm_everything) as url, lines_to(url) as it:
        await it.follow("BTCUSDT")
        await it.news(2)
        await asyncio.gather(it.follow("BTCUSDT", "ETHUSDT"), it.follow("BTCUSDT"), it.follow("BTCUSDT", "SOLUSDT"))
        assert [(type(event), event.symbols) for event in await it.news(3)] == [
            (Subscribed, ("ETHUSDT",)),
            (Removed, ("ETHUSDT",)),
            (Subscribed, ("SOLUSDT",)),
        ]


async def test_side_by_side_both_are_changed_and_it_is_told_once() -> None:
    asked: list[tuple[str, ...]] = []

    async def serve(session: VenueSession) -> None:
        while True:
            asked.append(tuple((await session.confirm())["params"]))

    async with running_venue(serve) as url, lines_to(url, redundancy=2) as it:
        await it.follow("BTCUSDT")
        while not isinstance(await it.next(), Subscribed):
            pass  # who opens before the other one is live says so, too
        await it.follow("BTCUSDT", "ETHUSDT")
        await it.follow("ETHUSDT")
        events: list[Any] = []
        while not events or not isinstance(events[-1], Removed):
            events += [event for event in await it.news(1) if not isinstance(event, Connected)]
        assert [(type(event), event.symbols) for event in events] == [
            (Subscribed, ("ETHUSDT",)),
            (Removed, ("BTCUSDT",)),
        ]
        assert sorted(asked) == sorted([("btcusdt@aggTrade",), ("ethusdt@aggTrade",), ("btcusdt@aggTrade",)] * 2)


async def test_what_goes_while_the_line_is_down_is_told_at_once() -> None:
    async with lines_to("ws://127.0.0.1:9", backoff_min_s=60) as it:
        await it.follow("BTCUSDT", "ETHUSDT")
        await it.news(1)  # disconnected
        await it.follow("BTCUSDT", "SOLUSDT")
        assert await it.news(1) == [Removed("market", ("ETHUSDT",), ("aggTrade",), is_gone=True)]


async def test_a_line_is_up_when_all_of_its_connections_are() -> None:
    release = asyncio.Event()

    async def confirm_late(session: VenueSession) -> None:
        await release.wait()
        await confirm_everything(session)

    async with running_venue(confirm_everything, confirm_late) as url, lines_to(url, streams_per_connection=1) as it:
        assert it.lines.lines() == {}
        await it.follow("BTCUSDT")
        await it.news(2)
        assert it.lines.lines() == {"market": True}
        following = asyncio.create_task(it.follow("BTCUSDT", "ETHUSDT"))
        await it.news(1, queue=1)
        assert it.lines.lines() == {"market": False}
        release.set()
        await it.news(1, queue=1)
        assert it.lines.lines() == {"market": True}
        await following
        await it.follow("BTCUSDT")
        assert it.lines.lines() == {"market": True}
        await it.follow()
        assert it.lines.lines() == {}
