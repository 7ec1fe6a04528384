"""A venue small enough to be told what to do: a WebSocket server on loopback with a script for each connection."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from websockets.asyncio.server import ServerConnection, serve

Script = Callable[["VenueSession"], Awaitable[None]]


class VenueSession:
    """One client as the venue sees it."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    async def request(self) -> dict[str, Any]:
        """The client's next request."""
        body: dict[str, Any] = msgspec.json.decode(await self.socket.recv())
        return body

    async def confirm(self) -> dict[str, Any]:
        """Answers the next request as done."""
        body = await self.request()
        await self.send({"result": None, "id": body["id"]})
        return body

    async def send(self, body: Any) -> None:
        """Sends a message."""
        await self.socket.send(body if isinstance(body, bytes | str) else msgspec.json.encode(body).decode())

    async def stay(self) -> None:
        """Keeps the connection until the client goes."""
        await self.socket.wait_closed()


@asynccontextmanager
async def running_venue(*scripts: Script, port: int = 0) -> AsyncIterator[str]:
    """Serves each connection by the next script, the last one for all that follow; yields the address."""
    remaining = list(scripts)

    async def handle(socket: ServerConnection) -> None:
        script = remaining.pop(0) if len(remaining) > 1 else remaining[0]
        await script(VenueSession(socket))

    async with serve(handle, "127.0.0.1", port) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


def frame(number: int, stream: str = "btcusdt@aggTrade") -> bytes:
    """A frame of data that says its number."""
    return b'{"stream":"%s","data":{"number":%d}}' % (stream.encode(), number)
