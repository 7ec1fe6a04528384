"""Servers of the hub's protocol on loopback: the hub itself, and the gateway behind which a hub is."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from typing import Any

import msgpack
from aiohttp import web
from websockets.asyncio.client import ClientConnection, connect

from api.gateway.gateway import Gateway
from api.http.connections import Connections, connection_of
from api.http.errors import Problem
from api.http.responses import failure
from api.live.view import DEFAULT_CHANNELS, LiveView
from flows.model import Publishable
from flows.settings import Hub as HubSettings
from sinks.hub.broadcast import Broadcast
from sinks.hub.fanout import Counters

PATIENCE_S = 60


async def hear(client: ClientConnection) -> dict[str, Any]:
    async with asyncio.timeout(PATIENCE_S):
        data = await client.recv()
    message: dict[str, Any] = json.loads(data) if isinstance(data, str) else msgpack.unpackb(data)
    return message


async def ask(client: ClientConnection, **request: Any) -> list[dict[str, Any]]:
    """The answers, up to the last part of the snapshot if there is one."""
    await client.send(json.dumps(request))
    replies = [await hear(client)]
    if request["op"] == "subscribe" and replies[0]["type"] == "Subscribed":
        while replies[-1]["type"] != "Snapshot" or not last_part(replies[-1]):
            replies.append(await hear(client))
    return replies


def last_part(snapshot: dict[str, Any]) -> bool:
    data = snapshot["data"]
    return isinstance(data, list) or bool(data["complete"])


class Hub:
    """A hub."""

    def __init__(self, broadcast: Broadcast) -> None:
        self.broadcast = broadcast
        self.port = broadcast.port

    @property
    def counters(self) -> Counters:
        return self.broadcast.counters

    def write(self, *items: Publishable) -> None:
        self.broadcast.write(list(items))

    def client(self, query: str = "", **options: Any) -> Any:
        address = f"ws://127.0.0.1:{self.port}/ws{query}"
        return connect(address, compression=None, open_timeout=PATIENCE_S, ping_interval=None, **options)

    async def settled(self, client: ClientConnection) -> None:
        """All that was written before is sent, or waits for the client."""
        await ask(client, op="ping")

    async def close(self) -> None:
        await asyncio.to_thread(self.broadcast.close)


@asynccontextmanager
async def hub(**settings: Any) -> AsyncIterator[Hub]:
    broadcast = Broadcast(HubSettings(port=0, **settings), origins={"binance": "replay"})
    broadcast.start()
    try:
        yield Hub(broadcast)
    finally:
        await asyncio.to_thread(broadcast.close)


class GatewayHub(Hub):
    """The gateway, with a hub behind it."""

    def __init__(self, behind: Hub, live: LiveView, gateway: Gateway, port: int) -> None:
        super().__init__(behind.broadcast)
        self.port = port
        self.gateway = gateway
        self._behind = behind
        self._live = live

    @property
    def counters(self) -> Counters:
        return self.gateway.relay.counters

    async def _arrived(self) -> None:
        """What was written before has reached the gateway."""
        async with self._behind.client("?channels=Status") as other:
            [pong] = [reply for reply in await ask(other, op="ping") if reply["type"] == "Pong"]
        async with asyncio.timeout(PATIENCE_S):
            while self._live.connections[0].seq < pong["seq"]:
                await asyncio.sleep(0.001)

    async def settled(self, client: ClientConnection) -> None:
        await self._arrived()
        await super().settled(client)

    async def close(self) -> None:
        await self._arrived()
        await self.gateway.close()


@asynccontextmanager
async def gateway(*, rate: int = 100, **settings: Any) -> AsyncIterator[GatewayHub]:
    async with hub(rate=rate) as behind, AsyncExitStack() as stack:
        live = LiveView(f"ws://127.0.0.1:{behind.port}/ws", channels=(*DEFAULT_CHANNELS, "ChartUpdate", "Trade"))
        served = Gateway(HubSettings(**settings), live, venues=("binance",))
        await stack.enter_async_context(live)
        port = await stack.enter_async_context(serving(served))
        async with asyncio.timeout(PATIENCE_S):
            await live.joined()
            while not served.relay.origins["binance"] or served.relay.is_replacing:
                await asyncio.sleep(0.001)
        yield GatewayHub(behind, live, served, port)


@asynccontextmanager
async def serving(served: Gateway) -> AsyncIterator[int]:
    """The gateway's route alone; access is the whole interface's."""

    @web.middleware
    async def explain(request: web.Request, handler: Any) -> web.StreamResponse:
        connection = connection_of(request)
        assert connection is not None
        connection.on_header(request.content)
        try:
            response: web.StreamResponse = await handler(request)
        except Problem as problem:
            return failure(problem, request_id="1")
        return response

    app = web.Application(middlewares=[explain])
    app.router.add_get("/ws", served.serve)
    app.on_shutdown.append(lambda _: served.close())
    runner, connections = web.AppRunner(app, access_log=None, shutdown_timeout=5), Connections()
    await runner.setup()
    listener = await connections.listen(runner.server, "127.0.0.1", 0)  # type: ignore[arg-type]
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await runner.cleanup()
        connections.close()


Serving = Callable[..., AbstractAsyncContextManager[Hub]]
SERVERS: dict[str, Serving] = {"hub": hub, "gateway": gateway}
"""What serves the protocol."""
