"""The hub on its event loop: takes news from the inbox, lets clients in, passes on their requests.

Ticks: the first news after a pause leave at once. What follows waits until the thread has been busy for no more than
three tenths of the time since the last tick, at most `hub.tick_ms`, and leaves together: with few clients or little
news nobody waits; with many of both a client gets many messages in one write, and writes are what fan-out costs.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, cast

import structlog
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosedError
from websockets.frames import CloseCode
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from flows.clock import FeedClock, Now, monotonic_ms, wall_ms
from flows.model import Publishable
from flows.process.descriptor_room import ACCEPTED_AT_ONCE, QUEUED, RESERVE, descriptor_room, lowest_free
from sinks.hub.auth import MESSAGE_BYTES, REQUESTS_PER_S, HandshakeRequest, Refused, TokenBucket, admit
from sinks.hub.client import STALLED_MS, Client
from sinks.hub.connection import DISMISS_S, WRITE_LIMITS, ClientSocket
from sinks.hub.handoff import Inbox
from sinks.hub.hub_settings import HubSettings
from sinks.hub.messages import Encoding, exchange_time
from sinks.hub.policy import Hub

BUSY_SHARE: Final = 0.3
"""Share of a core that the thread takes, until ticks are as long as they may be."""
DRAIN_S: Final = 2.0
"""How long the clients have at the end to read what waits for them."""
OPEN_TIMEOUT_S: Final = 5.0
MOST_ARRIVING: Final = 256
"""Connections whose request is not there yet; with one more the oldest of them is cut."""
PING_S: Final = 20.0
"""Time between two pings, and for the answer to one."""
SUBPROTOCOLS: Final = ("msgpack", "json")
AHEAD_MS: Final = 1_000
"""How far the time of news may be ahead of the venue's clock, whose least delayed message was later than this one."""
REFUSALS: Final = (CloseCode.POLICY_VIOLATION, CloseCode.MESSAGE_TOO_BIG, CloseCode.TRY_AGAIN_LATER)

_log = structlog.get_logger(__name__)


