"""WebSocket framing of a server's messages (RFC 6455, section 5.2), for those who send one message to many peers.

A frame encoded once can be written to every peer as it is, and frames of one moment can be joined into one write.
"""

import struct

TEXT = 0x1
BINARY = 0x2


def encode_frame(payload: bytes, opcode: int = TEXT) -> bytes:
    """One unfragmented, unmasked frame: what a server sends."""
    size = len(payload)
    first = 0x80 | opcode
    if size < 126:
        return struct.pack("!BB", first, size) + payload
    if size < 65_536:
        return struct.pack("!BBH", first, 126, size) + payload
    return struct.pack("!BBQ", first, 127, size) + payload
