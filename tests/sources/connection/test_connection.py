import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from structlog.testing import capture_logs

from flows.model import Connected, Disconnected, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.connection.connection import Connection, Redundancy
from sources.connection.frame_queue import FrameQueue
from tests.fakes.venue import VenueSession, frame, running_venue


class Arrivals:
    """What a connection handed on, awaited one by one."""

    def __init__(self, queue: FrameQueue, rung: asyncio.Event) -> None:
        self._queue = queue
        self._rung = rung
        self.change_to: Callable[[str], Awaitable[None]]
        """Lets the connection carry this symbol and no other."""

    async def next(self) -> Any:
        async with asyncio.timeout(20):
            while not self._queue.items:
                self._rung.clear()
                await self._rung.wait()
        self._queue.is_urgent = False
        return self._queue.items.popleft()


@asynccontextmanager
async def connected(url: str, **changes: Any) -> AsyncIterator[Arrivals]:
    chosen: dict[str, Any] = {"symbols": ("BTCUSDT",), "streams": ("aggTrade",), "ws_url": url, "origin": "replay"}
    chosen |= {"backoff_min_s": 0.01, "backoff_max_s": 0.01} | changes
    settings = Feed(**chosen)
    feed, rung = BinanceFeed(settings), asyncio.Event()
    [plan] = feed.plans(dict.fromkeys(settings.symbols, ()))
    queue = FrameQueue(plan.line, settings.queue_frames, rung.set)
    connection = Connection(plan, feed=feed, settings=settings, queue=queue)
    life = asyncio.ensure_future(connection.run())
    arrivals = Arrivals(queue, rung)

    async def change_to(symbol: str) -> None:
        async with asyncio.timeout(20):
            await connection.change(feed.plans({symbol: ()})[0])

    arrivals.change_to = change_to
    try:
        yield arrivals
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        gc.collect()  # a forgotten task or socket warns now, and warnings are errors


async def serve_one(session: VenueSession) -> None:
    await session.confirm()
    await session.send(frame(1))
    await session.stay()


async def test_a_life_begins_with_connected_and_subscribed_and_then_the_frames() -> None:
    async def script(session: VenueSession) -> None:
        body = await session.confirm()
        assert body["params"] == ["btcusdt@aggTrade"]
        await session.send(frame(1))
        await session.send(frame(2))
        await session.stay()

    async with running_venue(script) as url, connected(url) as arrivals:
        assert await arrivals.next() == Connected("market", ("BTCUSDT",), f"{url}/stream")
        assert await arrivals.next() == Subscribed("market", ("BTCUSDT",), ("btcusdt@aggTrade",))
        assert [await arrivals.next(), await arrivals.next()] == [frame(1), frame(2)]


async def test_a_cut_line_is_reported_in_its_place_and_comes_back() -> None:
    async def cut(session: VenueSession) -> None:
        await session.confirm()
        await session.send(frame(1))
        session.socket.transport.abort()

    async with running_venue(cut, serve_one) as url, connected(url) as arrivals:
        kinds = [type(await arrivals.next()) for _ in range(3)]
        assert kinds == [Connected, Subscribed, bytes]
        lost = await arrivals.next()
        assert isinstance(lost, Disconnected)
        assert (lost.failures, lost.lasting) == (1, False)
        assert [type(await arrivals.next()) for _ in range(3)] == [Connected, Subscribed, bytes]


async def test_an_announced_shutdown_is_bridged_by_a_successor() -> None:
    async def leave(session: VenueSession) -> None:
        await session.confirm()
        await session.send({"stream": "!serverShutdown", "data": {"e": "serverShutdown", "E": 1767225600000}})
        await session.stay()

    # had it waited for the backoff, the test would time out
    async with running_venue(leave, serve_one) as url, connected(url, backoff_min_s=600, backoff_max_s=600) as arrivals:
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        assert await arrivals.next() == frame(1)  # by the successor, and nobody says that the line was down


