"""The SignalR hub at `/hubs/marketdata`: negotiates, and opens connections over WebSockets, server-sent events and long
polling. Access is the API's, and the token may be in `access_token` too, as browsers send it; what clients get is the
gateway's.

| case | answer |
|---|---|
| an `id` that was not negotiated, has ended, or was not used for 15 s | 404 |
| a WebSocket for an `id` whose connection is open and cannot be resumed; a second message of an `id` at a time | 409 |
| a stateful reconnect with other rights than before | 403 |
| a WebSocket without `id` | a new connection |
| anything else without `id`; another transport than the first one | 400 |
| too many negotiated ids or clients, too many messages that wait | 503 |
| long polling: the connection has ended, or another request waits now | 204 |
"""

import asyncio
from collections.abc import Coroutine
from http import HTTPStatus
from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, hdrs, web

from api.gateway.gateway import Gateway
from api.http.auth import RIGHTS
from api.http.connections import connection_of
from api.http.errors import Problem
from api.signalr.connection import Calls, Connection
from api.signalr.protocol import MESSAGE_BYTES
from api.signalr.resumable import ResumableTransport
from api.signalr.tickets import Ticket, Tickets
from api.signalr.transports import HttpTransport, Transport, WebSocketTransport
from flows.clock import monotonic_ms
from sinks.hub.connection import CLOSE_S
from sinks.hub.rights import MARKET, Rights

TRANSPORTS: Final = [
    {"transport": "WebSockets", "transferFormats": ["Text", "Binary"]},
    {"transport": "ServerSentEvents", "transferFormats": ["Text"]},
    {"transport": "LongPolling", "transferFormats": ["Text", "Binary"]},
]
HOLD_S: Final = 25.0
"""Longest wait of a request for messages: below the time after which proxies give up."""
EVENTS: Final = "text/event-stream"

_log = structlog.get_logger(__name__)


class _HttpConnection:
    """A connection over requests of HTTP."""

    def __init__(self, *, is_polled: bool) -> None:
        self.transport = HttpTransport(takes_binary=is_polled)
        self.is_polled = is_polled
        self.is_posting = False


