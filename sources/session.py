"""One socket's life: open, subscribe, receive, until it ends.

What it understands of a frame is its channel and whether it is a reply; the rest is the parser's.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import structlog

from flows.settings import Feed
from sources.feed import Ack, ConnectionPlan, Refusal, Shutdown, VenueFeed
from sources.frame_queue import FrameQueue
from sources.patience import Patience
from sources.transport import Open, Receive, Socket, TransportError

ROOM_POLL_S = 0.002
SHUTDOWN = "shutdown announced"

_log = structlog.get_logger(__name__)


class Session:
    """One socket from opening to its end. It begins when it is made, and ends when it is closed, at the latest."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        feed: VenueFeed,
        settings: Feed,
        open_socket: Open,
        queue: FrameQueue,
        patience: Patience,
        on_opened: Callable[[], None],
        on_subscribed: Callable[["Session", ConnectionPlan], None],
    ) -> None:
        self._plan = plan
        self._asked = plan
        """What the venue was asked for last."""
        self._feed = feed
        self._settings = settings
        self._open_socket = open_socket
        self._queue = queue
        self._patience = patience
        self._on_opened = on_opened
        self._on_subscribed = on_subscribed
        self._socket: Socket | None = None
        self._waiting_for_room: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._unconfirmed: set[int] = set()
        self._confirmed = asyncio.Event()
        self._is_subscribed = False
        self._refusal: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._next_request_s = 0.0
        self.delivers = asyncio.Event()
        """Everything is confirmed, and data has come since."""
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
        self._patience.follow(plan.channels, time.monotonic())
        self._settled.clear()
        self._changed.set()
        await self._settled.wait()

    async def close(self) -> None:
        """Ends it gracefully."""
        if not self.life.cancelling():  # a second one would break off the closing handshake
            self.life.cancel()
        await asyncio.gather(self.life, return_exceptions=True)

    async def _live(self) -> str:
        plan = self._plan
        try:
            socket = await self._open_socket(plan.url, self._receiver(), timeout_s=self._settings.open_timeout_s)
        except TransportError as error:
            return f"{plan.url} cannot be reached: {error}"
        try:
            self._socket = socket
            _log.info("connected", venue=self._feed.venue, line=plan.line, url=plan.url, streams=len(plan.streams))
            self._on_opened()
            reason = await self._serve(socket)
        finally:
            await socket.close()
            await _cancelled(self._waiting_for_room)
        return SHUTDOWN if self.leaves.is_set() else reason

    async def _serve(self, socket: Socket) -> str:
        """Why the session has to end: the first of several reasons."""
        self._patience.begin(time.monotonic())
        reasons: list[asyncio.Future[str]] = [
            asyncio.ensure_future(socket.wait_ended()),
            asyncio.ensure_future(self._subscribe(socket)),
            asyncio.ensure_future(self._watch()),
            self._refusal,
        ]
        try:
            done, _ = await asyncio.wait(reasons, return_when=asyncio.FIRST_COMPLETED)
            return next(reason for reason in reasons if reason in done).result()
        finally:
            for reason in reasons:
                await _cancelled(reason)

    # --- what comes in ---

    def _receiver(self) -> Receive:
        """The hot path: a frame costs one look at its channel and one append."""
        items, bound, ring = self._queue.items, self._queue.bound, self._queue.ring
        put, channel_of, heard = items.append, self._feed.channel_of, self._patience.heard.add
        confirmed: asyncio.Event | None = self._confirmed

        def receive(frame: bytes) -> None:
            nonlocal confirmed
            channel = channel_of(frame)
            if not channel:
                self._take_control(frame)
                return
            heard(channel)
            put(frame)
            ring()
            if confirmed is not None and confirmed.is_set():
                self.delivers.set()
                confirmed = None
            if len(items) >= bound:
                self._wait_for_room()

        return receive

    def _take_control(self, frame: bytes) -> None:
        control = self._feed.control_of(frame)
        match control:
            case Ack() if control.id in self._unconfirmed:
                self._unconfirmed.discard(control.id)
                if not self._unconfirmed:
                    self._confirmed.set()
                    if not self._is_subscribed:
                        self._is_subscribed = True
                        self._on_subscribed(self, self._asked)
            case Refusal():
                if not self._refusal.done():
                    self._refusal.set_result(f"the venue refused the subscription: {control.reason}")
            case Shutdown():
                self.leaves.set()
            case None:
                self._queue.items.append(frame)  # the parser knows what to make of it, or refuses it in public
                self._queue.ring()

    def _wait_for_room(self) -> None:
        self._queue.fall_behind(self._plan.symbols)
        if self._socket is not None and self._waiting_for_room is None:
            self._socket.pause()
            self._waiting_for_room = asyncio.create_task(self._read_on(self._socket))

    async def _read_on(self, socket: Socket) -> None:
        while not self._queue.has_room():  # noqa: ASYNC110 - the taker is a thread, and an event would cost it
            await asyncio.sleep(ROOM_POLL_S)
        self._waiting_for_room = None
        socket.resume()

    # --- what goes out ---

    async def _subscribe(self, socket: Socket) -> str:
        """Asks for what the plan says, and after each change of it for the difference; returns when that fails."""
        carried: dict[str, None] = {}
        while True:
            self._changed.clear()
            plan = self._asked = self._plan
            wanted = dict.fromkeys(plan.streams)
            gone = self._feed.unsubscribe_requests(tuple(name for name in carried if name not in wanted))
            new = self._feed.subscribe_requests(tuple(name for name in wanted if name not in carried))
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

    async def _watch(self) -> str:
        """Returns when a channel is silent."""
        while True:
            await asyncio.sleep(self._settings.stale_after_s / 4)
            silent = self._patience.silent(time.monotonic())
            if silent and not self._unconfirmed:
                names = ", ".join(channel.decode() for channel in silent)
                return f"silent for {self._settings.stale_after_s:g} s or more: {names}"


async def _cancelled(task: "asyncio.Future[Any] | None") -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
