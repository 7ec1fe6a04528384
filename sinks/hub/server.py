"""The hub on its event loop: takes items from the hand-off, accepts clients, passes on their requests. `pace.py`
says when items are sent.
"""

import asyncio
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from flows.clock import FeedClock, Now, monotonic_ms, wall_ms
from flows.model import Publishable, VenueItems
from flows.process.descriptor_room import ACCEPTED_AT_ONCE, QUEUED, RESERVE, descriptor_room, lowest_free
from sinks.hub.auth import MESSAGE_BYTES, REQUESTS_PER_S, HandshakeRejected, HandshakeRequest, TokenBucket, authorize
from sinks.hub.client import STALLED_MS, Client
from sinks.hub.connection import CLOSE_S, WRITE_LIMITS, ClientSocket
from sinks.hub.handoff import Handoff
from sinks.hub.hub_settings import HubSettings
from sinks.hub.messages import Encoding, WireFormat, exchange_time
from sinks.hub.pace import Pace
from sinks.hub.policy import Hub

DRAIN_S: Final = 2.0
"""Time for the clients to read what waits for them at the close."""
OPEN_TIMEOUT_S: Final = 5.0
MOST_ARRIVING: Final = 256
"""Most connections without a request yet; with one more the oldest of them is cut."""
PING_S: Final = 20.0
"""Time between two pings, and for the answer to one."""
SUBPROTOCOLS: Final[tuple[WireFormat, ...]] = ("msgpack", "json", "sbe")
FOLLOW_S: Final = 0.005
"""How long after a price the hub looks for what else was made of the same messages, unless another price wakes it."""
DENSE_S: Final = 0.02
"""With ticks so close to each other it does; with fewer of them that would spare no wake-up."""
AHEAD_MS: Final = 1_000
"""How far an item's time may be ahead of the venue's clock, which is estimated from the least delayed messages."""
REFUSALS: Final = (CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG, CloseCode.TRY_AGAIN_LATER)

_log = structlog.get_logger(__name__)


