"""A venue that ends its connections in every way that a socket can end, byte by byte."""

import asyncio
import base64
import hashlib
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import NamedTuple

import msgspec

from flows.websocket import encode_frame

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
CLOSE, PING, CONTINUATION = 0x8, 0x9, 0x0
DATA = b'{"stream":"btcusdt@aggTrade","data":{"number":1}}'


class Peer:
    """One client, as bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def request(self) -> bytes:
        """The handshake's request."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def refuse(self, status: str, body: bytes = b"", *headers: str) -> None:
        """Answers the handshake with something else than an upgrade."""
        await self.request()
        lines = (f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers, "", "")
        await self.write("\r\n".join(lines).encode() + body)

    async def upgrade(self, *, accept: bytes | None = None) -> None:
        """Completes the handshake."""
        request = await self.request()
        key = next(line for line in request.split(b"\r\n") if line.lower().startswith(b"sec-websocket-key"))
        right = base64.b64encode(hashlib.sha1(key.split(b":")[1].strip() + _GUID).digest())
        await self.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + (accept or right) + b"\r\n\r\n"
        )

    async def message(self) -> bytes:
        """The client's next frame, unmasked."""
        first = await self.reader.readexactly(2)
        size = first[1] & 0x7F
        if size == 126:
            [size] = struct.unpack("!H", await self.reader.readexactly(2))
        mask = await self.reader.readexactly(4)
        masked = await self.reader.readexactly(size)
        return bytes(byte ^ mask[place % 4] for place, byte in enumerate(masked))

    async def confirm(self) -> None:
        """Completes the handshake, answers the first request as done, and sends a message."""
        await self.upgrade()
        body = msgspec.json.decode(await self.message())
        await self.write(encode_frame(msgspec.json.encode({"result": None, "id": body["id"]})) + encode_frame(DATA))

    def reset(self) -> None:
        """Ends the connection without a goodbye on any layer."""
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Act = Callable[[Peer], Awaitable[None]]


class End(NamedTuple):
    """A way to end a connection, which the venue closes afterwards unless the client did."""

    name: str
    act: Act


def close_frame(payload: bytes) -> bytes:
    return encode_frame(payload, CLOSE)


def coded(code: int, text: bytes = b"") -> bytes:
    return close_frame(struct.pack("!H", code) + text)


async def _nothing(_: Peer) -> None:
    pass


async def _reset(peer: Peer) -> None:
    peer.reset()


async def _never_answer(peer: Peer) -> None:
    await peer.reader.read()


async def _wrong_accept(peer: Peer) -> None:
    await peer.upgrade(accept=b"bm90IHRoZSBhbnN3ZXI=")


async def _half_a_frame_and_reset(peer: Peer) -> None:
    await peer.confirm()
    await peer.write(encode_frame(b"x" * 70_000)[:30_000])
    peer.reset()


async def _reset_when_confirmed(peer: Peer) -> None:
    await peer.confirm()
    peer.reset()


def _garbage(data: bytes) -> Act:
    async def act(peer: Peer) -> None:
        await peer.request()
        await peer.write(data)

    return act


def _status(status: str, body: bytes = b"", *headers: str) -> Act:
    async def act(peer: Peer) -> None:
        await peer.refuse(status, body, *headers)

    return act


def _then(*frames: bytes) -> Act:
    """Confirms, and sends these bytes."""

    async def act(peer: Peer) -> None:
        await peer.confirm()
        for data in frames:
            await peer.write(data)

    return act


async def _close_before_the_answer(peer: Peer) -> None:
    await peer.upgrade()


async def _refuse_and_close(peer: Peer) -> None:
    await peer.upgrade()
    await peer.message()
    await peer.write(encode_frame(b'{"error":{"code":{"x":[1]},"msg":["\xc3\xa4"]},"id":null}'))


HUGE = (16 << 20) + 1
_PART = b"\x01\x7f" + struct.pack("!Q", 1 << 20) + b" " * (1 << 20)
_NEXT_PART = b"\x00\x7f" + struct.pack("!Q", 1 << 20) + b" " * (1 << 20)
_HTML = b"<html><body>" + b"busy " * 1_000 + b"</body></html>"