class HubServer:
    """Serves one hub on a listening socket. All methods belong to the thread of its loop."""

    def __init__(
        self,
        settings: HubSettings,
        *,
        hub: Hub,
        inbox: Inbox[Publishable],
        clock: FeedClock,
        on_delay: Callable[[float], object],
    ) -> None:
        """`clock` is the venue's, as the flow keeps it."""
        self._settings = settings
        self._hub = hub
        self._inbox = inbox
        self._on_delay = on_delay
        self._longest_tick_s = settings.tick_ms / 1_000
        self._clock = clock
        self._lines: set[ClientSocket] = set()
        self._arriving: dict[ClientSocket, None] = {}
        self._clients: set[Client] = set()
        self._moved = asyncio.Event()
        self._stop = asyncio.Event()
        self._tick_begin_s = 0.0
        self._tick_begin_cpu_s = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._measured = 0

    async def run(self, listener: socket.socket, on_ready: Callable[[], None]) -> None:
        """Serves until `stop`, then drains and closes every line within a few seconds."""
        self._look_for_room()
        async with serve(
            self._follow,
            sock=listener,
            backlog=ACCEPTED_AT_ONCE,
            process_request=self._admit,
            select_subprotocol=_choose_subprotocol,
            subprotocols=[Subprotocol(name) for name in SUBPROTOCOLS],
            create_connection=cast("type[ServerConnection]", self._open_line),
            compression=None,
            max_size=MESSAGE_BYTES,
            open_timeout=OPEN_TIMEOUT_S,
            ping_interval=PING_S,
            ping_timeout=PING_S,
            close_timeout=DISMISS_S,
            write_limit=WRITE_LIMITS,
        ) as server:
            listener.listen(QUEUED)
            on_ready()
            await self._stop.wait()
            server.close(close_connections=False)
            await self._drain()
            await self._dismiss_all()

    def _look_for_room(self) -> None:
        """Says once that there is less room than the settings allow."""
        room, most = descriptor_room(), self._settings.max_clients
        if room.clients(most) < most:
            hint = f"allow the process {most + RESERVE + lowest_free()} open files or more, as by ulimit -n"
            _log.warning(
                "fewer clients than hub.max_clients", clients=room.clients(most), limit=room.limit, most=most, hint=hint
            )

    def stop(self) -> None:
        """Begins the end."""
        self._stop.set()

    # --- ticks ---

    def wake(self) -> None:
        """There is something in the inbox."""
        at_s = self._next_tick_s()
        if at_s <= asyncio.get_running_loop().time():
            self._cancel_tick()
            self._tick()
        else:
            self._tick_at(at_s)

    def _next_tick_s(self) -> float:
        """Loop's time at which the next tick may begin."""
        busy_s = time.thread_time() - self._tick_begin_cpu_s
        return self._tick_begin_s + min(busy_s / BUSY_SHARE, self._longest_tick_s)

    def _tick_at(self, at_s: float) -> None:
        if self._timer is None or at_s < self._timer.when():
            self._cancel_tick()
            self._timer = asyncio.get_running_loop().call_at(at_s, self._tick)

    def _cancel_tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self._tick_begin_s, self._tick_begin_cpu_s = asyncio.get_running_loop().time(), time.thread_time()
        self._take_news()
        self._attempt(self._hub.on_time)
        self._attempt(self._hub.flush)
        turn_ms = self._hub.next_turn_ms
        if turn_ms is not None:
            self._tick_at(max(turn_ms / 1_000, self._next_tick_s()))

    def _take_news(self) -> None:
        delivery = self._inbox.take_all()
        if delivery.lost:
            _log.warning("the broadcast is behind, news are lost", lost=delivery.lost)
            self._attempt(partial(self._hub.on_loss, delivery.lost))
        for batch in delivery.batches:
            newest = max(map(exchange_time, batch))
            self._measure(newest)
            self._attempt(partial(self._hub.publish, batch), newest)

    def _measure(self, newest: int) -> None:
        """How late the newest of a batch is, where it is newer than all before: what is published again, as a price
        with new figures of the day, is not late for that. A time that lies ahead says nothing.
        """
        now = self._clock.now().feed
        before = self._measured if self._measured <= now + AHEAD_MS else 0  # the clock may have been set back
        if before < newest <= now + AHEAD_MS:
            self._measured = newest
            self._on_delay(max(0, now - newest) / 1_000)

    def _attempt(self, act: Callable[[Now], None], newest: int = 0) -> None:
        """What fails is a bug: it is logged, and the next batch is taken all the same."""
        try:
            act(self._now(newest))
        except Exception:  # noqa: BLE001 - the flow must not suffer
            _log.exception("broadcast failed")

    def _now(self, newest: int = 0) -> Now:
        """The feed's present. Before that is known, news are stamped by their own newest time, or by the wall clock."""
        now = self._clock.now()
        return now if now.feed else Now(newest or wall_ms(), now.local)

    # --- clients ---

    def _open_line(self, *args: Any, **kwargs: Any) -> ClientSocket:
        line = ClientSocket(*args, **kwargs)
        line.on_lost = partial(self._forget, line)
        self._lines.add(line)
        if len(self._arriving) >= MOST_ARRIVING:
            oldest = next(iter(self._arriving))
            del self._arriving[oldest]
            oldest.cut()
        self._arriving[line] = None
        return line

    def _forget(self, line: ClientSocket) -> None:
        self._lines.discard(line)
        self._arriving.pop(line, None)

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        line = cast("ClientSocket", connection)
        self._arriving.pop(line, None)
        knock = HandshakeRequest(
            request.path, request.headers.get_all("Origin"), request.headers.get_all("Authorization")
        )
        clients = sum(other.admission is not None for other in self._lines)
        try:
            has_room = not descriptor_room().is_short(line.descriptor)
            line.admission = admit(knock, self._settings, clients=clients, has_room=has_room)
        except Refused as refusal:
            _log.warning("client refused", peer=line.peer_name, status=refusal.status.value, reason=str(refusal))
            response = connection.respond(refusal.status, f"{refusal}\n")
            if refusal.status == refusal.status.UNAUTHORIZED:
                response.headers["WWW-Authenticate"] = "Bearer"
            return response
        return None

    async def _follow(self, connection: ServerConnection) -> None:
        """One client, from the handshake to the end."""
        line = cast("ClientSocket", connection)
        client = self._join(line)
        _log.info("client connected", peer=line.peer_name, encoding=client.encoding)
        try:
            await self._answer_requests(line, client)
        except ConnectionClosedError:
            pass  # how it ended is in the line below
        finally:
            self._hub.leave(client)
            self._clients.discard(client)
            self._moved.set()
            await line.gone()
            _log_end(line)

    def _join(self, line: ClientSocket) -> Client:
        encoding: Encoding = "msgpack" if line.subprotocol == "msgpack" else "json"
        admission = line.admission
        assert admission is not None  # noqa: S101 - nobody gets here without one
        client = self._hub.join(
            line,
            self._now(),
            encoding=encoding,
            subscription=admission.subscription,
            resume_after=admission.resume_after,
        )
        line.on_writable = partial(self._on_writable, client)
        self._clients.add(client)
        return client

    async def _answer_requests(self, line: ClientSocket, client: Client) -> None:
        """Who does not read is not listened to: the requests wait in the socket until the client has caught up."""
        allowance = TokenBucket(now_ms=monotonic_ms())
        async for payload in line:
            if not allowance.take(monotonic_ms()):
                line.dismiss(CloseCode.POLICY_VIOLATION, f"more than {REQUESTS_PER_S} requests a second")
                return
            try:
                async with asyncio.timeout(STALLED_MS / 1_000):
                    while client.behind:
                        await line.drain()
            except TimeoutError:
                line.dismiss(CloseCode.TRY_AGAIN_LATER, "requests, but does not read")
                return
            self._hub.on_request(client, payload, self._now())

    def _on_writable(self, client: Client) -> None:
        self._hub.on_writable(client, self._now())
        self._moved.set()

    # --- the end ---

    async def _drain(self) -> None:
        """Sends what is left, and waits `DRAIN_S` for it to be read."""
        self._cancel_tick()
        self._take_news()
        self._attempt(self._hub.release)
        self._attempt(self._hub.flush)
        try:
            async with asyncio.timeout(DRAIN_S):
                while any(client.behind for client in self._clients):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            behind = sum(client.behind for client in self._clients)
            _log.warning("clients did not read to the end", clients=behind, seconds=DRAIN_S)

    async def _dismiss_all(self) -> None:
        lines = list(self._lines)
        for line in lines:
            line.dismiss(CloseCode.GOING_AWAY, "the hub ends")
        await asyncio.gather(*(line.gone() for line in lines))


def _choose_subprotocol(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The client's first that is known; JSON needs none."""
    return next((name for name in offered if name in SUBPROTOCOLS), None)


def _log_end(line: ClientSocket) -> None:
    sent, received = line.protocol.close_sent, line.protocol.close_rcvd
    if sent is not None and sent.code in REFUSALS:
        _log.warning("client refused", peer=line.peer_name, code=int(sent.code), reason=sent.reason)
    else:
        _log.info("client left", peer=line.peer_name, code=int(received.code) if received else None)