async def test_a_connection_is_renewed_before_its_age_without_a_break() -> None:
    ended: list[int] = []

    async def serve_until_renewed(session: VenueSession) -> None:
        await session.confirm()
        await session.send(frame(1))
        await session.socket.wait_closed()
        ended.append(1)

    async def serve_on(session: VenueSession) -> None:
        await session.confirm()
        assert not ended  # the old one lives until this one delivers
        await session.send(frame(2))
        await session.stay()

    async with (
        running_venue(serve_until_renewed, serve_on) as url,
        connected(url, rotate_hours=0.2 / 3_600) as arrivals,
    ):
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        assert [await arrivals.next(), await arrivals.next()] == [frame(1), frame(2)]


async def test_a_successor_that_fails_leaves_the_old_connection_as_it_is() -> None:
    async def serve(session: VenueSession) -> None:
        await session.confirm()
        await session.send(frame(1))
        await session.stay()

    async def fail(session: VenueSession) -> None:
        session.socket.transport.abort()

    async with (
        running_venue(serve, fail, serve_one) as url,
        connected(url, rotate_hours=0.2 / 3_600) as arrivals,
    ):
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        assert [await arrivals.next(), await arrivals.next()] == [frame(1), frame(1)]


ETH = "ethusdt@aggTrade"


async def test_a_change_is_asked_for_on_the_open_socket_and_lasts_until_it_is_confirmed() -> None:
    steps: list[Any] = []

    async def serve(session: VenueSession) -> None:
        await session.confirm()
        await session.send(frame(1))
        steps.append(await session.confirm())
        steps.append(await session.request())
        await session.send(frame(2, ETH))
        steps.append("confirmed")
        await session.send({"result": None, "id": steps[1]["id"]})
        await session.stay()

    async with running_venue(serve) as url, connected(url) as arrivals:
        assert [type(await arrivals.next()) for _ in range(3)] == [Connected, Subscribed, bytes]
        await arrivals.change_to("ETHUSDT")
        assert [(step["method"], step["params"]) for step in steps[:2]] == [
            ("UNSUBSCRIBE", ["btcusdt@aggTrade"]),
            ("SUBSCRIBE", [ETH]),
        ]
        assert steps[2:] == ["confirmed"]
        assert await arrivals.next() == frame(2, ETH)  # and nobody says that the line was down


async def test_a_change_before_the_first_confirmation_is_made_behind_it() -> None:
    asked = asyncio.Event()
    bodies: list[Any] = []

    async def serve(session: VenueSession) -> None:
        first = await session.request()
        asked.set()
        await asyncio.sleep(0.05)
        await session.send({"result": None, "id": first["id"]})
        bodies.extend([await session.confirm(), await session.confirm()])
        await session.stay()

    async with running_venue(serve) as url, connected(url) as arrivals:
        await asked.wait()
        await arrivals.change_to("ETHUSDT")
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        assert [body["params"] for body in bodies] == [["btcusdt@aggTrade"], [ETH]]


async def test_a_line_that_comes_back_asks_for_what_is_wanted_by_then() -> None:
    async def cut(session: VenueSession) -> None:
        await session.confirm()
        await session.request()  # the change is never confirmed
        session.socket.transport.abort()

    async def serve(session: VenueSession) -> None:
        assert (await session.confirm())["params"] == [ETH]
        await session.stay()

    async with running_venue(cut, serve) as url, connected(url) as arrivals:
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        await arrivals.change_to("ETHUSDT")  # the end of a life is the end of its waiting
        assert (await arrivals.next()).symbols == ("ETHUSDT",)  # disconnected
        assert isinstance(await arrivals.next(), Connected)
        assert await arrivals.next() == Subscribed("market", ("ETHUSDT",), (ETH,))


async def test_a_successor_carries_what_is_wanted_by_then() -> None:
    async def serve(session: VenueSession) -> None:
        for _ in range(3):
            await session.confirm()
        await session.stay()

    async def serve_on(session: VenueSession) -> None:
        assert (await session.confirm())["params"] == [ETH]
        await session.send(frame(2, ETH))
        await session.stay()

    async with running_venue(serve, serve_on) as url, connected(url, rotate_hours=1.5 / 3_600) as arrivals:
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        await arrivals.change_to("ETHUSDT")
        assert await arrivals.next() == frame(2, ETH)


