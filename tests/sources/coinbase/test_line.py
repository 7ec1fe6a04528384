"""The lines of Coinbase against a peer on this machine: replies in order, and a frame that is lost."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from websockets.asyncio.server import ServerConnection, serve

from flows.model import ConnectionEvent, Disconnected, Subscribed
from flows.settings import Feed
from sources.coinbase.feed import CoinbaseFeed
from sources.connection.connection import Connection
from sources.connection.frame_queue import FrameQueue


class Peer:
    """The Advanced feed: confirms each request, and then sends changes with these numbers; the next connection has the
    next list of them.
    """

    def __init__(self, *numbers: list[int]) -> None:
        self.requests: list[Any] = []
        self._numbers = iter(numbers)

    async def serve(self, socket: ServerConnection) -> None:
        numbers = next(self._numbers, [2])
        for number in range(2):
            self.requests.append(json.loads(await socket.recv()))
            await socket.send(json.dumps({"channel": "subscriptions", "sequence_num": number, "events": []}))
        for number in numbers:
            await socket.send(change(number))
        await socket.wait_closed()


def change(number: int) -> str:
    level = {"side": "bid", "event_time": "2026-01-01T00:00:01Z", "price_level": "1", "new_quantity": "2"}
    events = [{"type": "update", "product_id": "BTC-USD", "updates": [level]}]
    body = {"channel": "l2_data", "timestamp": "2026-01-01T00:00:01Z", "sequence_num": number, "events": events}
    return json.dumps(body, separators=(",", ":"))


@asynccontextmanager
async def books_from(peer: Peer) -> AsyncIterator[tuple[FrameQueue, asyncio.Event]]:
    async with serve(peer.serve, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        settings = Feed(
            venue="coinbase",
            symbols=("BTC-USD",),
            streams=("depth",),
            origin="replay",
            ws_url=f"ws://127.0.0.1:{port}",
            backoff_min_s=0.02,
            backoff_max_s=0.02,
        )
        feed, rung = CoinbaseFeed(settings), asyncio.Event()
        [plan] = feed.plans({"BTC-USD": ()})
        queue = FrameQueue(plan.line, settings.queue_frames, rung.set)
        life = asyncio.ensure_future(Connection(plan, feed=feed, settings=settings, queue=queue).run())
        try:
            yield queue, rung
        finally:
            life.cancel()
            await asyncio.gather(life, return_exceptions=True)


async def until(queue: FrameQueue, rung: asyncio.Event, last: object) -> list[ConnectionEvent | bytes]:
    """What comes, up to the first item that is this frame, or of this type."""
    found: list[ConnectionEvent | bytes] = []
    async with asyncio.timeout(60):
        while True:
            while not queue.items:
                rung.clear()
                await rung.wait()
            queue.is_urgent = False
            found.append(queue.items.popleft())
            if found[-1] == last or type(found[-1]) is last:
                return found


async def test_books_are_subscribed_when_both_requests_are_confirmed() -> None:
    peer = Peer([2, 3])
    async with books_from(peer) as (queue, rung):
        subscribed = (await until(queue, rung, Subscribed))[-1]
        assert isinstance(subscribed, Subscribed)
        assert subscribed.streams == ("BTC-USD@depth",)
        assert [item for item in await until(queue, rung, change(3).encode()) if isinstance(item, bytes)] == [
            change(2).encode(),
            change(3).encode(),
        ]
    assert [request["channel"] for request in peer.requests] == ["level2", "heartbeats"]


async def test_a_frame_that_is_lost_ends_the_connection_and_nothing_behind_it_counts() -> None:
    async with books_from(Peer([2, 4, 5], [2])) as (queue, rung):
        await until(queue, rung, Subscribed)
        found = await until(queue, rung, Disconnected)
        assert [item for item in found if isinstance(item, bytes)] == [change(2).encode()]
        lost = found[-1]
        assert isinstance(lost, Disconnected)
        assert (lost.line, lost.reason) == ("books", "frames are missing: number 4 came where 3 follows")
        await until(queue, rung, Subscribed)
        assert (await until(queue, rung, change(2).encode()))[-1] == change(2).encode()
