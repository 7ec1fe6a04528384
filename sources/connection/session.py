"""One socket's life: open, subscribe, receive, until it ends.

What it understands of a frame is its channel and whether it is a reply; the rest is the parser's.
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import structlog

from sources.connection.frame_queue import FrameQueue
from sources.connection.line_settings import LineSettings
from sources.connection.transport import Open, Receive, Socket, TransportError
from sources.feed import Ack, ConnectionPlan, Refusal, Shutdown, VenueFeed

ROOM_POLL_S = 0.002
SHUTDOWN = "shutdown announced"
UNEXPECTED = "unexpected error"
REASON_LENGTH = 300
"""Most characters of a reason that is not ours."""

_log = structlog.get_logger(__name__)


class SessionParts(NamedTuple):
    """What all sessions of a connection share."""

    feed: VenueFeed
    settings: LineSettings
    open_socket: Open
    queue: FrameQueue


class Session:
    """One socket from opening to its end. It begins when it is made, and ends when it is closed, at the latest."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        parts: SessionParts,
        on_opened: Callable[[], None],
        on_subscribed: Callable[["Session", ConnectionPlan], None],
    ) -> None:
        self._plan = plan
        self._asked = plan
        """What the venue was asked for last."""
        self._feed, self._settings, self._open_socket, self._queue = parts
        self._on_opened = on_opened
        self._on_subscribed = on_subscribed
        self._socket: Socket | None = None
        self._waiting_for_room: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._unconfirmed: set[int] = set()
        self._confirmed = asyncio.Event()
        self._is_subscribed = False
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._to_renew: set[str] = set()
        self._next_request_s = 0.0
        self.delivers = asyncio.Event()
        """Everything is confirmed, and data has come since."""
        self.active: set[str] = set()
        """Streams with messages since this was cleared by the watch over them; the same object always."""
        self.leaves = asyncio.Event()
        """The venue has announced that it will close it."""
        self.life = asyncio.create_task(self._live())
        """Why it has ended, when it has."""
        self.life.add_done_callback(lambda _: self._settled.set())  # nobody waits for a dead one

    async def change(self, plan: ConnectionPlan) -> None:
        """Makes the venue send something else. Returns when that is confirmed, or the session has ended. Whatever the
        venue has sent before its confirmation is in the queue then.
        """
        if self.life.done():
            return
        self._plan = plan
        self._settled.clear()
        self._changed.set()
        await self._settled.wait()

    @property
    def is_waiting(self) -> bool:
        """Whether it reads nothing, for the flow is behind."""
        return self._waiting_for_room is not None

    def renew(self, streams: Iterable[str]) -> None:
        """Ends these streams and begins them again on the open socket; those that it does not carry are passed over."""
        self._to_renew.update(streams)
        self._changed.set()

    def fail(self, reason: str) -> None:
        """Ends it for a reason, as if the socket had ended."""
        if not self._failure.done():
            self._failure.set_result(reason)

    async def close(self) -> None:
        """Ends it gracefully."""
        if not self.life.cancelling():  # a second one would break off the closing handshake
            self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)

    async def _live(self) -> str:
        """The reason of its end. Whatever ends it is one: no error of a transport, nor one of ours, leaves it dead."""
        try:
            reason = await self._open_and_serve()
        except Exception as error:  # noqa: BLE001 - an unexpected error becomes a reason, and the line comes back
            _log.error("session_failed", line=self._plan.line, url=self._plan.url, exc_info=error)
            return unexpected(error)
        return SHUTDOWN if self.leaves.is_set() else reason

    async def _open_and_serve(self) -> str:
        plan = self._plan
        try:
            socket = await self._open_socket(plan.url, self._receiver(), timeout_s=self._settings.open_timeout_s)
        except TransportError as error:
            return f"{plan.url} cannot be reached: {error}"
        try:
            self._socket = socket
            _log.info("connected", venue=self._feed.venue, line=plan.line, url=plan.url, streams=len(plan.names))
            self._on_opened()
            return await self._serve(socket)
        finally:
            await _cancelled(self._waiting_for_room)
            self._waiting_for_room = None
            await self._close_socket(socket)

    async def _close_socket(self, socket: Socket) -> None:
        try:
            await socket.close()
        except Exception as error:  # noqa: BLE001 - the session has ended for another reason, which is the one that counts
            _log.warning("socket_close_failed", line=self._plan.line, exc_info=error)

    async def _serve(self, socket: Socket) -> str:
        """Why the session has to end: the first of several reasons."""
        reasons: list[asyncio.Future[str]] = [
            asyncio.ensure_future(socket.wait_ended()),
            asyncio.ensure_future(self._subscribe(socket)),
            self._failure,
        ]
        try:
            done, _ = await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
            first = next(reason for reason in reasons if reason in done)
            return f"{UNEXPECTED}: cancelled by the transport" if first.cancelled() else first.result()
        finally:
            for reason in reasons:
                await _cancelled(reason)

    # --- what comes in ---

    def _receiver(self) -> Receive:
        """The hot path: a frame costs one look at its stream and one append."""
        items, bound, ring = self._queue.items, self._queue.bound, self._queue.ring
        put, channel_of, note = items.append, self._feed.channel_of, self.active.add
        confirmed: asyncio.Event | None = self._confirmed

        def receive(frame: bytes) -> None:
            nonlocal confirmed
            stream = channel_of(frame)
            if not stream:
                if self._is_taken_as_control(frame):
                    return
            else:
                note(stream)
                if confirmed is not None and confirmed.is_set():
                    self.delivers.set()
                    confirmed = None
            put(frame)
            ring()
            if len(items) >= bound:
                self._wait_for_room()

        return receive

    def _is_taken_as_control(self, frame: bytes) -> bool:
        """Whether a frame without data was for the session. The parser knows what to make of any other, or refuses it
        in public.
        """
        match self._feed.control_of(frame):
            case Ack() as ack:
                self._confirm(ack.id)
            case Refusal() as refusal if self._is_answer(refusal):
                self.fail(f"the venue refused the subscription: {refusal.reason}")
            case Shutdown():
                self.leaves.set()
            case _:
                return False
        return True

    def _is_answer(self, refusal: Refusal) -> bool:
        """Whether it is an open request that is refused, as far as the refusal names one."""
        return bool(self._unconfirmed) and (refusal.id is None or refusal.id in self._unconfirmed)

    def _confirm(self, request_id: int) -> None:
        if request_id not in self._unconfirmed:
            return
        self._unconfirmed.discard(request_id)
        if self._unconfirmed:
            return
        self._confirmed.set()
        if not self._is_subscribed:
            self._is_subscribed = True
            self._on_subscribed(self, self._asked)

    def _wait_for_room(self) -> None:
        self._queue.fall_behind(self._plan.symbols)
        if self._socket is not None and self._waiting_for_room is None:
            self._socket.pause()
            self._waiting_for_room = asyncio.create_task(self._read_on(self._socket))

    async def _read_on(self, socket: Socket) -> None:
        while not self._queue.has_room():  # noqa: ASYNC110 - the taker is a thread, and an event would cost it
            await asyncio.sleep(ROOM_POLL_S)
        self._waiting_for_room = None
        try:
            socket.resume()
        except Exception as error:  # noqa: BLE001 - a socket that cannot be read on has ended
            self.fail(unexpected(error))

    # --- what goes out ---

    async def _subscribe(self, socket: Socket) -> str:
        """Asks for what the plan says, after each change of it for the difference, and anew for streams that are to be
        renewed; returns when that fails.
        """
        carried: dict[str, None] = {}
        while True:
            self._changed.clear()
            plan = self._asked = self._plan
            stale, self._to_renew = self._to_renew, set()
            wanted = dict.fromkeys(plan.names)
            ended = tuple(name for name in carried if name not in wanted or name in stale)
            begun = tuple(name for name in wanted if name not in carried or name in stale)
            gone, new = self._feed.unsubscribe_requests(ended), self._feed.subscribe_requests(begun)
            if failure := await self._request(socket, [*gone, *new]):
                return failure
            carried = wanted
            if self._plan is plan:
                self._settled.set()
            await self._changed.wait()

    async def _request(self, socket: Socket, requests: list[tuple[int, str]]) -> str | None:
        """Makes requests at the venue's pace, and waits until all are confirmed; or says why they are not."""
        if not requests:
            return None
        self._confirmed.clear()
        self._unconfirmed = {request_id for request_id, _ in requests}
        try:
            for _, text in requests:
                await asyncio.sleep(self._next_request_s - time.monotonic())
                self._next_request_s = time.monotonic() + self._feed.request_interval_s
                await socket.send(text)
            async with asyncio.timeout(self._settings.open_timeout_s):
                await self._confirmed.wait()
        except TransportError as error:
            return str(error)
        except TimeoutError:
            return f"the venue did not confirm the subscription within {self._settings.open_timeout_s:g} s"
        return None


def unexpected(error: BaseException) -> str:
    """The reason of a session's end by an unexpected error; the ledger knows it by its begin."""
    return f"{UNEXPECTED}: {type(error).__name__}: {error}"[:REASON_LENGTH]


async def _cancelled(task: "asyncio.Future[Any] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
