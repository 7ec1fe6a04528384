"""The library's server connection, with a way past it for finished frames.

Handshake, pings, requests and the closing handshake stay with the library, which writes to the same transport: both
write whole frames only, so they never mix within one. Compression must be off.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Any, Final, cast

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.protocol import State

from flows.process.descriptor_room import descriptor_room
from sinks.hub.auth import ClientOptions

WRITE_LIMITS: Final = (65_536, 16_384)
"""High- and low-water mark, in bytes, of what waits in this process for a client to read."""
KERNEL_BYTES: Final = 262_144
"""What the kernel may hold for a client: more only makes old news wait where they cannot be merged any more."""
DISMISS_S: Final = 1.0
"""How long a dismissed client has to answer before its line is cut."""


class ClientSocket(ServerConnection):
    """A client's line: the `Peer` of `client.py`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.admission: ClientOptions | None = None
        """How the client begins; None until it may come in."""
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again after `write_frames` returned False, or never will be."""
        self.on_lost: Callable[[], None] = lambda: None
        """Called once when the line is gone."""
        self._goodbye: asyncio.Task[None] | None = None

    @property
    def descriptor(self) -> int:
        """Its number among the open files of the process; -1 when it is closed."""
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

    def dismiss(self, code: int, reason: str) -> None:
        """Begins the closing handshake, and cuts the line `DISMISS_S` later if it is still there."""
        if self._goodbye is None:
            self._goodbye = asyncio.get_running_loop().create_task(self._say_goodbye(code, reason))

    def cut(self) -> None:
        """Ends the line without a word."""
        self.transport.abort()

    async def gone(self) -> None:
        """Returns when a dismissal is over."""
        if self._goodbye is not None:
            await self._goodbye

    async def _say_goodbye(self, code: int, reason: str) -> None:
        """The library waits without limit for a peer that does not read, so the limit is ours."""
        try:
            await asyncio.wait_for(self.close(code, reason), DISMISS_S)
        except (TimeoutError, ConnectionClosed):
            self.transport.abort()

    # --- called by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Limits what the kernel holds. Where not even a refusal has room, the connection is cut."""
        super().connection_made(transport)
        if descriptor_room().is_out(self.descriptor):
            self.transport.abort()
            return
        line = cast("socket.socket", transport.get_extra_info("socket"))
        line.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, KERNEL_BYTES)

    def resume_writing(self) -> None:
        """There is room again."""
        super().resume_writing()
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """The line is gone, and whoever waits for room in it need not."""
        super().connection_lost(exc)
        self.on_writable()
        self.on_lost()
