"""A client's WebSocket at the API: aiohttp's, which also writes finished frames directly.

The library handles handshake, pings, requests and the closing handshake, and writes to the same transport. Both write
whole frames only, so frames never mix. Compression must be off.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

from aiohttp import WSCloseCode, WSMessage, WSMsgType, web

from api.http.connections import Connection
from flows.clock import monotonic_ms
from sinks.hub.auth import FRAMES_PER_S, TokenBucket
from sinks.hub.connection import CLOSE_S, KERNEL_BYTES, WRITE_LIMITS

_CONTROL: Final = frozenset((WSMsgType.PING, WSMsgType.PONG))
_COUNTED: Final = _CONTROL | {WSMsgType.TEXT, WSMsgType.BINARY}
_ENDED: Final = WSMessage(WSMsgType.CLOSED, None, None)


class GatewaySocket:
    """A client's connection: the `Peer` of `sinks/hub/client.py`. Made after the handshake, of a WebSocket without
    `autoping`: with that aiohttp answers any number of pings at once.
    """

    def __init__(self, websocket: web.WebSocketResponse, connection: Connection, transport: asyncio.Transport) -> None:
        self.websocket = websocket
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again after `write_frames` returned False, or the connection is lost."""
        self._connection = connection
        self._transport = transport
        self._room = asyncio.Event()
        self._closing: asyncio.Task[None] | None = None
        self._frames = TokenBucket(now_ms=monotonic_ms(), per_s=FRAMES_PER_S)
        transport.set_write_buffer_limits(*WRITE_LIMITS)
        raw_socket = cast("socket.socket", transport.get_extra_info("socket"))
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)
        connection.on_writable = self._on_writable

    @property
    def is_open(self) -> bool:
        """Whether messages may still come."""
        return self._closing is None and not self.websocket.closed and not self._transport.is_closing()

    @property
    def peer_name(self) -> str:
        """Address of the other side, for logs."""
        address = self._transport.get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if address else "unknown"

    async def receive(self) -> WSMessage:
        """The client's next message, or what ends the connection. Pings are answered; with a frame too many the
        connection is closed.
        """
        while True:
            message: WSMessage = await self.websocket.receive()
            if message.type not in _COUNTED:
                return message
            if not self._frames.take(monotonic_ms()):
                self.begin_close(WSCloseCode.POLICY_VIOLATION, f"more than {FRAMES_PER_S} frames a second")
                return _ENDED
            if message.type not in _CONTROL:
                return message
            if message.type is WSMsgType.PING:
                await self.websocket.pong(message.data)

    def write_frames(self, frames: bytes) -> bool:
        """Writes finished frames; False when the transport holds more than the high-water mark."""
        if not self.is_open:
            return True
        self._transport.write(frames)
        return not self._connection.is_paused

    def begin_close(self, code: int, reason: str) -> None:
        """Begins the closing handshake, and cuts the connection `CLOSE_S` later if it is still open."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close_in_time(code, reason))

    def cut(self) -> None:
        """Cuts the connection without a closing handshake."""
        self._transport.abort()

    async def wait_room(self) -> None:
        """Waits until there is room again, or the connection is lost."""
        self._room.clear()
        await self._room.wait()

    async def wait_closing(self) -> None:
        """Returns when a close that was begun is over."""
        if self._closing is not None:
            await self._closing

    async def _close_in_time(self, code: int, reason: str) -> None:
        """Closes within `CLOSE_S`: the library waits without limit for a peer that does not read."""
        try:
            await asyncio.wait_for(self.websocket.close(code=code, message=reason.encode()), CLOSE_S)
        except (TimeoutError, ConnectionError, RuntimeError):
            pass
        finally:
            if not self._transport.is_closing() or self._transport.get_write_buffer_size():
                self._transport.abort()  # a transport that is closing waits until its peer has read all, for ever

    def _on_writable(self) -> None:
        self.on_writable()
        self._room.set()
