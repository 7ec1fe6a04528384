"""WebSocket framing of a server's messages (RFC 6455, section 5.2), for one message to many peers.

A frame is encoded once and written to every peer; several frames can be joined into one write.
"""

import struct

TEXT = 0x1
BINARY = 0x2
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
