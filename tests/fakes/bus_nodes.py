"""Nodes on a bus: gateways that follow the stream, and messages of it as a flow publishes them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from itertools import count
from typing import Any

from websockets.asyncio.client import ClientConnection, connect

from api.gateway.gateway import Gateway
from api.live.bus import BusConnection
from api.live.view import LiveView
from flows.clock import Now
from flows.model import Publishable
from flows.settings import Bus
from flows.settings import Hub as HubSettings
from sinks.bus.entry import Entry
from sinks.bus.stored import Stored
from sinks.hub.market.markets import Markets
from sinks.hub.market.state import StateCache
from sinks.hub.messages import Message, Topic
from tests.fakes.hubs import PATIENCE_S, hear, serving


class Node:
    """One node: a live view of the stream, and a gateway."""

    def __init__(self, live: LiveView, gateway: Gateway, port: int) -> None:
        self.live = live
        self.gateway = gateway
        self._port = port

    def client(self, query: str = "") -> Any:
        """A client of it."""
        address = f"ws://127.0.0.1:{self._port}/ws{query}"
        return connect(address, compression=None, open_timeout=PATIENCE_S, ping_interval=None)

    async def until(self, seq: int) -> None:
        """Waits until it has received a message."""
        async with asyncio.timeout(PATIENCE_S):
            while self.live.connections[0].seq < seq:
                await asyncio.sleep(0.005)


@asynccontextmanager
async def node(settings: Bus, *, venues: tuple[str, ...] = ("binance",), **hub: Any) -> AsyncIterator[Node]:
    """A node while entered, when it has read the state."""
    chosen = HubSettings(**hub)
    async with AsyncExitStack() as stack:
        live = LiveView(bus=partial(BusConnection, settings, venues=venues, ring=chosen.ring))
        gateway = Gateway(chosen, live, venues=venues)
        await stack.enter_async_context(live)
        port = await stack.enter_async_context(serving(gateway))
        async with asyncio.timeout(PATIENCE_S):
            await live.joined()
        yield Node(live, gateway, port)


class Publishing:
    """What a flow would publish, as the stream stores it, without a server."""

    def __init__(self, flow: str = "flow", *, venue: str = "binance", first_seq: int = 1) -> None:
        self.flow = flow
        self._numbers = count(first_seq)
        self._said: list[Stored] = []
        self._local_ms = 0
        state = StateCache()
        self._markets = Markets({venue: "replay"}, rate=1_000, state=state, emit=self._emit, forget=state.forget)

    def say(self, now: Now, *items: Publishable, seq: int | None = None) -> list[Stored]:
        """The messages made of items."""
        if seq is not None:
            self._numbers = count(seq)
        self._local_ms += 1_000  # every item passes the throttles
        for _ in self._markets.take(items, Now(now.feed, self._local_ms)):
            pass
        said, self._said = self._said, []
        return said

    def _emit(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        message = Message(topic, item, 0, now.feed, mergeable=mergeable)
        kept = Entry.of(message, self.flow).fixed()
        self._said.append(Stored(next(self._numbers), kept.subject, kept.body, kept.message_id, 0))
        return message


async def received(client: ClientConnection, number: int) -> list[dict[str, Any]]:
    """The next messages of a client."""
    return [await hear(client) for _ in range(number)]