class HubServer:
    """Serves one hub on a listening socket. All methods belong to the thread of its loop."""

    def __init__(
        self,
        settings: HubSettings,
        *,
        hub: Hub,
        handoff: Handoff[Publishable],
        clocks: Mapping[str, FeedClock],
        on_delay: Callable[[str, float], object],
    ) -> None:
        """`clocks` are the flow's estimates of those of the venues."""
        self._settings = settings
        self._hub = hub
        self._handoff = handoff
        self._on_delay = on_delay
        self._pace = Pace(self._tick, longest_s=settings.tick_ms / 1_000)
        self._clocks = clocks
        self._first = next(iter(clocks))
        self._sockets: set[ClientSocket] = set()
        self._arriving: dict[ClientSocket, None] = {}
        self._clients: set[Client] = set()
        self._moved = asyncio.Event()
        self._stop = asyncio.Event()
        self._measured: dict[str, int] = {}
        self._ticked_s = 0.0

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serves until `stop`, then drains and closes every connection within a few seconds."""
        self._look_for_room()
        async with serve(
            self._follow,
            sock=listener,
            backlog=ACCEPTED_AT_ONCE,
            process_request=self._authorize,
            select_subprotocol=_choose_subprotocol,
            subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS],
            create_connection=cast("type[ServerConnection]", self._open_socket),
            compression=None,
            max_size=MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=CLOSE_S,
            write_limit=WRITE_LIMITS,
        ) as server:
            listener.listen(QUEUED)
            on_ready()
            await self._stop.wait()
            server.close(close_connections=False)
            await self._drain()
            await self._close_all()

    def _look_for_room(self) -> None:
        """Logs when there are fewer descriptors than the settings need."""
        room, most = descriptor_room(), self._settings.max_clients
        if room.clients(most) < most:
            hint = f"allow the process {most + RESERVE + lowest_free()} open files or more, as by ulimit -n"
            _log.warning("client_limit_lowered", clients=room.clients(most), limit=room.limit, most=most, hint=hint)

    def stop(self) -> None:
        """Ends `run`."""
        self._stop.set()

    # --- ticks ---

    def wake(self) -> None:
        """Items wait in the hand-off."""
        self._pace.wake()

    def _tick(self) -> None:
        now_s = asyncio.get_running_loop().time()
        is_followed = self._take_items(can_look=now_s - self._ticked_s < DENSE_S)
        self._ticked_s = now_s
        for venue in self._clocks:
            self._attempt(partial(self._hub.on_time, venue=venue), venue=venue)
        self._attempt(self._hub.flush)
        if is_followed:
            self._pace.at(now_s + FOLLOW_S)
        deadline_ms = self._hub.next_deadline_ms
        if deadline_ms is not None:
            self._pace.at(deadline_ms / 1_000)

    def _take_items(self, *, can_look: bool = False) -> bool:
        """Hands on what waits; whether more may follow that does not wake this thread: only with `can_look`."""
        delivery = self._handoff.take_all(can_look=can_look)
        if delivery.lost:
            _log.warning("broadcast_items_lost", lost=delivery.lost)
            self._attempt(partial(self._hub.on_loss, delivery.lost))
        for batch in delivery.batches:
            newest = max(map(exchange_time, batch))
            venue = batch.venue if isinstance(batch, VenueItems) else getattr(batch[0], "venue", "")
            self._measure(newest, venue)
            self._attempt(partial(self._hub.publish, batch), newest, venue)
        return delivery.is_followed

    def _measure(self, newest: int, venue: str) -> None:
        """Measures the delay of the newest item of a batch, if it is newer than all before: an item that is published
        again, as a price with new 24-hour figures, is not late. A time ahead of the clock is ignored.
        """
        now = self._clock_of(venue).now().feed
        measured = self._measured.get(venue, 0)
        before = measured if measured <= now + AHEAD_MS else 0  # the clock may have been set back
        if before < newest <= now + AHEAD_MS:
            self._measured[venue] = newest
            self._on_delay(venue or self._first, max(0, now - newest) / 1_000)

    def _attempt(self, act: Callable[[Now], None], newest: int = 0, venue: str = "") -> None:
        """Calls the hub. An error is a bug: it is logged, and the next batch is taken all the same."""
        try:
            act(self._now(newest, venue))
        except Exception:  # noqa: BLE001 - the flow must not suffer
            _log.exception("broadcast_step_failed")

    def _clock_of(self, venue: str) -> FeedClock:
        """The clock of a venue; without one that of the first."""
        return self._clocks.get(venue) or self._clocks[self._first]

    def _now(self, newest: int = 0, venue: str = "") -> Now:
        """The feed's time. Until it is known, items are stamped with their own newest time, or the wall clock's."""
        now = self._clock_of(venue).now()
        return now if now.feed else Now(newest or wall_ms(), now.local)

    # --- clients ---

    def _open_socket(self, *args: Any, **kwargs: Any) -> ClientSocket:
        client_socket = ClientSocket(*args, **kwargs)
        client_socket.on_lost = partial(self._forget, client_socket)
        self._sockets.add(client_socket)
        if len(self._arriving) >= MOST_ARRIVING:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            oldest.cut()
        self._arriving[client_socket] = None
        return client_socket

    def _forget(self, client_socket: ClientSocket) -> None:
        self._sockets.discard(client_socket)
        self._arriving.pop(client_socket, None)

    def _authorize(self, connection: ServerConnection, request: Request) -> Response | None:
        client_socket = cast("ClientSocket", connection)
        self._arriving.pop(client_socket, None)
        handshake = HandshakeRequest(
            request.path, request.headers.get_all("Origin"), request.headers.get_all("Authorization")
        )
        clients = sum(other.client_options is not None for other in self._sockets)
        try:
            has_room = not descriptor_room().is_short(client_socket.descriptor)
            client_socket.client_options = authorize(
                handshake, self._settings, venues=self._clocks, clients=clients, has_room=has_room
            )
        except HandshakeRejected as refusal:
            _log.warning(
                "client_refused", peer=client_socket.peer_name, status=refusal.status.value, reason=str(refusal)
            )
            response = connection.respond(refusal.status, f"{refusal}\n")
            if refusal.status == HTTPStatus.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    async def _follow(self, connection: ServerConnection) -> None:
        """Serves one client, from the handshake to the close."""
        client_socket = cast("ClientSocket", connection)
        client = self._join(client_socket)
        _log.info("client_connected", peer=client_socket.peer_name, encoding=client.encoding)
        try:
            await self._serve_requests(client_socket, client)
        except ConnectionClosedError:
            pass  # `_log_end` logs how it ended
        finally:
            self._hub.leave(client)
            self._clients.discard(client)
            self._moved.set()
            await client_socket.wait_closing()
            _log_end(client_socket)

    def _join(self, client_socket: ClientSocket) -> Client:
        encoding: Encoding = next((name for name in SUBPROTOCOLS if name == client_socket.subprotocol), "json")
        client_options = client_socket.client_options
        assert client_options is not None  # noqa: S101 - `_authorize` has set it
        client = self._hub.join(
            client_socket,
            self._now(),
            encoding=encoding,
            subscription=client_options.subscription,
            resume_after=client_options.resume_after,
        )
        client_socket.on_writable = partial(self._on_writable, client)
        self._clients.add(client)
        return client

    async def _serve_requests(self, client_socket: ClientSocket, client: Client) -> None:
        """Requests of a client that does not read wait in the socket until it has caught up."""
        bucket = TokenBucket(now_ms=monotonic_ms())
        async for payload in client_socket:
            if not bucket.take(monotonic_ms()):
                client_socket.begin_close(CloseCode.POLICY_VIOLATION, f"more than {REQUESTS_PER_S} requests a second")
                return
            try:
                async with asyncio.timeout(STALLED_MS / 1_000):
                    while client.behind:
                        await client_socket.drain()
            except TimeoutError:
                client_socket.begin_close(CloseCode.TRY_AGAIN_LATER, "requests, but does not read")
                return
            self._hub.on_request(client, payload, self._now())

    def _on_writable(self, client: Client) -> None:
        self._hub.on_writable(client, self._now())
        self._moved.set()

    # --- close ---

    async def _drain(self) -> None:
        """Sends what is left, and waits up to `DRAIN_S` until it is read."""
        self._pace.cancel()
        self._take_items()
        for venue in self._clocks:
            self._attempt(partial(self._hub.release, venue=venue), venue=venue)
        self._attempt(self._hub.flush)
        try:
            async with asyncio.timeout(DRAIN_S):
                while any(client.behind for client in self._clients):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            behind = sum(client.behind for client in self._clients)
            _log.warning("clients_not_drained", clients=behind, seconds=DRAIN_S)

    async def _close_all(self) -> None:
        sockets = list(self._sockets)
        for client_socket in sockets:
            client_socket.begin_close(CloseCode.GOING_AWAY, "the hub ends")
        await asyncio.gather(*(client_socket.wait_closing() for client_socket in sockets))


def _choose_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The first known one of the client's list; JSON needs none."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)


def _log_end(client_socket: ClientSocket) -> None:
    sent, received = client_socket.protocol.close_sent, client_socket.protocol.close_rcvd
    if sent is not None and sent.code in REFUSALS:
        _log.warning("client_refused", peer=client_socket.peer_name, code=int(sent.code), reason=sent.reason)
    else:
        _log.info("client_left", peer=client_socket.peer_name, code=int(received.code) if received else None)
