"""The watch over a line: what it reports of silence, and what it renews on its sockets."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flows.model import Connected, Disconnected, Removed, Silent, Speaking, StreamNames, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.connection.frame_queue import RETIRED_S
from sources.connection.pool import ConnectionPool
from sources.connection.watch import LOOK_S, RENEW_PAUSE_S
from sources.feed import ConnectionPlan
from tests.fakes.venue import VenueSession, frame, running_venue

BTC, ETH = "btcusdt@aggTrade", "ethusdt@aggTrade"


class Watched:
    """Lines, and the events of the first of them, awaited one by one."""

    def __init__(self, lines: ConnectionPool, rung: asyncio.Event) -> None:
        self.lines = lines
        self._rung = rung

    async def follow(self, *symbols: str, not_trading: tuple[str, ...] = (), **kinds: tuple[str, ...]) -> None:
        async with asyncio.timeout(20):
            await self.lines.follow(dict.fromkeys(symbols, ()) | kinds, not_trading=frozenset(not_trading))

    async def until(self, *kinds: type) -> Any:
        """The next event of one of these kinds."""
        async with asyncio.timeout(30):
            while True:
                items = self.lines.queues[0].items
                while items:
                    if isinstance(item := items.popleft(), kinds):
                        return item
                self._rung.clear()
                await self._rung.wait()

    async def doubts(self, *symbols: str) -> None:
        """Returns when the status of these symbols is in doubt and of no others."""
        async with asyncio.timeout(30):
            while self.lines.doubtful() != set(symbols):
                await asyncio.sleep(0.05)


@asynccontextmanager
async def lines_to(url: str, **changes: Any) -> AsyncIterator[Watched]:
    chosen: dict[str, Any] = {"streams": ("aggTrade",), "ws_url": url, "origin": "replay", "backoff_min_s": 0.05}
    settings = Feed(**chosen | changes)
    rung = asyncio.Event()
    lines = ConnectionPool(BinanceFeed(settings), settings=settings, wake=rung.set)
    try:
        yield Watched(lines, rung)
    finally:
        await lines.close()


class Venue:
    """Confirms whatever is asked, sends what is active, and remembers the requests."""

    def __init__(self, *active: str) -> None:
        self.active = set(active)
        self.requests: list[tuple[str, tuple[str, ...]]] = []
        self.sessions = 0

    async def serve(self, session: VenueSession) -> None:
        self.sessions += 1
        number = self.sessions
        sending = asyncio.create_task(self._send(session, number))
        try:
            while True:
                body = await session.confirm()
                self.requests.append((body["method"], tuple(body["params"])))
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)

    async def _send(self, session: VenueSession, number: int) -> None:
        while True:
            for name in list(self.active):
                await session.send(frame(number, name))
            await asyncio.sleep(0.1)


@pytest.mark.slow
async def test_a_paused_exchange_is_reported_and_that_it_goes_on() -> None:
    venue = Venue(BTC, ETH)
    async with running_venue(venue.serve) as url, lines_to(url) as it:
        await it.follow("BTCUSDT", "ETHUSDT")
        await it.until(Subscribed)
        await asyncio.sleep(6)
        venue.active = set()
        silent = await it.until(Silent)
        assert (silent.symbols, silent.kinds, silent.whole_line) == (("BTCUSDT", "ETHUSDT"), ("aggTrade",), True)
        assert silent.for_ms >= 3_000
        assert 0 < silent.line_pause_ms < silent.for_ms
        venue.active = {BTC, ETH}
        assert set((await it.until(Speaking)).symbols) <= {"BTCUSDT", "ETHUSDT"}
        assert venue.sessions == 1


@pytest.mark.slow
async def test_one_silent_stream_is_reported_and_only_the_witness_renews_it() -> None:
    venue = Venue(BTC, ETH)
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0) as it:
        await it.follow("BTCUSDT", "ETHUSDT")
        await asyncio.sleep(5)
        venue.active = {ETH}
        silent = await it.until(Silent)
        assert (silent.symbols, silent.kinds, silent.whole_line) == (("BTCUSDT",), ("aggTrade",), False)
        assert silent.line_pause_ms == 0
        await asyncio.sleep(3 * LOOK_S)
        assert it.lines.doubtful() == {"BTCUSDT"}
        assert venue.requests == [("SUBSCRIBE", (BTC, ETH))]
        for _ in range(3):  # renewed once, however often it is asked for in a moment
            it.lines.renew("BTCUSDT", ("aggTrade",), "REST knows later trades")
            await asyncio.sleep(0.4)
        async with asyncio.timeout(20):
            while len(venue.requests) < 3:
                await asyncio.sleep(0.05)
        assert venue.requests[1:] == [("UNSUBSCRIBE", (BTC,)), ("SUBSCRIBE", (BTC,))]
        venue.active = {BTC, ETH}
        assert await it.until(Speaking) == Speaking("market", ("BTCUSDT",), ("aggTrade",))
        assert venue.sessions == 1
        await it.doubts()


async def test_trades_of_a_symbol_that_counts_as_halted_are_a_doubt() -> None:
    venue = Venue(BTC, ETH)
    async with running_venue(venue.serve) as url, lines_to(url) as it:
        await it.follow("BTCUSDT", "ETHUSDT", not_trading=("ETHUSDT",))
        await it.doubts("ETHUSDT")
        await it.follow("BTCUSDT", "ETHUSDT")
        await it.doubts()


@pytest.mark.slow
async def test_a_silent_stream_without_a_witness_is_renewed_on_the_open_connection() -> None:
    kline = "btcusdt@kline_1m"
    venue = Venue(BTC, kline)
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0, timeframes=("1m",)) as it:
        await it.follow(BTCUSDT=("aggTrade", "kline"))
        await asyncio.sleep(5)
        venue.active = {BTC}
        silent = await it.until(Silent)
        assert (silent.symbols, silent.kinds, silent.whole_line) == (("BTCUSDT",), ("kline_1m",), False)
        async with asyncio.timeout(20):
            while len(venue.requests) < 3:
                await asyncio.sleep(0.05)
        assert venue.requests[1:] == [("UNSUBSCRIBE", (kline,)), ("SUBSCRIBE", (kline,))]


@pytest.mark.slow
async def test_a_line_that_was_fast_and_stays_silent_is_connected_anew() -> None:
    venue = Venue(BTC)
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0) as it:
        await it.follow("BTCUSDT")
        await asyncio.sleep(5)
        venue.active = set()
        assert (await it.until(Silent)).whole_line
        lost = await it.until(Disconnected)
        assert lost.reason.startswith("silent for ")
        venue.active = {BTC}
        await it.until(Subscribed)
        assert venue.sessions == 2


async def test_a_witness_reconnects_a_line_that_is_silent_as_a_whole() -> None:
    venue = Venue()
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0) as it:
        await it.follow("BTCUSDT")
        silent = await it.until(Silent)
        assert silent.whole_line  # no message ever came, so nothing is renewed by that alone
        assert silent.line_pause_ms == 0
        it.lines.renew("BTCUSDT", (), "REST knows later trades")
        lost = await it.until(Disconnected)
        assert lost.reason.startswith("silent for ")
        assert lost.reason.endswith("REST knows later trades")
        await it.until(Subscribed)


@pytest.mark.slow
async def test_a_witness_names_klines_of_one_timeframe_or_of_all() -> None:
    names = ("btcusdt@kline_1m", "btcusdt@kline_5m")
    venue = Venue(BTC)
    async with running_venue(venue.serve) as url, lines_to(url, timeframes=("1m", "5m")) as it:
        await it.follow(BTCUSDT=("aggTrade", "kline"))
        await it.until(Subscribed)
        it.lines.renew("BTCUSDT", ("kline_5m",), "a witness")
        it.lines.renew("ETHUSDT", ("kline",), "nothing of it is here")
        async with asyncio.timeout(20):
            while len(venue.requests) < 3:
                await asyncio.sleep(0.05)
        await asyncio.sleep(RENEW_PAUSE_S)
        it.lines.renew("BTCUSDT", ("kline",), "a witness")
        async with asyncio.timeout(20):
            while len(venue.requests) < 5:
                await asyncio.sleep(0.05)
    assert [streams for _, streams in venue.requests[1:]] == [names[1:], names[1:], names, names]


@pytest.mark.slow
async def test_side_by_side_a_stream_is_silent_only_when_both_are_and_the_deaf_one_is_renewed() -> None:
    both = [Venue(BTC), Venue(BTC)]
    later = Venue(BTC)
    scripts = [venue.serve for venue in (*both, later)]
    async with running_venue(*scripts) as url, lines_to(url, redundancy=2, stale_after_s=2.0) as it:
        await it.follow("BTCUSDT")
        await asyncio.sleep(5)
        both[0].active = set()
        async with asyncio.timeout(20):
            while not later.sessions:
                await asyncio.sleep(0.05)
        assert not any(isinstance(item, Silent | Disconnected) for item in it.lines.queues[0].items)
        both[1].active = later.active = set()
        assert (await it.until(Silent)).whole_line


@pytest.mark.slow
async def test_quiet_symbols_may_be_silent() -> None:
    venue = Venue(ETH)
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0) as it:
        await it.follow("BTCUSDT", "ETHUSDT", not_trading=("BTCUSDT",))
        await asyncio.sleep(4)
        await it.follow("BTCUSDT", "ETHUSDT")
        assert (await it.until(Silent)).symbols == ("BTCUSDT",)


@pytest.mark.slow
async def test_streams_that_speak_only_of_events_may_be_silent_and_a_mark_price_may_not() -> None:
    venue = Venue(BTC)
    changes = {"venue": "binance-usdm", "streams": ("aggTrade", "markPrice", "forceOrder", "contractInfo")}
    async with running_venue(venue.serve) as url, lines_to(url, stale_after_s=1.0, **changes) as it:
        await it.follow("BTCUSDT")
        assert (await it.until(Silent)).kinds == ("markPrice",)
        await asyncio.sleep(3)
        assert not any(isinstance(item, Silent) for item in it.lines.queues[0].items)


@pytest.mark.slow
async def test_a_flow_that_is_behind_is_not_the_silence_of_the_venue() -> None:
    async def flood(session: VenueSession) -> None:
        await session.confirm()
        for number in range(100_000):
            await session.send(frame(number) + b" " * 20_000)
        await session.stay()

    async with running_venue(flood) as url, lines_to(url, stale_after_s=1.0, queue_frames=1_000) as it:
        await it.follow("BTCUSDT")
        await asyncio.sleep(5)  # nothing is taken, so nothing is read
        kinds = {type(item) for item in it.lines.queues[0].items}
        assert not kinds & {Silent, Disconnected}


async def test_what_may_come_by_a_line_is_known_before_it_is_asked_for_and_for_a_while_after() -> None:
    asked = asyncio.Event()

    async def serve(session: VenueSession) -> None:
        await session.request()
        asked.set()
        await session.stay()

    async with running_venue(serve) as url, lines_to(url) as it:
        following = asyncio.create_task(it.follow("BTCUSDT"))
        await asked.wait()
        names = it.lines.queues[0].names
        assert names == StreamNames(frozenset((BTC,)))
        await following
    venue = Venue()
    async with running_venue(venue.serve) as url, lines_to(url) as it:
        await it.follow("BTCUSDT", "ETHUSDT")
        queue = it.lines.queues[0]
        await it.follow("BTCUSDT")
        assert queue.names == StreamNames(frozenset((BTC,)), frozenset((ETH,)))
        await it.until(Removed)
        await it.follow("BTCUSDT", "ETHUSDT")
        assert queue.names == StreamNames(frozenset((BTC, ETH)))
        await it.follow()
        assert queue.names == StreamNames(frozenset(), frozenset((BTC, ETH)))
        queue.forget_retired(asyncio.get_running_loop().time() + RETIRED_S)
        assert queue.names == StreamNames(frozenset())


class Failing(BinanceFeed):
    """A feed that fails to end a stream, once."""

    has_failed = False

    def unsubscribe_requests(self, streams: tuple[str, ...]) -> list[tuple[int, str]]:
        if streams and not self.has_failed:
            self.has_failed = True
            raise ZeroDivisionError
        return super().unsubscribe_requests(streams)


async def test_a_change_that_fails_by_an_error_of_ours_is_made_all_the_same() -> None:
    venue = Venue(BTC, ETH)
    async with running_venue(venue.serve) as url, lines_to(url) as it:
        it.lines = ConnectionPool(
            Failing(Feed(streams=("aggTrade",), ws_url=url, origin="replay", backoff_min_s=0.05)),
            settings=Feed(streams=("aggTrade",), ws_url=url, origin="replay", backoff_min_s=0.05),
            wake=it._rung.set,
        )
        await it.follow("BTCUSDT")
        await it.until(Subscribed)
        await it.follow("ETHUSDT")
        assert (await it.until(Disconnected)).reason.startswith("unexpected error: ZeroDivisionError")
        assert (await it.until(Connected)).symbols == ("ETHUSDT",)
        assert (await it.until(Subscribed)).streams == (ETH,)
        await it.lines.close()


def test_a_plan_that_is_emptied_carries_nothing() -> None:
    plan = ConnectionPlan("market", "ws://x", {"BTCUSDT": ("aggTrade",)}, {BTC: ("BTCUSDT", "aggTrade")})
    assert plan.emptied() == ConnectionPlan("market", "ws://x", {}, {})