ENDS = [
    End("closes as soon as it has accepted", _nothing),
    End("resets as soon as it has accepted", _reset),
    End("answers the handshake with garbage", _garbage(b"\x00\xff" * 100 + b"\r\n\r\n")),
    End("answers the handshake with half a header", _garbage(b"HTTP/1.1 101 Switching Proto")),
    End("answers the handshake in another protocol", _garbage(b"220 mail.example ESMTP\r\n\r\n")),
    End("answers the handshake with an endless header", _garbage(b"HTTP/1.1 101 Ok\r\n" + b"X-A: b\r\n" * 20_000)),
    End("forbids the handshake", _status("403 Forbidden")),
    End("forbids the handshake at length", _status("403 Forbidden", _HTML)),
    End("counts too many handshakes", _status("429 Too Many Requests", _HTML, "Retry-After: 1")),
    End("fails at the handshake", _status("500 Internal Server Error", b"\xff" * 100)),
    End("is not available", _status("503 Service Unavailable")),
    End("sends the client nowhere", _status("302 Found")),
    End("sends the client elsewhere", _status("302 Found", b"", "Location: ws://127.0.0.1:9/else")),
    End("sends the client to no address", _status("302 Found", b"", "Location: http://[::1/\x7f")),
    End("answers no handshake", _never_answer),
    End("answers the handshake of another", _wrong_accept),
    End("closes behind the handshake", _close_before_the_answer),
    End("refuses in odd words", _refuse_and_close),
    End("cuts without a close frame", _then()),
    End("resets in the middle", _reset_when_confirmed),
    *[End(f"closes with {code}", _then(coded(code))) for code in (1000, 1001, 1008, 1011, 1012, 1013, 1014)],
    *[End(f"closes with its own {code}", _then(coded(code, b"bye"))) for code in (3000, 4000, 4999)],
    *[End(f"closes with {code}, which is none", _then(coded(code))) for code in (0, 999, 1004, 1005, 1006, 1015, 2000)],
    *[End(f"closes with {code}, beyond all", _then(coded(code))) for code in (5000, 65535)],
    End("closes without a code", _then(close_frame(b""))),
    End("closes with half a code", _then(close_frame(b"\x03"))),
    End("closes with a reason that is no text", _then(coded(1000, b"\xff\xfe"))),
    End("closes twice", _then(coded(1000) + coded(1001))),
    End("closes with a fragmented frame", _then(b"\x08\x02\x03\xe8")),
    End("closes with a frame that is too long", _then(b"\x88\x7e\x00\xc8" + b"\x03\xe8" + b"x" * 198)),
    End("sends text that is none", _then(encode_frame(b'{"stream":"\xff\xfe"}'))),
    End("sets a reserved bit", _then(b"\xc1\x01x")),
    End("sets all reserved bits", _then(b"\xf1\x01x")),
    *[End(f"sends opcode {code:#x}", _then(bytes((0x80 | code, 0)))) for code in (0x3, 0x7, 0xB, 0xF)],
    End("masks its frame", _then(b"\x81\x81\x00\x00\x00\x00x")),
    End("does not end a message in fragments", _then(b"\x01\x01x" * 1 + b"\x00\x01x")),
    End("continues what it has not begun", _then(b"\x80\x01x")),
    End("begins a message within another", _then(b"\x01\x01x" + b"\x81\x01y")),
    End("announces a frame that is too long", _then(b"\x81\x7f" + struct.pack("!Q", HUGE))),
    End("announces a frame of a negative length", _then(b"\x81\x7f" + b"\xff" * 8)),
    End("sends a message of fragments that is too long", _then(_PART, *[_NEXT_PART] * 18)),
    End("sends half a frame", _then(encode_frame(b"x" * 70_000)[:30_000])),
    End("sends half a header", _then(b"\x81")),
    End("resets in the middle of a frame", _half_a_frame_and_reset),
    End("floods with pings", _then(encode_frame(b"ping", PING) * 5_000)),
    End("sends a ping that is too long", _then(encode_frame(b"x" * 200, PING))),
    End("sends a ping in fragments", _then(b"\x09\x01x")),
    End("answers a ping that never was", _then(encode_frame(b"x", 0xA))),
    End("closes after an endless nesting", _then(encode_frame(b'{"stream":"x","data":' * 20_000))),
    End("closes after a reply that is no text", _then(encode_frame(b'{"id":1,"result":"\xff"}'))),
]
"""Each is followed by the end of the TCP connection."""


@asynccontextmanager
async def rude_venue(end: Act) -> AsyncIterator[str]:
    """Ends its first connection like this, and behaves with all that follow; yields the address."""
    open_peers: set[asyncio.StreamWriter] = set()
    acts = [end]

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_peers.add(writer)
        peer = Peer(reader, writer)
        try:
            if acts:
                await acts.pop()(peer)
            else:
                await peer.confirm()
                await reader.read(1)  # the client's goodbye
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the client was first
        finally:
            open_peers.discard(writer)
            writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0, limit=1 << 20)
    try:
        yield f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        for writer in list(open_peers):
            writer.transport.abort()
        await server.wait_closed()
