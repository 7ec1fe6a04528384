"""The hub's edge: a WebSocket server on a thread of its own.

Frames of one tick are joined and written once for each client, the same bytes for all with the same wishes. The library
(`websockets`) does the handshake, the pings and the close; the writing goes straight to the transport.

| refusal | answer |
|---|---|
| another path than `/ws` | HTTP 404 |
| no token, or a wrong one, where one is set | HTTP 401 |
| a web origin that is not allowed | HTTP 403 |
| more than `max_clients` | HTTP 503 |
| a request over 4 KiB | close 1009 |
| more than 20 requests a second | close 1008 |
| a client that does not read | `Lagged`, in the end close 1013 |
| the hub ends | close 1001 |
"""

import asyncio
import hmac
import json
import threading
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgspec
import structlog
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.typing import Subprotocol

from flows.clock import monotonic_ms, wall_ms
from flows.model import Publishable
from flows.settings import Hub as HubSettings
from sinks.hub import Backlog, Entry, Filter, Hub
from sinks.messages import CHANNELS, PLANNED_CHANNELS, Format, frame_of

PATH = "/ws"
MSGPACK = Subprotocol("msgpack")
MAX_REQUEST_BYTES = 4_096
MAX_REQUESTS_PER_S = 20
HIGH_WATER_BYTES = 256 << 10
"""A client with so much unread in its transport gets nothing more until it has read."""
INBOX = 500_000
"""News that wait for the hub's thread; then the oldest are dropped, counted and logged."""
BACKLOG_CHECK_S = 0.02
CLOSE_S = 2.0

_SEQ_PER_MS = 1_000
"""`seq` begins at the wall clock's milliseconds times this: higher than any hub before can have reached."""

_log = structlog.get_logger(__name__)


class RequestError(Exception):
    """A request that cannot be granted; the text goes to the client."""


class Counters(msgspec.Struct):
    """What the hub did since its start."""

    sent: int = 0
    """Messages written to clients, each counted once a client."""
    dropped: int = 0
    """Messages that slow clients lost."""
    lagged: int = 0
    """Times that a client was told of a loss."""
    refused: int = 0
    """Connections that were refused."""


class Client:
    """One connected client."""

    def __init__(self, socket: ServerConnection, wanted: Filter, form: Format, capacity: int) -> None:
        self.socket = socket
        self.wanted = wanted
        self.form: Format = form
        self.backlog = Backlog(capacity)
        self._requests: deque[int] = deque(maxlen=MAX_REQUESTS_PER_S)

    @property
    def open(self) -> bool:
        """Whether it can be written to."""
        return self.socket.state is State.OPEN and not self.socket.transport.is_closing()

    @property
    def keeps_up(self) -> bool:
        """Whether it may be written to now."""
        return not self.backlog and self.socket.transport.get_write_buffer_size() < HIGH_WATER_BYTES

    def write(self, frames: bytes) -> None:
        """Writes finished frames."""
        if self.open:
            self.socket.transport.write(frames)

    def tell(self, message: dict[str, Any]) -> None:
        """Writes a message of its own."""
        self.write(frame_of(message, self.form))

    def asks_too_much(self, now_ms: int) -> bool:
        """Whether this request is one too many within a second."""
        crowded = len(self._requests) == MAX_REQUESTS_PER_S and now_ms - self._requests[0] < 1_000  # noqa: PLR2004
        self._requests.append(now_ms)
        return crowded


