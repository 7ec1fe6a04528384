"""Transport `picows`: a client in C that calls back for each frame, so that a message costs no task switch.

It leaves to its user what is rare: joining fragments, and the closing handshake.
"""

import asyncio

from picows import WSCloseCode, WSError, WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

from sources.transport import (
    CLOSE_S,
    MAX_MESSAGE_BYTES,
    PING_S,
    Receive,
    Socket,
    TransportError,
    closed_by_venue,
    cut,
    not_opened,
)

_READ_BYTES = 256 << 10
"""Most that is read at once; with the library's own 16 KiB a burst costs many times the system calls."""
_TEXT, _BINARY, _CONTINUATION, _CLOSE = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION, WSMsgType.CLOSE


async def open_socket(url: str, receive: Receive, *, timeout_s: float, ping_s: float = PING_S) -> Socket:
    """See `Open`."""
    socket = _PicowsSocket(receive)
    try:
        async with asyncio.timeout(timeout_s):
            await ws_connect(
                lambda: socket,
                url,
                websocket_handshake_timeout=timeout_s,
                enable_auto_ping=True,
                auto_ping_idle_timeout=ping_s,
                auto_ping_reply_timeout=ping_s,
                max_frame_size=MAX_MESSAGE_BYTES,
                read_buffer_init_size=_READ_BYTES,
            )
    except (OSError, TimeoutError, WSError) as error:
        socket.abandon()
        raise not_opened(error) from error
    except asyncio.CancelledError:
        socket.abandon()
        raise
    return socket


class _PicowsSocket(WSListener):
    """The library's listener and our socket in one, so that a message passes through as few hands as can be."""

    def __init__(self, receive: Receive) -> None:
        super().__init__()
        self._receive = receive
        self._transport: WSTransport | None = None
        self._is_abandoned = False
        self._fragments = bytearray()
        self._why = ""
        self._gone = asyncio.Event()

    # --- as the library calls it ---

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        if self._is_abandoned:
            transport.disconnect()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        kind = frame.msg_type
        if (kind is _TEXT or kind is _BINARY) and frame.fin:
            self._receive(frame.get_payload_as_bytes())
        elif kind in {_TEXT, _BINARY, _CONTINUATION}:
            self._on_fragment(transport, frame)
        elif kind is _CLOSE:
            if not transport.is_close_frame_sent:
                transport.send_close(frame.get_close_code())
            transport.disconnect()

    def on_ws_disconnected(self, transport: WSTransport) -> None:  # noqa: ARG002 - the library's signature
        self._gone.set()

    def _on_fragment(self, transport: WSTransport, frame: WSFrame) -> None:
        self._fragments += frame.get_payload_as_memoryview()
        if len(self._fragments) > MAX_MESSAGE_BYTES:
            self._why = "a message is too long"
            transport.send_close(WSCloseCode.MESSAGE_TOO_BIG)
            transport.disconnect()
        elif frame.fin:
            message, self._fragments = bytes(self._fragments), bytearray()
            self._receive(message)

    # --- as a socket ---

    @property
    def _opened(self) -> WSTransport:
        if self._transport is None:
            raise RuntimeError("the socket is not open yet")
        return self._transport

    async def send(self, text: str) -> None:
        if self._gone.is_set():
            raise TransportError(self._reason())
        self._opened.send(_TEXT, text)

    def pause(self) -> None:
        self._opened.underlying_transport.pause_reading()

    def resume(self) -> None:
        self._opened.underlying_transport.resume_reading()

    async def wait_ended(self) -> str:
        await self._gone.wait()
        await self._opened.wait_disconnected()  # raises what the receiver has raised
        return self._reason()

    async def close(self) -> None:
        transport = self._opened
        if not self._gone.is_set() and not transport.is_close_frame_sent:
            transport.send_close(WSCloseCode.OK)
        try:
            async with asyncio.timeout(CLOSE_S):
                await self._gone.wait()
        except TimeoutError:
            transport.disconnect(graceful=False)
            await self._gone.wait()

    def abandon(self) -> None:
        """Nobody waits for it any more; should it open after all, it is closed at once."""
        self._is_abandoned = True
        if self._transport is not None:
            self._transport.disconnect(graceful=False)

    def _reason(self) -> str:
        handshake = self._opened.close_handshake
        if handshake is not None and handshake.recv is not None:
            return closed_by_venue(handshake.recv.code.value, handshake.recv.reason)
        return cut(self._why or (handshake.sent.reason if handshake is not None and handshake.sent is not None else ""))
