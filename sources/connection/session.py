"""One session: a socket is opened, subscribes and receives, until it ends.

Of a frame it reads only the channel, and whether it is a reply; the parser reads the rest.
"""

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from itertools import chain
from typing import Any, NamedTuple

import structlog

from flows.backoff import backoff_s
from sources.connection.frame_numbers import FrameNumbers
from sources.connection.frame_queue import FrameQueue
from sources.connection.patience import let_wait
from sources.connection.requests import RequestError, Requests
from sources.connection.settings import ConnectionSettings
from sources.connection.transport import Open, Receive, Socket, TransportError
from sources.feed import Ack, ConnectionPlan, LineFeed, Refusal, Shutdown

ROOM_POLL_S = 0.002
SHUTDOWN = "shutdown announced"
UNEXPECTED = "unexpected error"
REASON_LENGTH = 300
"""Most characters of a foreign reason."""
ENOUGH_REFUSALS = 15
"""Refusals after which the session ends, if nothing was accepted."""
NAMED = 5
"""Most streams that a log event names."""
RETRY_REQUESTS = 16
"""Most requests per retry of refused streams; the rest waits for the next retry."""

_log = structlog.get_logger(__name__)


class SessionParts(NamedTuple):
    """What the sessions of a connection share."""

    feed: LineFeed
    settings: ConnectionSettings
    open_socket: Open
    queue: FrameQueue


