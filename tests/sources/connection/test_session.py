"""Whatever ends a session, the line reports it and comes back, over every transport."""

import asyncio
import gc
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from flows.model import Connected, ConnectionEvent, Disconnected, Subscribed
from flows.settings import Feed
from sources.binance.feed import BinanceFeed
from sources.connection.connection import Connection
from sources.connection.frame_queue import FrameQueue
from sources.connection.session import UNEXPECTED, unexpected
from sources.feed import Control
from tests.fakes.rude_venue import DATA, ENDS, Act, rude_venue
from tests.fakes.venue import VenueSession, running_venue

TRANSPORTS = ("websockets", "picows")


class Events:
    """Events of a line, awaited one by one, and the frames between."""

    def __init__(self, queue: FrameQueue, rung: asyncio.Event) -> None:
        self._queue = queue
        self._rung = rung
        self.frames: list[bytes] = []

    async def next(self) -> ConnectionEvent | bytes:
        async with asyncio.timeout(30):
            while not self._queue.items:
                self._rung.clear()
                await self._rung.wait()
        self._queue.is_urgent = False
        return self._queue.items.popleft()

    async def until(self, kind: type) -> Any:
        while not isinstance(item := await self.next(), kind):
            if isinstance(item, bytes):
                self.frames.append(item)
        return item


@asynccontextmanager
async def line_to(
    url: str, transport: str, feed: type[BinanceFeed] = BinanceFeed, **changes: Any
) -> AsyncIterator[Events]:
    chosen: dict[str, Any] = {"symbols": ("BTCUSDT",), "streams": ("aggTrade",), "origin": "replay", "ws_url": url}
    chosen |= {"transport": transport, "backoff_min_s": 0.02, "backoff_max_s": 0.02, "open_timeout_s": 1.0}
    settings = Feed(**chosen | changes)
    venue, rung = feed(settings), asyncio.Event()
    [plan] = venue.plans(dict.fromkeys(settings.symbols, ()))
    queue = FrameQueue(plan.line, settings.queue_frames, rung.set)
    life = asyncio.ensure_future(Connection(plan, feed=venue, settings=settings, queue=queue).run())
    try:
        yield Events(queue, rung)
    finally:
        life.cancel()
        await asyncio.gather(life, return_exceptions=True)
        gc.collect()  # a forgotten task or socket warns now, and warnings are errors


async def assert_comes_back(events: Events) -> Disconnected:
    lost: Disconnected = await events.until(Disconnected)
    await events.until(Connected)
    await events.until(Subscribed)
    while await events.until(bytes) != DATA:
        pass
    return lost


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize("end", [end.act for end in ENDS], ids=[end.name for end in ENDS])
async def test_the_line_reports_why_it_ended_and_comes_back(end: Act, transport: str) -> None:
    async with rude_venue(end) as url, line_to(url, transport) as events:
        lost = await assert_comes_back(events)
    assert lost.reason
    assert len(lost.reason) < 1_000
    assert not lost.reason.startswith(UNEXPECTED)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_the_line_comes_back_to_a_venue_that_was_not_there(transport: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    async with line_to(f"ws://127.0.0.1:{port}", transport) as events:
        await events.until(Disconnected)

        async def serve(session: VenueSession) -> None:
            await session.confirm()
            await session.send(DATA)
            await session.stay()

        async with running_venue(serve, port=port):
            await events.until(Subscribed)
            assert await events.until(bytes) == DATA


class Stumbling(BinanceFeed):
    """A venue's feed with an error of ours in it, once."""

    def __init__(self, settings: Feed) -> None:
        super().__init__(settings)
        self._has_stumbled = False

    def control_of(self, frame: bytes) -> Control | None:
        if b"stumble" in frame and not self._has_stumbled:
            self._has_stumbled = True
            raise KeyError("an error of ours")
        return super().control_of(frame)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_an_error_of_ours_ends_a_session_and_not_the_line(transport: str) -> None:
    async def serve(session: VenueSession) -> None:
        await session.confirm()
        await session.send('{"stumble":1}')
        await session.send(DATA)
        await session.stay()

    async with running_venue(serve) as url, line_to(url, transport, Stumbling) as events:
        lost = await assert_comes_back(events)
    assert lost.reason == "unexpected error: KeyError: 'an error of ours'"


UNSOLICITED = [
    b'{"id":1,"result":"\xff"}',
    b'{"stream":"x","data":' * 20_000,
    b"[" * 100_000,
    b'{"error":{"code":{"a":[]},"msg":{"b":1}},"id":77}',
    b'{"error":{"code":2,"msg":"nothing was asked"}}',
    b'{"code":{"nested":{"x":1}},"msg":[1,2]}',
    b'{"error":"text","id":"one"}',
    b'{"error":[1,2,3],"id":1.5}',
    b'{"result":null,"id":true}',
    b'{"result":null,"id":99999999999999999999999999}',
    b'{"result":null,"id":' + b"9" * 5_000 + b"}",
    b'{"result":null,"id":"1"}',
    b'{"result":null,"id":null}',
    b'{"data":"serverShutdown"}',
    b'"serverShutdown"',
    b"",
    b"\x00",
    b"null",
    b"1e999999",
    b'{"stream":"\xff@\xff","data":{}}',
    b'{"stream":"' + b"x" * 5_000,
]


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_unsolicited_replies_end_nothing(transport: str) -> None:
    async def serve(session: VenueSession) -> None:
        await session.confirm()
        for payload in UNSOLICITED:
            await session.socket.send(payload, text=True)
        await session.send(DATA)
        await session.stay()

    async with running_venue(serve) as url, line_to(url, transport) as events:
        await events.until(Subscribed)
        got: list[Any] = []
        while not got or got[-1] != DATA:
            got.append(await events.next())
    # acks of what was not asked go nowhere, all else goes to the parser
    assert [frame for frame in got if frame not in UNSOLICITED] == [DATA]
    assert {frame for frame in UNSOLICITED if b'"result":null' not in frame} < set(got)


@pytest.mark.slow
@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_a_flood_of_replies_makes_the_venue_wait_as_data_does(transport: str) -> None:
    async def flood(session: VenueSession) -> None:
        await session.confirm()
        for _ in range(5_000):
            await session.socket.send('{"error":"x"}' + " " * 20_000)
        await session.stay()

    async with running_venue(flood) as url, line_to(url, transport, queue_frames=1_000) as events:
        await events.until(Subscribed)
        seen = 0
        while seen < 5_000:
            assert len(events._queue.items) < 4_000
            seen += isinstance(await events.next(), bytes)


async def test_a_venue_that_always_announces_its_end_is_not_renewed_all_the_time() -> None:
    sessions = 0

    async def leave(session: VenueSession) -> None:
        nonlocal sessions
        sessions += 1
        await session.confirm()
        await session.send({"e": "serverShutdown", "E": 1})
        await session.send(DATA)
        await session.stay()

    async with running_venue(leave) as url, line_to(url, "websockets") as events:
        await events.until(Subscribed)
        await asyncio.sleep(2.5)
    assert sessions <= 3


def test_the_reason_of_an_unexpected_error_is_bounded() -> None:
    assert unexpected(ValueError("x" * 10_000)).startswith("unexpected error: ValueError: xxx")
    assert len(unexpected(ValueError("x" * 10_000))) == 300
