"""How a client's messages come and go: a WebSocket, or requests of HTTP with answers that wait (long polling) or go on
(server-sent events).
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any, Final, Protocol

from aiohttp import WSCloseCode, WSMsgType

from api.gateway.socket import GatewaySocket
from flows.websocket import BINARY, TEXT, encode_frame

BUFFER_BYTES: Final = 65_536
"""What may wait for a client of HTTP before it has no more room."""
FRAMES_WAITING: Final = 32
"""Most frames of a client that wait to be served; a further one is refused."""
CLOSE_S: Final = 2.0
"""How long what waits for a client of HTTP may still be fetched after the end."""


class Transport(Protocol):
    """The connection of one client."""

    on_writable: Callable[[], None]
    """Called when there is room again."""

    takes_binary: bool
    """Whether MessagePack can be sent."""

    @property
    def is_open(self) -> bool:
        """Whether messages may still come."""

    def has_fetched(self) -> bool:
        """Whether the client has fetched messages since the last call, or waits for some now: it is there."""

    def frames(self) -> AsyncIterator[bytes]:
        """What the client sends, until the end."""

    def write(self, records: bytes, *, is_binary: bool) -> bool:
        """Sends finished messages; False when there is no more room."""

    def begin_close(self, code: int, reason: str) -> None:
        """Begins to close the connection."""

    async def wait_room(self) -> None:
        """Waits until there is room again, or the connection is lost."""

    async def wait_closing(self) -> None:
        """Returns when a close that was begun is over."""


class WebSocketTransport(GatewaySocket):
    """A WebSocket; each write is a frame."""

    takes_binary = True

    def __init__(self, *args: Any) -> None:
        """As for `GatewaySocket`."""
        super().__init__(*args)
        self.has_left = False
        """Whether the client has closed the connection as one that is not needed any more."""
        self.is_read = asyncio.Event()
        """Set when nothing more is read from it."""

    def has_fetched(self) -> bool:
        """Always unknown: the client sends pings."""
        return False

    async def frames(self) -> AsyncIterator[bytes]:
        """What the client sends: text or binary, whatever the encoding."""
        while (message := await self.receive()).type in (WSMsgType.TEXT, WSMsgType.BINARY):
            yield message.data if isinstance(message.data, bytes) else message.data.encode()
        self.has_left = message.type is WSMsgType.CLOSE and message.data == WSCloseCode.OK
        self.is_read.set()

    def write(self, records: bytes, *, is_binary: bool) -> bool:
        """Sends finished messages; False when there is no more room."""
        return self.write_frames(encode_frame(records, BINARY if is_binary else TEXT))


class HttpTransport:
    """Requests bring the client's messages (`put`), answers take what waits for it (`take`)."""

    def __init__(self, *, takes_binary: bool) -> None:
        self.takes_binary = takes_binary
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again."""
        self.is_binary = False
        """Whether the messages are, as those of MessagePack."""
        self._frames: deque[bytes] = deque()
        self._buffer = bytearray()
        self._is_open = True
        self._waiting = 0
        self._has_fetched = False
        self._newest = 0
        """Number of the newest `take`, which ends those before it."""
        self._arrived = asyncio.Event()
        self._changed = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether messages may still come."""
        return self._is_open

    def has_fetched(self) -> bool:
        """Whether there was a `take` since the last call, or one waits for messages now."""
        fetched, self._has_fetched = self._has_fetched, False
        return fetched or self._waiting > 0

    async def frames(self) -> AsyncIterator[bytes]:
        """What the client sends, until the end."""
        while True:
            while self._frames:
                yield self._frames.popleft()
            if not self._is_open:
                return
            self._arrived.clear()
            await self._arrived.wait()

    def put(self, frame: bytes) -> bool:
        """Takes a message of the client; False when too many wait."""
        if len(self._frames) >= FRAMES_WAITING:
            return False
        self._frames.append(frame)
        self._arrived.set()
        return True

    def write(self, records: bytes, *, is_binary: bool) -> bool:
        """Sends finished messages; False when there is no more room."""
        if self._is_open:
            self.is_binary = is_binary
            self._buffer += records
            self._changed.set()
        return len(self._buffer) < BUFFER_BYTES

    async def take(self, *, within_s: float) -> bytes | None:
        """What waits for the client, as soon as there is something; empty when nothing came in time, None after
        the end, or when a later call takes.
        """
        self._newest += 1
        own = self._newest
        self._waiting += 1
        self._has_fetched = True
        self._changed.set()
        try:
            async with asyncio.timeout(within_s):
                while own == self._newest and not self._buffer and self._is_open:
                    self._changed.clear()
                    await self._changed.wait()
        except TimeoutError:
            return b""
        finally:
            self._waiting -= 1
        return self._taken() if own == self._newest else None

    def _taken(self) -> bytes | None:
        taken = bytes(self._buffer)
        self._buffer.clear()
        if taken:
            self.on_writable()
            self._arrived.set()
        return taken if taken or self._is_open else None

    def begin_close(self, code: int, reason: str) -> None:  # noqa: ARG002 - as every transport
        """Ends it; what waits may still be taken."""
        self._is_open = False
        self._arrived.set()
        self._changed.set()

    async def wait_room(self) -> None:
        """Waits until something was taken, or the end."""
        self._arrived.clear()
        await self._arrived.wait()

    async def wait_closing(self) -> None:
        """Leaves the client time to take what waits."""
        try:
            async with asyncio.timeout(CLOSE_S):
                while self._buffer:
                    await self.wait_room()
        except TimeoutError:
            pass
