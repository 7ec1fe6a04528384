"""The library's server connection, which also writes finished frames directly.

The library handles handshake, pings, requests and the closing handshake, and writes to the same transport. Both write
whole frames only, so frames never mix. Compression must be off.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode, Frame
from websockets.protocol import Event, State

from flows.clock import monotonic_ms
from flows.process.descriptor_room import descriptor_room
from sinks.hub.auth import FRAMES_PER_S, ClientOptions, TokenBucket

WRITE_LIMITS: Final = (65_536, 16_384)
"""High- and low-water mark, in bytes, of what waits in this process for a client."""
KERNEL_BYTES: Final = 262_144
"""Size of the kernel's send buffer: what waits there can no longer be merged."""
READ_BYTES: Final = 4_096
"""Bytes that are read at once: behind a frame that is one too many at most so many are still looked at."""
CLOSE_S: Final = 1.0
"""Longest closing handshake before the connection is cut."""


class ClientSocket(ServerConnection):
    """A client's connection: the `Peer` of `client.py`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.client_options: ClientOptions | None = None
        """Options of its handshake; None until it is authorized."""
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again after `write_frames` returned False, or the connection is lost."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called once when the connection is lost."""
        self._closing: asyncio.Task[None] | None = None
        self._frames = TokenBucket(now_ms=monotonic_ms(), per_s=FRAMES_PER_S)
        self._is_read = True

    @property
    def descriptor(self) -> int:
        """Its file descriptor; -1 when it is closed."""
        return cast("socket.socket", self.transport.get_extra_info("socket")).fileno()

    @property
    def peer_name(self) -> str:
        """Address of the other side, for logs."""
        address = self.transport.get_extra_info("peername")
        return f"{address[0]}:{address[1]}" if address else "unknown"

    def write_frames(self, frames: bytes) -> bool:
        """Writes finished frames; False when the transport holds more than the high-water mark."""
        if self.protocol.state is not State.OPEN:
            return True
        self.transport.write(frames)
        return not self.paused

    def begin_close(self, code: int, reason: str) -> None:
        """Begins the closing handshake, and cuts the connection `CLOSE_S` later if it is still open."""
        if self._closing is None:
            self._closing = asyncio.get_running_loop().create_task(self._close_in_time(code, reason))

    def cut(self) -> None:
        """Cuts the connection without a closing handshake."""
        self.transport.abort()

    async def wait_closing(self) -> None:
        """Returns when a close that was begun is over."""
        if self._closing is not None:
            await self._closing

    async def _close_in_time(self, code: int, reason: str) -> None:
        """Closes within `CLOSE_S`: the library waits without limit for a peer that does not read."""
        try:
            await asyncio.wait_for(self.close(code, reason), CLOSE_S)
        except (TimeoutError, ConnectionClosed):
            self.transport.abort()

    # --- called by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limits the kernel's buffer. Cuts the connection when there is no descriptor free even for a refusal."""
        super().connection_made(transport)
        if descriptor_room().is_out(self.descriptor):
            self.transport.abort()
            return
        raw_socket = cast("socket.socket", transport.get_extra_info("socket"))
        raw_socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def data_received(self, data: bytes) -> None:
        """Reads frames, as long as they are not too many."""
        for start in range(0, len(data), READ_BYTES):
            if self._is_read:
                super().data_received(data[start : start + READ_BYTES])

    def process_event(self, event: Event) -> None:
        """Counts a frame. With one too many the connection is closed, and nothing more is read from it."""
        if isinstance(event, Frame) and self._is_read and not self._frames.take(monotonic_ms()):
            self._is_read = False
            self.transport.pause_reading()
            self.begin_close(CloseCode.POLICY_VIOLATION, f"more than {FRAMES_PER_S} frames a second")
        if self._is_read:
            super().process_event(event)

    def resume_writing(self) -> None:
        """The transport has room again."""
        super().resume_writing()
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is lost; waiting for room ends."""
        super().connection_lost(exc)
        self.on_writable()
        self.on_lost()
