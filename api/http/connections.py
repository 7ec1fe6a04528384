"""The edge of the API's server: how long a request may take to arrive, and how many may be on their way.

    TCP ─▶ Connection (one each, in the books of Connections) ─▶ the server's own protocol

| what is wrong | what the peer gets |
|---|---|
| header and body are not there in time | HTTP 408, or where the answer has begun the end of the connection |
| too many that have not sent a whole request | the oldest of them: the same |
| too many are open, or the descriptors that are left are for others | HTTP 503, then the end |
| no descriptor left even for an answer | the connection is cut |

The server's own limits stand behind this: of the length of a header, of a body, and of an idle connection's life.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast

import structlog
from aiohttp import StreamReader, web

from flows.process.descriptor_room import ACCEPTED_AT_ONCE, QUEUED, descriptor_room

REQUEST_S: Final = 10.0
"""Longest time from the first byte of a request, or from the begin of a connection, to the request's last byte."""
IDLE_S: Final = 60.0
"""Longest life of a connection between two requests; the server counts it."""
MOST_OPEN: Final = 4_096
"""Connections at a time, those that are idle included."""
MOST_WAITING: Final = 256
"""Connections that have not sent a whole request; with one more the oldest of them ends."""
_LINGER_S: Final = 1.0  # a refused peer has so long to read why: closing at once may destroy what was sent

_log = structlog.get_logger(__name__)

ServerProtocol = Callable[[], asyncio.Protocol]


class Connections:
    """All connections of a server. Belongs to its loop."""

    def __init__(
        self, *, request_s: float = REQUEST_S, most_open: int = MOST_OPEN, most_waiting: int = MOST_WAITING
    ) -> None:
        self._request_s = request_s
        self._most_open = most_open
        self._most_waiting = most_waiting
        self._open = 0
        self._waiting: dict[Connection, asyncio.TimerHandle] = {}
        self._refused: set[Connection] = set()

    @property
    def waiting(self) -> int:
        """How many have not sent a whole request."""
        return len(self._waiting)

    async def listen(self, protocol: ServerProtocol, host: str, port: int) -> asyncio.Server:
        """Serves with a protocol of the server for each connection. `OSError` when the port cannot be opened."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        listener = socket.create_server((host, port), family=family)
        server = await asyncio.get_running_loop().create_server(
            lambda: Connection(protocol(), self), sock=listener, backlog=ACCEPTED_AT_ONCE
        )
        listener.listen(QUEUED)
        return server

    def refusal(self, descriptor: int) -> str:
        """Why a connection on this descriptor cannot be served; empty when it can, and is counted from now on."""
        room = descriptor_room()
        if self._open >= self._most_open:
            return f"too many connections: {self._most_open} are open"
        if room.is_short(descriptor):
            return f"too many connections: the process may open {room.limit} files (ulimit -n)"
        self._open += 1
        return ""

    def on_request_begin(self, connection: "Connection") -> None:
        """A request is expected of it from now on; what is expected already keeps its time."""
        if connection in self._waiting:
            return
        if len(self._waiting) >= self._most_waiting:
            self._end(next(iter(self._waiting)))
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.call_later(self._request_s, self._end, connection)

    def on_request_complete(self, connection: "Connection") -> None:
        """Its request is there, or it is gone."""
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Ends those that are refused and have not gone yet; the others are the server's to end."""
        for connection in list(self._refused):
            connection.cut()

    def on_refused(self, connection: "Connection") -> None:
        """It has been answered for the last time, and has a moment to read that."""
        self.on_request_complete(connection)
        self._refused.add(connection)
        asyncio.get_running_loop().call_later(_LINGER_S, connection.cut)

    def on_lost(self, connection: "Connection", *, was_counted: bool) -> None:
        """It is gone."""
        self._open -= was_counted
        self.on_request_complete(connection)
        self._refused.discard(connection)

    def _end(self, connection: "Connection") -> None:
        self.on_request_complete(connection)
        _log.debug("a request did not arrive in time", waiting=self.waiting)
        connection.refuse(b"408 Request Timeout", b"the request did not arrive in time\n")


class Connection(asyncio.Protocol):
    """One connection: everything passes through to the server's protocol, until it is refused."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self._is_receiving = True
        """Before the last byte of a request, the first request's first one included."""
        self._is_answering = False
        """A handler is at work on a request, and may have begun to answer."""
        self._is_counted = False
        self._is_refused = False

    # --- as the transport calls it ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Lets it in, where there is room."""
        self._transport = cast("asyncio.Transport", transport)
        descriptor = cast("socket.socket", transport.get_extra_info("socket")).fileno()
        if descriptor_room().is_out(descriptor):
            self._is_refused = True
            self.cut()
        elif reason := self._connections.refusal(descriptor):
            _log.warning("connection refused", reason=reason)
            self.refuse(b"503 Service Unavailable", f"{reason}\n".encode())
        else:
            self._is_counted = True
            self._inner.connection_made(transport)
            self._connections.on_request_begin(self)

    def data_received(self, data: bytes) -> None:
        """The first byte behind a request begins the next one, unless its handler is still at work."""
        if self._is_refused:
            return
        if not self._is_receiving and not self._is_answering:
            self._is_receiving = True
            self._connections.on_request_begin(self)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Passed on; a peer that was refused has read that now."""
        return None if self._is_refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Passed on."""
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on."""
        self._connections.on_lost(self, was_counted=self._is_counted)
        self._inner.connection_lost(exc)

    # --- as the server's handlers call it ---

    def on_header(self, body: StreamReader) -> None:
        """A handler gets a request with this body."""
        self._is_answering = True
        body.on_eof(self._on_complete)

    def on_answer(self) -> None:
        """The handler is done."""
        self._is_answering = False

    def _on_complete(self) -> None:
        self._is_receiving = False
        self._connections.on_request_complete(self)

    # --- the end ---

    def refuse(self, status: bytes, text: bytes) -> None:
        """Answers, unless another answer may be under way, and ends the connection."""
        if self._transport is None or self._transport.is_closing():
            return
        self._is_refused = True
        if self._is_answering or self._transport.get_write_buffer_size():
            self.cut()
            return
        head = b"HTTP/1.1 %b\r\nContent-Type: text/plain\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self._transport.write(head % (status, len(text)) + text)
        self._transport.write_eof()
        self._connections.on_refused(self)

    def cut(self) -> None:
        """Ends it without a word. Harmless when it has ended."""
        if self._transport is not None:
            self._transport.abort()


def connection_of(request: web.Request) -> Connection | None:
    """The connection that a request came by; None where the server has none of these, or it is gone."""
    protocol = request.transport.get_protocol() if request.transport else None
    return protocol if isinstance(protocol, Connection) else None