class Session:
    """One socket from its opening to its end. The constructor starts it; `close` ends it."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        parts: SessionParts,
        on_opened: Callable[[], None],
        on_subscribed: Callable[["Session", ConnectionPlan], None],
        on_refusals: Callable[[], None],
        refused: Mapping[str, str],
    ) -> None:
        """`refused` are streams that the venue has refused before: they are requested after the others. `on_refusals`
        is called when the refused streams of a subscribed session have changed.
        """
        self._plan = plan
        self._requested = plan
        """The plan that was requested last."""
        self._feed, self._settings, self._open_socket, self._queue = parts
        self._on_opened = on_opened
        self._on_subscribed = on_subscribed
        self._on_refusals = on_refusals
        self._requests = Requests(self._feed, timeout_s=self._settings.open_timeout_s)
        self._socket: Socket | None = None
        self._waiting_for_room: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._is_initial_request = False
        """Whether the open requests are the first ones, for all streams together."""
        self._subscribed = asyncio.Event()
        self._failure: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._to_renew: set[str] = set()
        self._retry_s = 0.0
        self._retries = 0
        self.carried: dict[str, None] = {}
        """Streams that the venue has confirmed."""
        self.refused: dict[str, str] = dict(refused)
        """By refused stream, the venue's reason."""
        self.delivers = asyncio.Event()
        """Set when all streams are confirmed or refused, and data has arrived since."""
        self.active: set[str] = set()
        """Streams with messages since the watch cleared it; always the same object."""
        self.leaves = asyncio.Event()
        """Set when the venue has announced that it will close the connection."""
        self.life = asyncio.create_task(self._live())
        """The task of the session; its result is the reason of the end."""
        self.life.add_done_callback(lambda _: self._settled.set())  # a `change` must not wait for an ended session

    async def change(self, plan: ConnectionPlan) -> None:
        """Changes the streams. Returns when the venue has confirmed it, or the session has ended. All messages before
        the confirmation are in the queue then.
        """
        if self.life.done():
            return
        self._plan = plan
        self._settled.clear()
        self._changed.set()
        await self._settled.wait()

    @property
    def is_waiting(self) -> bool:
        """Whether it does not read, because of backpressure."""
        return self._waiting_for_room is not None

    def renew(self, streams: Iterable[str]) -> None:
        """Unsubscribes these streams and subscribes them again on the open socket; unknown ones are ignored."""
        self._to_renew.update(streams)
        self._changed.set()

    def fail(self, reason: str) -> None:
        """Ends the session with a reason, as if the socket had ended."""
        if not self._failure.done():
            self._failure.set_result(reason)

    async def close(self) -> None:
        """Closes it gracefully."""
        if not self.life.cancelling():  # a second cancellation would interrupt the closing handshake
            self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)

    async def _live(self) -> str:
        """Runs the session; the reason of its end. An unexpected error is a reason, too, so that the connection goes
        on.
        """
        try:
            reason = await self._open_and_serve()
        except Exception as error:  # noqa: BLE001 - an unexpected error becomes a reason, and the connection is opened again
            _log.error(
                "session_failed", venue=self._feed.venue, line=self._plan.line, url=self._plan.url, exc_info=error
            )
            return unexpected(error)
        return SHUTDOWN if self.leaves.is_set() else reason

    async def _open_and_serve(self) -> str:
        plan = self._plan
        try:
            socket = await self._open_socket(
                plan.url, self._receiver(), timeout_s=self._settings.open_timeout_s, headers=plan.headers
            )
        except TransportError as error:
            return f"{plan.url} cannot be reached: {error}"
        self._socket, descriptor = socket, socket.descriptor
        try:
            _log.info("connected", venue=self._feed.venue, line=plan.line, url=plan.url, streams=len(plan.names))
            let_wait(descriptor, can_wait=plan.can_wait)
            self._on_opened()
            return await self._serve(socket)
        finally:
            let_wait(descriptor, can_wait=False)
            await _cancelled(self._waiting_for_room)
            self._waiting_for_room = None
            await self._close_socket(socket)

    async def _close_socket(self, socket: Socket) -> None:
        try:
            await socket.close()
        except Exception as error:  # noqa: BLE001 - the session has ended for an earlier reason
            _log.warning("socket_close_failed", venue=self._feed.venue, line=self._plan.line, exc_info=error)

    async def _serve(self, socket: Socket) -> str:
        """Runs until a reason to end occurs; the first reason."""
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

    # --- receiving ---

    def _receiver(self) -> Receive:
        """The hot path: one look at the stream and one append per frame."""
        queue, items, bound = self._queue, self._queue.items, self._queue.bound
        put, channel_of, note = items.append, self._feed.channel_of, self.active.add
        confirmed: asyncio.Event | None = self._subscribed

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
            if not queue.is_urgent:
                queue.ring(stream)
            if len(items) >= bound:
                self._wait_for_room()

        return self._numbered(receive) if self._plan.number else receive

    def _numbered(self, receive: Receive) -> Receive:
        numbers = FrameNumbers(self._plan.number)

        def receive_numbered(frame: bytes) -> None:
            if missing := numbers.missing(frame):
                self.fail(missing)  # what follows does not continue what was received
            if not self._failure.done():
                receive(frame)

        return receive_numbered

    def _is_taken_as_control(self, frame: bytes) -> bool:
        """Whether a frame without data was for the session. The parser handles any other, or rejects and reports it."""
        match self._feed.control_of(frame):
            case Ack() as ack:
                self._requests.take(ack)
                if self._is_initial_request and self._requests.is_confirmed:
                    self._is_initial_request = False
                    known = self.refused.keys() | self._requests.refused.keys()
                    self.carried = dict.fromkeys(name for name in self._requested.names if name not in known)
                    if self.carried:
                        self.refused |= self._requests.refused
                        self._become_subscribed()
            case Refusal() as refusal:
                return self._requests.take(refusal)
            case Shutdown():
                self.leaves.set()
            case _:
                return False
        return True

    def _become_subscribed(self) -> None:
        self._subscribed.set()
        self._on_subscribed(self, self._requested)

    def _wait_for_room(self) -> None:
        self._queue.fall_behind(self._plan.symbols)
        if self._socket is not None and self._waiting_for_room is None:
            self._socket.pause()
            self._waiting_for_room = asyncio.create_task(self._read_on(self._socket))

    async def _read_on(self, socket: Socket) -> None:
        while not self._queue.has_room():  # noqa: ASYNC110 - the taker is a thread; an event would cost it time
            await asyncio.sleep(ROOM_POLL_S)
        self._waiting_for_room = None
        try:
            socket.resume()
        except Exception as error:  # noqa: BLE001 - a socket that cannot resume has ended
            self.fail(unexpected(error))

    # --- requests ---

    async def _subscribe(self, socket: Socket) -> str:
        """Requests the streams of the plan, after each change of it the difference, and again those to be renewed or
        retried; returns the reason when that fails.
        """
        try:
            await self._begin(socket)
            while True:
                await self._wait_change()
                await self._follow(socket)
        except RequestError as error:
            return str(error)

    async def _begin(self, socket: Socket) -> None:
        """Requests all streams. `RequestError` also when all are refused."""
        plan = self._take_plan()
        self.refused = {name: words for name, words in self.refused.items() if name in plan.names}
        if len(self.refused) == len(plan.names):
            self.refused = {}
        first = [name for name in plan.names if name not in self.refused]
        self._is_initial_request = True
        await self._subscribe_streams(socket, first)
        self._is_initial_request = False
        if first and not self.carried:
            raise RequestError(f"the venue refused the subscription: {next(iter(self.refused.values()))}")
        if not self._subscribed.is_set():
            self._become_subscribed()
        self._plan_retry(anew=True)
        self._settle(plan)

    async def _follow(self, socket: Socket) -> None:
        """Requests the difference to the confirmed streams."""
        before = self.refused
        plan = self._take_plan()
        let_wait(socket.descriptor, can_wait=plan.can_wait)
        stale, self._to_renew = self._to_renew, set()
        is_retry = time.monotonic() >= self._retry_s
        self.refused = {name: words for name, words in before.items() if name in plan.names}
        known = list(self.refused)
        ended = [name for name in self.carried if name in stale or name not in plan.names]
        wanted = [name for name in plan.names if name not in self.refused]
        await self._end(socket, ended)
        await self._subscribe_streams(socket, [name for name in wanted if name not in self.carried or name in stale])
        self._settle(plan)
        if is_retry and known:
            await self._subscribe_streams(socket, self._shuffled(known), is_retry=True)
        is_other = self.refused.keys() != before.keys()
        if is_other or is_retry:
            self._plan_retry(anew=is_other)
        if is_other:
            self._on_refusals()

    def _take_plan(self) -> ConnectionPlan:
        self._changed.clear()
        self._requested = self._plan
        return self._requested

    def _settle(self, plan: ConnectionPlan) -> None:
        if self._plan is plan:
            self._settled.set()

    async def _wait_change(self) -> None:
        """Returns when there is something to request."""
        waits_s = self._retry_s - time.monotonic() if self._is_incomplete() else None
        with suppress(TimeoutError):
            async with asyncio.timeout(waits_s):
                await self._changed.wait()

    def _is_incomplete(self) -> bool:
        return bool(self.refused) or any(name not in self._requested.names for name in self.carried)

    def _plan_retry(self, *, anew: bool) -> None:
        self._retries = 1 if anew else self._retries + 1
        self._retry_s = time.monotonic() + backoff_s(
            self._retries, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s
        )

    async def _end(self, socket: Socket, streams: list[str]) -> None:
        """Unsubscribes; when the venue refuses that, the streams stay and are unsubscribed with the next change."""
        words = await self._requests.send(socket, self._feed.unsubscribe_requests(tuple(streams)))
        if words is not None:
            _log.warning(
                "streams_not_ended", venue=self._feed.venue, line=self._plan.line, streams=streams[:NAMED], reason=words
            )
            return
        for name in streams:
            del self.carried[name]

    async def _subscribe_streams(self, socket: Socket, streams: list[str], *, is_retry: bool = False) -> None:
        """Subscribes to streams. A refusal does not name its streams, so each half is requested by itself, and so on,
        down to the symbols that are refused; down to single streams while nothing is confirmed, and at retries.
        """
        waiting, sent = deque([streams] if streams else []), 0
        while waiting and not (is_retry and sent >= RETRY_REQUESTS):
            part = waiting.popleft()
            words = await self._requests.send(socket, self._feed.subscribe_requests(tuple(part)))
            self._is_initial_request = False
            sent += 1
            if words is None:
                refused = self._requests.refused
                self.carried |= dict.fromkeys(name for name in part if name not in refused)
                self.refused = {name: reason for name, reason in self.refused.items() if name not in part} | refused
            elif not self.carried and not is_retry and sent >= ENOUGH_REFUSALS:
                raise RequestError(f"the venue refused the subscription: {words}")
            elif halves := self._halves(part, into_streams=is_retry or not self.carried):
                waiting.extend(halves)
            else:
                self.refused |= {name: words for name in part if name not in self.carried}

    def _halves(self, streams: list[str], *, into_streams: bool) -> list[list[str]]:
        """Splits streams into halves, no symbol in both if there are several; empty where they must not be split."""
        by_symbol: dict[str, list[str]] = {}
        for name in streams:
            by_symbol.setdefault(self._requested.names[name][0], []).append(name)
        if len(by_symbol) > 1:
            parts = list(by_symbol.values())
        elif into_streams and len(streams) > 1:
            parts = [[name] for name in streams]
        else:
            return []
        middle = len(parts) // 2
        return [list(chain.from_iterable(half)) for half in (parts[:middle], parts[middle:])]

    def _shuffled(self, streams: list[str]) -> list[str]:
        """In random order, so that each retry requests other streams together."""
        order = {key: random.random() for name in streams for key in (name, self._requested.names[name][0])}  # noqa: S311
        return sorted(streams, key=lambda name: (order[self._requested.names[name][0]], order[name]))


def unexpected(error: BaseException) -> str:
    """The reason of an end by an unexpected error; the ledger recognizes it by its prefix `UNEXPECTED`."""
    return f"{UNEXPECTED}: {type(error).__name__}: {error}"[:REASON_LENGTH]


async def _cancelled(task: "asyncio.Future[Any] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