async def test_a_change_that_is_never_confirmed_renews_the_connection() -> None:
    async def ignore(session: VenueSession) -> None:
        await session.confirm()
        await session.stay()

    async with running_venue(ignore, serve_one) as url, connected(url, open_timeout_s=0.5) as arrivals:
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]
        await arrivals.change_to("ETHUSDT")
        assert "did not confirm" in (await arrivals.next()).reason


async def test_with_two_side_by_side_the_loss_of_one_is_no_news() -> None:
    async def serve_and_fail(session: VenueSession) -> None:
        await session.confirm()
        await session.send(frame(1))
        await session.stay()

    chosen: dict[str, Any] = {"symbols": ("BTCUSDT",), "streams": ("aggTrade",), "origin": "replay"}
    rung = asyncio.Event()
    sessions: list[VenueSession] = []

    async def kept(session: VenueSession) -> None:
        sessions.append(session)
        await serve_and_fail(session)

    async with running_venue(kept, kept, kept) as url:
        settings = Feed(**chosen, ws_url=url, backoff_min_s=0.01, backoff_max_s=0.01)
        feed, redundancy = BinanceFeed(settings), Redundancy()
        [plan] = feed.plans(dict.fromkeys(settings.symbols, ()))
        queue = FrameQueue(plan.line, settings.queue_frames, rung.set)
        lives = [
            asyncio.ensure_future(
                Connection(plan, feed=feed, settings=settings, queue=queue, redundancy=redundancy).run()
            )
            for _ in range(2)
        ]
        arrivals = Arrivals(queue, rung)
        heard: list[Any] = []
        while heard.count(frame(1)) < 2:
            heard.append(await arrivals.next())
        assert sum(isinstance(item, Subscribed) for item in heard) == 1
        sessions[0].socket.transport.abort()
        assert await arrivals.next() == frame(1)  # it is back already, and the line was never down
        for life in lives:
            life.cancel()
        await asyncio.gather(*lives, return_exceptions=True)


async def test_a_refused_subscription_ends_that_life() -> None:
    async def refuse(session: VenueSession) -> None:
        await session.request()
        await session.send({"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 1})
        await session.stay()

    async with running_venue(refuse, serve_one) as url, connected(url) as arrivals:
        assert isinstance(await arrivals.next(), Connected)
        lost = await arrivals.next()
        assert lost.reason == 'the venue refused the subscription: the exchange says: "4: Too many subscriptions"'
        assert [type(await arrivals.next()) for _ in range(2)] == [Connected, Subscribed]


async def test_a_subscription_that_is_never_confirmed_ends_that_life() -> None:
    async def ignore(session: VenueSession) -> None:
        await session.request()
        await session.stay()

    async with running_venue(ignore, serve_one) as url, connected(url, open_timeout_s=0.2) as arrivals:
        assert isinstance(await arrivals.next(), Connected)
        assert "did not confirm" in (await arrivals.next()).reason


async def test_a_venue_that_is_not_there_is_said_once_and_again_when_it_lasts() -> None:
    with capture_logs() as logs:
        async with connected("ws://127.0.0.1:9", backoff_tries=3, origin="live") as arrivals:
            first, outage = await arrivals.next(), await arrivals.next()
    assert (first.failures, first.lasting) == (1, False)
    assert (outage.failures, outage.lasting) == (3, True)
    assert "ws://127.0.0.1:9/stream cannot be reached" in first.reason
    lost = [entry for entry in logs if entry["event"] == "connection_lost"]
    assert "`make demo` works offline" in lost[0]["hint"]
    assert all("hint" not in entry for entry in lost[1:])
    assert len(lost) >= 3  # every attempt is logged


async def test_a_full_queue_makes_the_venue_wait() -> None:
    async def flood(session: VenueSession) -> None:
        await session.confirm()
        padding = b" " * 60_000
        for number in range(4_000):
            await session.send(frame(number) + padding)
        await session.stay()

    async with running_venue(flood) as url, connected(url, queue_frames=1_000) as arrivals:
        got: list[bytes] = []
        while len(got) < 4_000:
            assert len(arrivals._queue.items) <= 1_001
            item = await arrivals.next()
            if isinstance(item, bytes):
                got.append(item.rstrip())
        assert got == [frame(number) for number in range(4_000)]