class Broadcast:
    """Serves the hub. `write` may be called from any thread, returns at once and never fails."""

    def __init__(self, settings: HubSettings, *, venue: str, origin: str) -> None:
        self._settings = settings
        self._about = {"venue": venue, "origin": origin}
        self._hub = Hub(rate=settings.rate, ring=settings.ring, first_seq=wall_ms() * _SEQ_PER_MS)
        self._clients: set[Client] = set()
        self._inbox: deque[Publishable] = deque(maxlen=INBOX)
        self._awake = False
        self._ticked_ms = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hub", daemon=True)
        self._server: Server | None = None
        self.counters = Counters()

    # --- from the flow's thread ---

    def start(self) -> None:
        """Opens the port; `OSError` when it is taken."""
        self._thread.start()
        try:
            self._server = asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result()
        except OSError:
            self._end_thread()
            raise
        _log.info("hub serves", url=f"ws://{self._settings.host}:{self.port}{PATH}", **self._about)

    @property
    def port(self) -> int:
        """The port it listens on."""
        if self._server is None:
            raise RuntimeError("the hub has not been started")
        port: int = next(iter(self._server.sockets)).getsockname()[1]
        return port

    @property
    def clients(self) -> int:
        """How many are connected."""
        return len(self._clients)

    def write(self, batch: Iterable[Publishable]) -> None:
        """Takes news. Whoever is slow, it is not the flow."""
        self._inbox.extend(batch)
        if not self._awake:
            self._awake = True
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # the loop is closed: the process is ending, and there is nobody left to hear
                self._inbox.clear()

    def close(self) -> None:
        """Sends what is there, says goodbye to everyone, ends the thread. Closing twice is harmless."""
        if self._server is None or self._loop.is_closed():
            return
        asyncio.run_coroutine_threadsafe(self._say_goodbye(), self._loop).result(2 * CLOSE_S + 1)
        self._end_thread()

    def _end_thread(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    # --- the hub's thread: news ---

    def _wake(self) -> None:
        """Ticks now, or when the tick before is `tick_ms` old: at a low rate nothing waits."""
        wait_ms = self._ticked_ms + self._settings.tick_ms - monotonic_ms()
        if wait_ms <= 0:
            self._tick()
        elif self._timer is None or self._timer.when() > self._loop.time() + wait_ms / 1_000:
            self._tick_in(wait_ms)

    def _tick_in(self, wait_ms: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_later(wait_ms / 1_000, self._tick)

    def _tick(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        try:
            self._deliver_news()
        except Exception:  # noqa: BLE001 - whatever it is, the flow and the next tick must not suffer from it
            _log.exception("a broadcast failed")

    def _deliver_news(self) -> None:
        self._awake = False
        self._ticked_ms = now = monotonic_ms()
        taken = [self._inbox.popleft() for _ in range(len(self._inbox))]
        wall = wall_ms()
        entries = self._hub.publish(taken, now_ms=now, wall_ms=wall) + self._hub.release(now_ms=now, wall_ms=wall)
        if entries and self._clients:
            self._fan_out(entries)
        due = self._hub.due_in(now)
        if any(client.backlog for client in self._clients):
            due = min(due if due is not None else 1_000, int(BACKLOG_CHECK_S * 1_000))
            self._serve_backlogs()
        if due is not None:
            self._tick_in(max(due, self._settings.tick_ms, 1))

    def _fan_out(self, entries: list[Entry]) -> None:
        joined: dict[tuple[Filter, Format], tuple[bytes, int]] = {}
        for client in self._clients:
            if not client.keeps_up:
                self._put_back(client, entries)
                continue
            wish = client.wanted, client.form
            if wish not in joined:
                wanted = [entry for entry in entries if client.wanted.wants(entry)]
                joined[wish] = b"".join([entry.frame(client.form) for entry in wanted]), len(wanted)
            frames, count = joined[wish]
            if count:
                client.write(frames)
                self.counters.sent += count

    def _put_back(self, client: Client, entries: list[Entry]) -> None:
        lost_before = client.backlog.lost
        for entry in filter(client.wanted.wants, entries):
            client.backlog.put(entry)
        self.counters.dropped += client.backlog.lost - lost_before
        if client.backlog.hopeless and client.open:
            self._let_go(client, 1013, "too slow")

    def _serve_backlogs(self) -> None:
        for client in self._clients:
            if client.backlog and client.socket.transport.get_write_buffer_size() == 0:
                lost, entries = client.backlog.take()
                if lost:
                    self.counters.lagged += 1
                    _log.warning("a client lost messages", client=client.socket.remote_address, dropped=lost)
                    client.tell({"type": "Lagged", "dropped": lost})
                frames = [entry.frame(client.form) for entry in entries]
                client.write(b"".join(frames))
                self.counters.sent += len(frames)

    def _let_go(self, client: Client, code: int, reason: str) -> None:
        _log.warning("a client is let go", client=client.socket.remote_address, code=code, reason=reason)
        self._clients.discard(client)
        closing = asyncio.ensure_future(client.socket.close(code, reason))
        closing.add_done_callback(lambda task: task.cancelled() or task.exception())

    # --- the hub's thread: clients ---

    async def _serve(self) -> Server:
        settings = self._settings
        return await serve(
            self._welcome,
            settings.host,
            settings.port,
            process_request=self._refusal,
            select_subprotocol=_chosen_format,
            compression=None,
            max_size=MAX_REQUEST_BYTES,
            close_timeout=CLOSE_S,
            server_header=None,
        )

    def _refusal(self, socket: ServerConnection, request: Request) -> Response | None:
        url = urlsplit(request.path)
        origin = request.headers.get("Origin")
        checks: list[tuple[bool, HTTPStatus, str]] = [
            (url.path != PATH, HTTPStatus.NOT_FOUND, f"the hub is at {PATH}"),
            (not self._may_enter(request, url.query), HTTPStatus.UNAUTHORIZED, "a token is needed"),
            (not self._is_allowed(origin), HTTPStatus.FORBIDDEN, f"origin {origin} is not in hub.origins"),
            (self.clients >= self._settings.max_clients, HTTPStatus.SERVICE_UNAVAILABLE, "hub.max_clients are here"),
        ]
        for refused, status, text in checks:
            if refused:
                self.counters.refused += 1
                _log.warning("a client was refused", client=socket.remote_address, status=int(status), reason=text)
                return socket.respond(status, text + "\n")
        return None

    def _may_enter(self, request: Request, query: str) -> bool:
        token = self._settings.token
        if not token:
            return True
        bearer = request.headers.get("Authorization", "").removeprefix("Bearer ")
        given = bearer or parse_qs(query).get("token", [""])[0]
        return hmac.compare_digest(given.encode(), token.encode())

    def _is_allowed(self, origin: str | None) -> bool:
        """Programs send no origin; pages of this machine are its user's own."""
        if origin is None or origin in self._settings.origins:
            return True
        host = urlsplit(origin).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"

    async def _welcome(self, socket: ServerConnection) -> None:
        query = parse_qs(urlsplit(socket.request.path).query) if socket.request else {}
        form: Format = "msgpack" if socket.subprotocol == MSGPACK else "json"
        client = Client(socket, Filter(), form, self._settings.capacity)
        try:
            client.wanted = _filter_of({key: query[key][0].split(",") for key in _CHOICES if key in query}, Filter())
            self._resume(client, query.get("resume_after", [""])[0])
        except RequestError as error:
            client.tell(_error(str(error)))
            await socket.close(1008, "bad request")
            return
        self._clients.add(client)
        try:
            async for text in socket:
                if client.asks_too_much(monotonic_ms()):
                    self._let_go(client, 1008, "too many requests")
                    break
                self._answer(client, text)
        except ConnectionClosed:
            pass
        finally:
            self._clients.discard(client)

    def _resume(self, client: Client, after: str) -> None:
        """What the client missed, or word that it is gone. A client that asks for nothing begins with what comes
        next.
        """
        if not after:
            return
        if not after.isdigit():
            raise RequestError(f"resume_after={after} is no sequence number")
        missed = self._hub.since(int(after))
        if missed is None:
            client.tell({"type": "Reset"})
            self._tell_state(client)
            return
        client.write(b"".join(entry.frame(client.form) for entry in missed if client.wanted.wants(entry)))

    def _tell_state(self, client: Client) -> None:
        """The current state of everything wanted. What follows has a later `seq` than the snapshot's."""
        now = [entry.message() for entry in self._hub.snapshot(client.wanted)]
        client.tell({"type": "Snapshot", "data": now, "seq": self._hub.last_seq})

    def _answer(self, client: Client, text: str | bytes) -> None:
        try:
            request = _request_of(text)
            act = self._acts().get(request.get("op", ""))
            if act:
                act(client, request)
            else:
                client.tell(_error(f"op {request.get('op')!r} is unknown; there are {', '.join(self._acts())}"))
        except RequestError as error:
            client.tell(_error(str(error)))

    def _acts(self) -> dict[str, Callable[[Client, dict[str, Any]], None]]:
        return {
            "subscribe": self._subscribe,
            "unsubscribe": self._unsubscribe,
            "ping": lambda client, _: client.tell({"type": "Pong", "data": self._about, "seq": self._hub.last_seq}),
        }

    def _subscribe(self, client: Client, request: dict[str, Any]) -> None:
        client.wanted = _filter_of(request, client.wanted)
        client.tell({"type": "Subscribed", "data": _told(client.wanted)})
        self._tell_state(client)

    def _unsubscribe(self, client: Client, request: dict[str, Any]) -> None:
        gone = _filter_of(request, Filter(channels=frozenset()))
        left = client.wanted.channels - (gone.channels or client.wanted.channels)
        client.wanted = msgspec.structs.replace(client.wanted, channels=left)
        client.tell({"type": "Subscribed", "data": _told(client.wanted)})

    async def _say_goodbye(self) -> None:
        self._deliver_news()
        if self._timer is not None:
            self._timer.cancel()
        if self._server is not None:
            self._server.close(code=1001, reason="the hub ends")
            await asyncio.wait_for(self._server.wait_closed(), 2 * CLOSE_S)


_CHOICES = ("channels", "symbols", "timeframes")


def _chosen_format(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return MSGPACK if MSGPACK in offered else None


def _request_of(text: str | bytes) -> dict[str, Any]:
    try:
        request = json.loads(text) if isinstance(text, str) else msgspec.msgpack.decode(text)
    except (ValueError, msgspec.MsgspecError) as error:
        raise RequestError(f"the request cannot be read: {error}") from error
    if not isinstance(request, dict):
        raise RequestError('a request is an object, as in {"op":"subscribe","channels":["Candle"]}')
    return request


def _filter_of(request: dict[str, Any], before: Filter) -> Filter:
    """The wishes of a request; what it does not name stays as it was."""
    choices: dict[str, Any] = {}
    for name in _CHOICES:
        if name in request:
            values = request[name]
            if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
                raise RequestError(f"{name} is a list of texts")
            choices[name] = frozenset(value.upper() for value in values) if name == "symbols" else frozenset(values)
    unknown = choices.get("channels", frozenset()) - {*CHANNELS, *PLANNED_CHANNELS}
    if unknown:
        known = ", ".join((*CHANNELS, *PLANNED_CHANNELS))
        raise RequestError(f"channels {', '.join(sorted(unknown))} are unknown; there are {known}")
    return msgspec.structs.replace(before, **choices)


def _told(wanted: Filter) -> dict[str, Any]:
    return {name: sorted(value) if (value := getattr(wanted, name)) is not None else None for name in _CHOICES}


def _error(text: str) -> dict[str, Any]:
    return {"type": "Error", "data": {"message": text}}
