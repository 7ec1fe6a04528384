"""The SignalR hub at `/hubs/marketdata`, for clients over WebSockets. Access is the API's, and the token may be in
`access_token` too, as browsers send it; what clients get is the gateway's.

| case | answer |
|---|---|
| an `id` that was not negotiated, was used, or is older than 15 s | 404 |
| no `id` | a new connection |
| no WebSocket | 400 |
| too many negotiated ids or clients | 503 |
"""

from typing import Any, Final

import structlog
from aiohttp import WSCloseCode, web

from api.gateway.gateway import Gateway
from api.gateway.socket import GatewaySocket
from api.http.auth import RIGHTS
from api.http.connections import connection_of
from api.http.errors import Problem
from api.signalr.connection import Calls, Connection
from api.signalr.protocol import MESSAGE_BYTES
from api.signalr.tickets import Tickets
from flows.clock import monotonic_ms
from sinks.hub.connection import CLOSE_S
from sinks.hub.rights import MARKET

TRANSPORTS: Final = [{"transport": "WebSockets", "transferFormats": ["Text", "Binary"]}]

_log = structlog.get_logger(__name__)


class SignalR:
    """Negotiates and serves connections."""

    def __init__(self, gateway: Gateway, calls: Calls, *, max_clients: int) -> None:
        self._gateway = gateway
        self._calls = calls
        self._max_clients = max_clients
        self._tickets = Tickets()
        self._connections: set[Connection] = set()

    def negotiate(self, version: int) -> dict[str, Any]:
        """The answer to a negotiation; `Problem` when there are too many. In version 0 one id is both public and the
        one that opens the connection.
        """
        ticket = self._tickets.issue(monotonic_ms())
        if ticket is None:
            raise Problem("too_many_connections", "too many connections are negotiated and not opened")
        if version == 0:
            return {"connectionId": ticket, "availableTransports": TRANSPORTS}
        return {
            "negotiateVersion": 1,
            "connectionId": ticket[:8],
            "connectionToken": ticket,
            "availableTransports": TRANSPORTS,
        }

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serves one client, from the handshake to the close. `Problem` for one that is refused."""
        websocket = web.WebSocketResponse(compress=False, max_msg_size=MESSAGE_BYTES + 1, timeout=CLOSE_S)
        transport = connection_of(request)
        if transport is None or request.transport is None or not websocket.can_prepare(request).ok:
            raise Problem("bad_request", "this address is a WebSocket of SignalR")
        if len(self._connections) >= self._max_clients:
            raise Problem("too_many_connections", "too many clients; the setting is hub.max_clients")
        id_ = request.query.get("id")
        if id_ is not None and not self._tickets.take(id_, monotonic_ms()):
            raise Problem("not_found", "this id was not negotiated, was used, or is too old")
        await websocket.prepare(request)
        socket = GatewaySocket(websocket, transport, request.transport)
        connection = Connection(socket, self._gateway, self._calls, request.get(RIGHTS, MARKET))
        self._connections.add(connection)
        _log.info("signalr_connected", peer=socket.peer_name)
        try:
            await connection.serve()
        finally:
            self._connections.discard(connection)
            _log.info("signalr_left", peer=socket.peer_name, code=websocket.close_code)
        return websocket

    async def close(self) -> None:
        """Ends all connections; the clients may come back."""
        for connection in self._connections:
            connection.end(WSCloseCode.GOING_AWAY, "the interface ends")
