"""The gateway at `/ws`: takes the live view's events, accepts clients, passes on their requests.

Access is the API's (`api/http/auth.py`). Limits, queues and the rules for slow clients are the hub's
(`hub.max_clients`, `hub.capacity`, `hub.ring`; `sinks/hub/auth.py`, `client.py`), and so is the pace
(`sinks/hub/pace.py`).
"""

import asyncio
from collections.abc import Iterable
from functools import partial
from typing import Final

import structlog
from aiohttp import WSCloseCode, WSMsgType, web

from api.gateway.relay import Relay, StreamRelay
from api.gateway.socket import GatewaySocket
from api.http.auth import RIGHTS
from api.http.connections import connection_of
from api.http.errors import Problem
from api.live.hub_protocol import LiveEvent
from api.live.view import LiveView
from flows.clock import Now, monotonic_ms, wall_ms
from sinks.hub.auth import MESSAGE_BYTES, REQUESTS_PER_S, ClientOptions, TokenBucket, options_of
from sinks.hub.client import STALLED_MS, Client
from sinks.hub.connection import CLOSE_S
from sinks.hub.fanout import TRY_AGAIN_LATER
from sinks.hub.hub_settings import HubSettings
from sinks.hub.messages import WireFormat
from sinks.hub.pace import Pace
from sinks.hub.policy import TICK_LIMIT
from sinks.hub.rights import MARKET
from sinks.hub.server import DRAIN_S, PING_S
from sinks.hub.subscription import NamesOf, RequestError, RightError, as_named

SUBPROTOCOLS: Final[tuple[WireFormat, ...]] = ("msgpack", "json")
AHEAD_S: Final = 2.0
"""How far a client of a bus may be ahead of the node at which it resumes."""
MOST_S: Final = 0.05
"""Longest time whose messages are sent together on a machine that is short of time."""
_MESSAGES: Final = (WSMsgType.TEXT, WSMsgType.BINARY)

_log = structlog.get_logger(__name__)


