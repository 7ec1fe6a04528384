"""WebSocket framing of a server's messages (RFC 6455, section 5.2), for one message to many peers, and the end of
a client.

A frame is encoded once and written to every peer; several frames can be joined into one write.
"""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Protocol

TEXT = 0x1
BINARY = 0x2
GOING_AWAY: Final = 1001
_LENGTH_16 = 126
_LENGTH_64 = 127


def encode_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unfragmented, unmasked frame, as servers send."""
    size = len(payload)
    first = 0x80 | opcode
    if size < _LENGTH_16:
        return struct.pack("!BB", first, size) + payload
    if size < 1 << 16:
        return struct.pack("!BBH", first, _LENGTH_16, size) + payload
    return struct.pack("!BBQ", first, _LENGTH_64, size) + payload


class Closing(Protocol):
    """A connection as `websockets` has it."""

    async def close(self, code: int = ..., reason: str = ...) -> None:
        """Closes it, if it is open."""


@asynccontextmanager
async def leaving(connection: Closing) -> AsyncIterator[None]:
    """Closes a client's connection with `GOING_AWAY` when the client is cancelled inside, or has lost its own reader:
    the library says 1011 then, an internal error.
    """
    try:
        yield
    except (asyncio.CancelledError, KeyboardInterrupt, BrokenPipeError):
        await connection.close(GOING_AWAY)
        raise
