"""Limits of the API's server: time for a request to arrive, incomplete requests, open connections.

    TCP ─▶ Connection (one each, registered in Connections) ─▶ the server's own protocol

| exceeded | response |
|---|---|
| time for header and body | HTTP 408; once a response has begun, the connection is closed |
| number of incomplete requests | the oldest of them: the same |
| open connections, or the descriptors reserved for other uses | HTTP 503, then closed |
| no descriptor left even for a response | closed without one |

The server's own limits apply too: length of a header, length of a body, time of an idle connection.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import Final, cast
from uuid import uuid4

import structlog
from aiohttp import StreamReader, web

from api.http.errors import Problem
from api.http.responses import failure_body
from flows.process.descriptor_room import ACCEPTED_AT_ONCE, QUEUED, descriptor_room

REQUEST_S: Final = 10.0
"""Longest time from the first byte of a request, or the start of its connection, to the request's last byte."""
IDLE_S: Final = 60.0
"""Longest idle time between two requests; enforced by aiohttp's server."""
MOST_OPEN: Final = 4_096
"""Most open connections, including idle ones."""
MOST_WAITING: Final = 256
"""Most connections with an incomplete request; one more ends the oldest of them."""
_LINGER_S: Final = 1.0  # time for a refused peer to read the response: closing at once may discard it

_log = structlog.get_logger(__name__)

ServerProtocol = Callable[[], asyncio.Protocol]


class Connections:
    """All connections of a server. Use it in the server's event loop."""

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
        """Number of connections with an incomplete request."""
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
        """Why a connection on this descriptor is refused; empty when it is accepted, and then counted as open."""
        room = descriptor_room()
        if self._open >= self._most_open:
            return f"too many connections: {self._most_open} are open"
        if room.is_short(descriptor):
            return f"too many connections: the process may open {room.limit} files (ulimit -n)"
        self._open += 1
        return ""

    def on_request_begin(self, connection: "Connection") -> None:
        """Starts the timer of a request; a running timer continues."""
        if connection in self._waiting:
            return
        if len(self._waiting) >= self._most_waiting:
            self._end(next(iter(self._waiting)))
        loop = asyncio.get_running_loop()
        self._waiting[connection] = loop.call_later(self._request_s, self._end, connection)

    def on_request_complete(self, connection: "Connection") -> None:
        """Stops the timer: the request is complete, or the connection is closed."""
        timer = self._waiting.pop(connection, None)
        if timer is not None:
            timer.cancel()

    def close(self) -> None:
        """Closes refused connections that are still open; the server closes the others."""
        for connection in list(self._refused):
            connection.cut()

    def on_refused(self, connection: "Connection") -> None:
        """Registers a refused connection, and closes it after `_LINGER_S`."""
        self.on_request_complete(connection)
        self._refused.add(connection)
        asyncio.get_running_loop().call_later(_LINGER_S, connection.cut)

    def on_lost(self, connection: "Connection", *, was_counted: bool) -> None:
        """Forgets a closed connection."""
        self._open -= was_counted
        self.on_request_complete(connection)
        self._refused.discard(connection)

    def _end(self, connection: "Connection") -> None:
        self.on_request_complete(connection)
        _log.debug("request_timed_out", waiting=self.waiting)
        connection.refuse(Problem("request_timeout", "the request did not arrive in time"))


class Connection(asyncio.Protocol):
    """One connection: passes everything to the server's protocol, until it is refused."""

    def __init__(self, inner: asyncio.Protocol, connections: Connections) -> None:
        self._inner = inner
        self._connections = connections
        self._transport: asyncio.Transport | None = None
        self.is_paused = False
        """The transport holds more than its high-water mark of what was written."""
        self.on_writable: Callable[[], None] = lambda: None
        """Called when there is room again, or the connection is lost."""
        self._is_receiving = True
        """Before the last byte of a request, also before its first byte on a new connection."""
        self._is_answering = False
        """A handler runs, and may have begun its response."""
        self._is_counted = False
        self._is_refused = False

    # --- called by the transport ---

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accepts or refuses the connection."""
        self._transport = cast("asyncio.Transport", transport)
        descriptor = cast("socket.socket", transport.get_extra_info("socket")).fileno()
        if descriptor_room().is_out(descriptor):
            self._is_refused = True
            self.cut()
        elif reason := self._connections.refusal(descriptor):
            _log.warning("connection_refused", reason=reason)
            self.refuse(Problem("too_many_connections", reason))
        else:
            self._is_counted = True
            self._inner.connection_made(transport)
            self._connections.on_request_begin(self)

    def data_received(self, data: bytes) -> None:
        """The first byte after a request starts the timer of the next one, unless the handler still runs."""
        if self._is_refused:
            return
        if not self._is_receiving and not self._is_answering:
            self._is_receiving = True
            self._connections.on_request_begin(self)
        self._inner.data_received(data)

    def eof_received(self) -> bool | None:
        """Passed on; a refused peer has read the response by now."""
        return None if self._is_refused else self._inner.eof_received()

    def pause_writing(self) -> None:
        """Passed on."""
        self.is_paused = True
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Passed on."""
        self.is_paused = False
        self._inner.resume_writing()
        self.on_writable()

    def connection_lost(self, exc: Exception | None) -> None:
        """Passed on."""
        self._connections.on_lost(self, was_counted=self._is_counted)
        self._inner.connection_lost(exc)
        self.on_writable()

    # --- called by the server's handlers ---

    def on_header(self, body: StreamReader) -> None:
        """A handler begins a request with this body."""
        self._is_answering = True
        body.on_eof(self._on_complete)

    def on_answer(self) -> None:
        """The handler has returned."""
        self._is_answering = False

    def _on_complete(self) -> None:
        self._is_receiving = False
        self._connections.on_request_complete(self)

    # --- closing ---

    def refuse(self, problem: Problem) -> None:
        """Sends a problem's response, unless another one may have begun, and closes the connection."""
        if self._transport is None or self._transport.is_closing():
            return
        self._is_refused = True
        if self._is_answering or self._transport.get_write_buffer_size():
            self.cut()
            return
        body = failure_body(problem, request_id=uuid4().hex)
        status = f"{problem.status.value} {problem.status.phrase}".encode()
        head = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
        self._transport.write(head % (status, len(body)) + body)
        self._transport.write_eof()
        self._connections.on_refused(self)

    def cut(self) -> None:
        """Closes the connection at once, without a response. May be called again."""
        if self._transport is not None:
            self._transport.abort()


def connection_of(request: web.Request) -> Connection | None:
    """The connection of a request; None with another server protocol, or when it is closed."""
    protocol = request.transport.get_protocol() if request.transport else None
    return protocol if isinstance(protocol, Connection) else None