class Gateway:
    """Serves the events of a live view. All methods belong to the thread of its loop."""

    def __init__(
        self, settings: HubSettings, live: LiveView, *, venues: Iterable[str], names_of: NamesOf = as_named
    ) -> None:
        """`venues` are those of the settings. `names_of` gives the venues' own names of what clients write."""
        self._settings = settings
        self._live = live
        self._relay = (
            StreamRelay(settings, venues=venues, names_of=names_of)
            if live.is_bus
            else Relay(settings, venues=venues, first_seq=wall_ms() * 1_000, names_of=names_of)
        )
        self._awaited: dict[asyncio.Event, int] = {}
        """Numbers that clients of other nodes have, and this one has not."""
        self._pace = Pace(self._flush, longest_s=settings.tick_ms / 1_000, most_s=MOST_S)
        self._unsent = 0
        self._clients: dict[Client, GatewaySocket] = {}
        self._moved = asyncio.Event()
        self._is_closed = False
        live.relay_to(self._on_event)

    @property
    def relay(self) -> Relay:
        """What decides who gets which message; its counters are live."""
        return self._relay

    # --- messages ---

    def _on_event(self, event: LiveEvent) -> None:
        self._relay.on_origins({state.venue: state.origin for state in self._live.venue_states() if state.origin})
        self._relay.take(event, self.now())
        for has_come, seq in self._awaited.items():
            if self._has(seq):
                has_come.set()
        self._unsent += 1
        if self._unsent >= TICK_LIMIT:
            self._flush()
        elif self._relay.counters.clients:
            self._pace.wake()

    def _has(self, seq: int) -> bool:
        return self._relay.has(seq)

    async def _until(self, seq: int) -> bool:
        """Waits until the message with this number was received, if the client has it from a node that is ahead, or
        this one has only begun. False where this one cannot know the number, as it does not follow the bus: at another
        node the client can go on without a loss.
        """
        if self._has(seq):
            return True
        has_come = asyncio.Event()
        self._awaited[has_come] = seq
        try:
            async with asyncio.timeout(AHEAD_S):
                await has_come.wait()
        except TimeoutError:
            # else the relay, which does not know the number, sends the state
            return self._relay.is_filled and all(one.is_up for one in self._live.connections)
        finally:
            del self._awaited[has_come]
        return True

    def _flush(self) -> None:
        self._unsent = 0
        self._relay.flush(self.now())

    def now(self) -> Now:
        """The time of the first venue whose time is known, else the wall clock's."""
        known = (state.clock.now_ms for state in self._live.venue_states())
        return Now(next(filter(None, known), 0) or wall_ms(), monotonic_ms())

    # --- clients ---

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """Serves one client, from the handshake to the close. `Problem` for one that is refused."""
        options = self._options(request)
        connection = connection_of(request)
        websocket = web.WebSocketResponse(
            protocols=SUBPROTOCOLS,
            compress=False,
            max_msg_size=MESSAGE_BYTES + 1,  # aiohttp refuses messages of this size
            heartbeat=PING_S,
            autoping=False,
            timeout=CLOSE_S,
        )
        if connection is None or request.transport is None or not websocket.can_prepare(request).ok:
            raise Problem("bad_request", "this address is a WebSocket")
        await websocket.prepare(request)
        if options.resume_after is not None and not await self._until(options.resume_after):
            await websocket.close(code=TRY_AGAIN_LATER, message=b"this node does not follow the bus now")
            return websocket
        peer = GatewaySocket(websocket, connection, request.transport)
        client = self._join(peer, options)
        _log.info("client_connected", peer=peer.peer_name, encoding=client.encoding)
        try:
            await self._serve_requests(peer, client)
        finally:
            self._relay.leave(client)
            self._clients.pop(client, None)
            self._moved.set()
            await peer.wait_closing()
            _log.info("client_left", peer=peer.peer_name, code=websocket.close_code)
        return websocket

    def _options(self, request: web.Request) -> ClientOptions:
        if len(self._clients) + len(self._awaited) >= self._settings.max_clients or self._is_closed:
            raise Problem("too_many_connections", "too many clients; the setting is hub.max_clients")
        rights = request.get(RIGHTS, MARKET)
        try:
            return options_of({name: request.query.getall(name) for name in request.query}, self._relay.origins, rights)
        except RightError as error:
            raise Problem("no_right", str(error)) from error
        except RequestError as error:
            raise Problem("bad_request", str(error)) from error

    def _join(self, peer: GatewaySocket, options: ClientOptions) -> Client:
        client = self._relay.join(
            peer,
            self.now(),
            encoding="msgpack" if peer.websocket.ws_protocol == "msgpack" else "json",
            subscription=options.subscription,
            resume_after=options.resume_after,
        )
        peer.on_writable = partial(self._on_writable, client)
        self._clients[client] = peer
        return client

    async def _serve_requests(self, peer: GatewaySocket, client: Client) -> None:
        """Requests of a client that does not read wait in the socket until it has caught up."""
        bucket = TokenBucket(now_ms=monotonic_ms())
        while (message := await peer.receive()).type in _MESSAGES:
            if not bucket.take(monotonic_ms()):
                reason = f"more than {REQUESTS_PER_S} requests a second"
                peer.begin_close(WSCloseCode.POLICY_VIOLATION, reason)
                return
            try:
                async with asyncio.timeout(STALLED_MS / 1_000):
                    while client.behind and not peer.websocket.closed:
                        await peer.wait_room()
            except TimeoutError:
                peer.begin_close(WSCloseCode.TRY_AGAIN_LATER, "requests, but does not read")
                return
            self._relay.on_request(client, message.data, self.now())

    def _on_writable(self, client: Client) -> None:
        if client in self._clients:
            self._relay.on_writable(client, self.now())
            self._moved.set()

    # --- close ---

    async def close(self) -> None:
        """Sends what is left, waits up to `DRAIN_S` until it is read, and closes every connection."""
        self._is_closed = True
        self._pace.cancel()
        self._flush()
        try:
            async with asyncio.timeout(DRAIN_S):
                while any(client.behind for client in self._clients):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            _log.warning("clients_not_drained", clients=sum(client.behind for client in self._clients), seconds=DRAIN_S)
        peers = list(self._clients.values())
        for peer in peers:
            peer.begin_close(WSCloseCode.GOING_AWAY, "the interface ends")
        await asyncio.gather(*(peer.wait_closing() for peer in peers))