class SignalR:
    """Negotiates and serves connections."""

    def __init__(self, gateway: Gateway, calls: Calls, *, max_clients: int) -> None:
        self._gateway = gateway
        self._calls = calls
        self._max_clients = max_clients
        self._tickets = Tickets()
        self._connections: set[Connection] = set()
        self._by_http: dict[str, _HttpConnection] = {}
        self._by_websocket: set[str] = set()
        self._by_resumable: dict[str, Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def negotiate(self, version: int, *, may_resume: bool) -> dict[str, Any]:
        """The answer to a negotiation; `Problem` when there are too many. In version 0 one id is both public and the
        one that opens the connection. `may_resume`: the client asks for stateful reconnects, which it gets over
        WebSockets.
        """
        id_ = self._tickets.issue(monotonic_ms(), may_resume=may_resume)
        if id_ is None:
            raise Problem("too_many_connections", "too many connections are negotiated and not opened")
        if version == 0:
            answer: dict[str, Any] = {"negotiateVersion": 0, "connectionId": id_}
        else:
            answer = {"negotiateVersion": 1, "connectionId": id_[:8], "connectionToken": id_}
        if may_resume:
            answer["useStatefulReconnect"] = True
        return answer | {"availableTransports": TRANSPORTS}

    async def open(self, request: web.Request) -> web.StreamResponse:
        """Opens a connection, or takes its messages. `Problem` for a request that is refused."""
        websocket = web.WebSocketResponse(
            compress=False, max_msg_size=MESSAGE_BYTES + 1, timeout=CLOSE_S, autoping=False
        )
        if websocket.can_prepare(request).ok:
            return await self._serve_websocket(request, websocket)
        id_ = _id_of(request)
        is_polled = EVENTS not in request.headers.get(hdrs.ACCEPT, "")
        known = self._by_http.get(id_)
        if known is None:
            known = self._begin_http(id_, request.get(RIGHTS, MARKET), is_polled=is_polled)
            return web.Response() if is_polled else await self._send_events(request, known)
        if not is_polled or not known.is_polled:
            raise Problem("bad_request", "the connection has another transport, or is open")
        return await self._poll(known)

    async def post(self, request: web.Request) -> web.Response:
        """A message of a client over HTTP. Some clients of long polling send one before they poll."""
        known = self._by_http.get(id_ := _id_of(request))
        if known is None:
            known = self._begin_http(id_, request.get(RIGHTS, MARKET), is_polled=True)
        if known.is_posting:
            raise Problem("conflict", "another message of this connection arrives just now")
        known.is_posting = True
        try:
            taken = known.transport.put(await request.read())
        finally:
            known.is_posting = False
        if not taken:
            raise Problem("too_many_connections", "too many messages wait to be served", retry_after_s=1)
        return web.Response()

    async def delete(self, request: web.Request) -> web.Response:
        """A client over HTTP leaves."""
        self._known(request).transport.begin_close(WSCloseCode.OK, "")
        return web.Response(status=HTTPStatus.ACCEPTED)

    async def close(self) -> None:
        """Ends all connections; the clients may come back."""
        for connection in list(self._connections):
            connection.end(WSCloseCode.GOING_AWAY, "the interface ends")
        if self._tasks:
            await asyncio.wait(list(self._tasks))

    # --- WebSockets ---

    async def _serve_websocket(self, request: web.Request, websocket: web.WebSocketResponse) -> web.StreamResponse:
        line, transport = connection_of(request), request.transport
        if line is None or transport is None:
            raise Problem("bad_request", "the connection is closed")
        id_ = request.query.get("id")
        rights = request.get(RIGHTS, MARKET)
        resumed = self._by_resumable.get(id_ or "")
        if resumed and resumed.may_resume:
            if resumed.rights != rights:
                raise Problem("no_right", "this connection has other rights")
            await websocket.prepare(request)
            await self._resume(resumed, WebSocketTransport(websocket, line, transport))
            return websocket
        self._check_room()
        if id_ in self._by_http or id_ in self._by_websocket:
            raise Problem("conflict", "the connection of this id is open")
        ticket = None if id_ is None else self._take_ticket(id_)
        if id_ is None or ticket is None:
            await websocket.prepare(request)
            await self._serve(self._connection(WebSocketTransport(websocket, line, transport), rights))
            return websocket
        self._by_websocket.add(id_)
        try:
            await websocket.prepare(request)
            opened = WebSocketTransport(websocket, line, transport)
            if ticket.may_resume:
                self._start(self._serve_resumable(id_, opened, rights))
                await opened.is_read.wait()
            else:
                await self._serve(self._connection(opened, rights))
        finally:
            self._by_websocket.discard(id_)
        return websocket

    async def _serve_resumable(self, id_: str, line: WebSocketTransport, rights: Rights) -> None:
        connection = self._by_resumable[id_] = self._connection(ResumableTransport(line), rights)
        try:
            await self._serve(connection)
        finally:
            del self._by_resumable[id_]

    async def _resume(self, connection: Connection, line: WebSocketTransport) -> None:
        if connection.may_resume:
            connection.resume(line)
            await line.is_read.wait()
        else:  # it has ended during the handshake
            line.begin_close(WSCloseCode.GOING_AWAY, "the connection has ended")
            await line.wait_closing()

    def _check_room(self) -> None:
        if len(self._connections) >= self._max_clients:
            raise Problem("too_many_connections", "too many clients; the setting is hub.max_clients")

    def _take_ticket(self, id_: str) -> Ticket:
        ticket = self._tickets.take(id_, monotonic_ms())
        if ticket is None:
            raise Problem("not_found", "this id was not negotiated, was used, or is too old")
        return ticket

    def _connection(self, transport: Transport, rights: Rights) -> Connection:
        return Connection(transport, self._gateway, self._calls, rights)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, connection: Connection) -> None:
        self._connections.add(connection)
        _log.info("signalr_connected", clients=len(self._connections), transport=connection.transport_name)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            _log.info("signalr_left", clients=len(self._connections))

    # --- HTTP ---

    def _known(self, request: web.Request) -> _HttpConnection:
        known = self._by_http.get(_id_of(request))
        if known is None:
            raise Problem("not_found", "there is no connection of this id")
        return known

    def _begin_http(self, id_: str, rights: Rights, *, is_polled: bool) -> _HttpConnection:
        self._check_room()
        self._take_ticket(id_)
        made = self._by_http[id_] = _HttpConnection(is_polled=is_polled)
        self._start(self._serve_http(id_, made, rights))
        return made

    async def _serve_http(self, id_: str, made: _HttpConnection, rights: Rights) -> None:
        try:
            await self._serve(self._connection(made.transport, rights))
        finally:
            made.transport.begin_close(WSCloseCode.OK, "")
            del self._by_http[id_]

    async def _poll(self, known: _HttpConnection) -> web.Response:
        data = await known.transport.take(within_s=HOLD_S)
        if data is None:
            return web.Response(status=HTTPStatus.NO_CONTENT)
        kind = "application/octet-stream" if known.transport.is_binary else "text/plain"
        return web.Response(body=data, content_type=kind)

    async def _send_events(self, request: web.Request, made: _HttpConnection) -> web.StreamResponse:
        response = web.StreamResponse(headers={hdrs.CACHE_CONTROL: "no-cache", "X-Accel-Buffering": "no"})
        response.content_type = EVENTS
        try:
            await response.prepare(request)
            await response.write(b":\r\n\r\n")  # so that the client sees it open
            while (data := await made.transport.take(within_s=HOLD_S)) is not None:
                if data:
                    await response.write(b"data: " + data + b"\r\n\r\n")
        except ConnectionError:
            pass  # the client has left
        finally:
            made.transport.begin_close(WSCloseCode.OK, "")
        return response


def _id_of(request: web.Request) -> str:
    id_ = request.query.get("id", "")
    if not id_:
        raise Problem("bad_request", "an id is needed: negotiate one, or connect by WebSocket")
    return id_
