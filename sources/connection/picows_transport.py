"""Transport `picows`: a client in C that calls back for each frame, so that a message costs no task switch.

The rare cases are left to its user: fragments, the closing handshake, servers that disconnect before the socket is
open.
"""

import asyncio
from collections.abc import Mapping

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSProtocolError, WSTransport, ws_connect
from python_socks import ProxyError

from sources.connection.transport import (
    CLOSE_S,
    MAX_MESSAGE_BYTES,
    NO_HEADERS,
    PING_S,
    Receive,
    Socket,
    TransportError,
    closed_by_venue,
    cut,
    descriptor_of,
    not_opened,
    proxy_of,
)

_READ_BYTES = 256 << 10
"""Bytes read at once; with the library's default of 16 KiB a burst costs many times the system calls."""
_NO_CODE = 1005
"""Code that stands for a close frame without one (RFC 6455, section 7.1.5)."""
_TEXT, _BINARY, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE


async def open_socket(
    url: str, receive: Receive, *, timeout_s: float, ping_s: float = PING_S, headers: Mapping[str, str] = NO_HEADERS
) -> Socket:
    """See `Open`."""
    socket = _PicowsSocket(receive)
    try:
        async with asyncio.timeout(timeout_s):
            await ws_connect(
                lambda: socket,
                url,
                websocket_handshake_timeout=timeout_s,
                extra_headers=headers,
                enable_auto_ping=True,
                auto_ping_idle_timeout=ping_s,
                auto_ping_reply_timeout=ping_s,
                max_frame_size=MAX_MESSAGE_BYTES,
                read_buffer_init_size=_READ_BYTES,
                proxy=_proxy_of(url),
            )
    except (OSError, EOFError, TimeoutError, ValueError, WSError, ProxyError) as error:
        socket.abandon()
        raise not_opened(error) from error
    except BaseException:
        socket.abandon()
        raise
    if not socket.is_open:  # the library returns nevertheless
        raise TransportError("closed before the handshake was complete")
    return socket


def _proxy_of(url: str) -> str | None:
    """`proxy_of` for a library that always resolves names at the SOCKS proxy and has no scheme for that."""
    proxy = proxy_of(url)
    if proxy is None:
        return None
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme.removesuffix('h') if scheme == 'socks5h' else scheme}{separator}{rest}"


class _PicowsSocket(WSListener):
    """The library's listener and our socket in one class, for the fewest calls per message."""

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive
        self._transport: WSTransport | None = None
        self._is_abandoned = False
        self._fragments: bytearray | None = None
        """Fragments received of a message; None between messages."""
        self._why = ""
        self._disconnected = asyncio.Event()

    @property
    def is_open(self) -> bool:
        """Whether the handshake was completed."""
        return self._transport is not None

    # --- as the library calls it ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._is_abandoned:
            transport.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if (kind is _TEXT or kind is _BINARY) and frame.fin and self._fragments is None:
            self._receive(frame.get_payload_as_bytes())
        elif kind in {_TEXT, _BINARY, _CONTINUATION}:
            self._on_fragment(transport, frame)
        elif kind is _CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(_code_to_answer(frame))
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - the library's signature
        self._disconnected.set()

    def _on_fragment(self, transport: WSTransport, frame: WSFrame) -> None:
        if self._why:
            return  # a frame after the end
        if (frame.msg_type is _CONTINUATION) == (self._fragments is None):
            self._end(transport, WSCloseCode.PROTOCOL_ERROR, "fragments of a message are out of order")
            return
        joined = self._fragments = bytearray() if self._fragments is None else self._fragments
        joined += frame.get_payload_as_memoryview()
        if len(joined) > MAX_MESSAGE_BYTES:
            self._end(transport, WSCloseCode.MESSAGE_TOO_BIG, "a message is too long")
        elif frame.fin:
            self._fragments = None
            self._receive(bytes(joined))

    def _end(self, transport: WSTransport, code: WSCloseCode, why: str) -> None:
        self._why = why
        self._fragments = bytearray()
        transport.send_close(code)
        transport.disconnect()

    # --- as a socket ---

    @property
    def _opened(self) -> WSTransport:
        if self._transport is None:
            raise TransportError("the socket is not open")
        return self._transport

    async def send(self, text: str) -> None:
        if self._disconnected.is_set():
            raise TransportError(self._reason())
        self._opened.send(_TEXT, text)

    def pause(self) -> None:
        self._opened.underlying_transport.pause_reading()

    def resume(self) -> None:
        self._opened.underlying_transport.resume_reading()

    @property
    def descriptor(self) -> int:
        return descriptor_of(self._opened.underlying_transport)

    async def wait_ended(self) -> str:
        await self._disconnected.wait()
        try:
            await self._opened.wait_disconnected()  # raises what the receiver has raised
        except WSProtocolError as error:
            return cut(": ".join(str(part) for part in error.args[1:]) or "the venue broke the protocol")
        return self._reason()

    async def close(self) -> None:
        transport = self._opened
        if not self._disconnected.is_set() and not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        for _ in range(2):
            try:
                async with asyncio.timeout(CLOSE_S):
                    await self._disconnected.wait()
            except TimeoutError:
                transport.disconnect(graceful=False)

    def abandon(self) -> None:
        """The caller has given up; if the socket opens nevertheless, it is closed at once."""
        self._is_abandoned = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _reason(self) -> str:
        handshake = self._opened.close_handshake
        if self._why or handshake is None:
            return cut(self._why)
        if handshake.recv is not None:
            return closed_by_venue(handshake.recv.code.value or _NO_CODE, handshake.recv.reason)
        return cut(handshake.sent.reason if handshake.sent is not None else "")


def _code_to_answer(frame: WSFrame) -> WSCloseCode:
    """The venue's code, if it is one that may be sent."""
    code = frame.get_close_code()
    return WSCloseCode.OK if code == WSCloseCode.NO_INFO else code
