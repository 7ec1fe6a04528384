"""One connection's life: open, subscribe, read, and after every end come back.

    open ─▶ Connected ─▶ requests ─▶ all confirmed: Subscribed ─▶ frames … ─▶ Disconnected(reason) ─▶ wait ─▶ open …

What it understands of a frame is its channel and whether it is a reply; the rest is the parser's.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

import structlog
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

from flows.model import Behind, Connected, Disconnected, LineEvent, Subscribed
from flows.settings import Feed
from sources.backoff import backoff_s
from sources.feed import Ack, ConnectionPlan, Refusal, Shutdown, VenueFeed

MAX_FRAME_BYTES = 16 << 20
PING_S = 20.0
"""Our own pings: a line that is dead without saying so is noticed after this and `PONG_S`."""
PONG_S = 20.0
ROOM_POLL_S = 0.002
SHUTDOWN = "shutdown announced"
_QUIET_LIMIT = 16

_log = structlog.get_logger(__name__)


class FrameQueue:
    """Frames and line events of one connection on their way to the flow, in order; one thread puts, another takes.

    Bounded: when `bound` frames wait, the reader waits too, and so in the end does the venue.
    """

    def __init__(self, line: str, bound: int, ring: Callable[[], None]) -> None:
        self.line = line
        self.bound = bound
        self.ring = ring
        self.items: deque[bytes | LineEvent] = deque()
        self.events = 0
        """Line events among the items; only the putting thread adds, only the taking thread subtracts."""

    def put_event(self, event: LineEvent) -> None:
        """Puts what happened to the line behind the frames that came before it."""
        self.events += 1
        self.items.append(event)
        self.ring()


class Patience:
    """Which channels of a connection have been silent for too long. Only data counts: replies and pings do not.

    A channel is one kind of stream on the connection, whatever the symbol, so a quiet instrument alarms nobody while
    its neighbours trade. A channel that stays silent after the connection was renewed for it, while others speak, is
    believed to be quiet: its patience doubles, up to sixteen times.
    """

    def __init__(
        self, channels: frozenset[bytes], stale_after_s: float, now_s: float, factors: dict[bytes, int] | None = None
    ) -> None:
        """`factors` remembers from life to life who was believed to be quiet."""
        self._stale_after_s = stale_after_s
        self._factor = {} if factors is None else factors
        self._last: dict[bytes, float] = {}
        self.follow(channels, now_s)
        self.heard: set[bytes] = set()
        """Channels heard since the last look; the reader adds to it."""

    def follow(self, channels: frozenset[bytes], now_s: float) -> None:
        """Other channels from now on; new ones get time to speak up."""
        self._last = {channel: self._last.get(channel, now_s) for channel in channels}
        for channel in channels:
            self._factor.setdefault(channel, 1)

    def begin(self, now_s: float) -> None:
        """A new connection: everyone gets time to speak up."""
        self.heard.clear()
        self._last = dict.fromkeys(self._last, now_s)

    def silent(self, now_s: float) -> list[bytes]:
        """Channels whose silence is too long now."""
        for channel in self.heard & self._last.keys():
            self._last[channel] = now_s
            self._factor[channel] = 1
        self.heard.clear()
        limit_s, factor = self._stale_after_s, self._factor
        stale = [channel for channel, last in self._last.items() if now_s - last > limit_s * factor[channel]]
        for channel in stale:
            self._factor[channel] = min(self._factor[channel] * 2, _QUIET_LIMIT)
        return sorted(stale)


class LineError(Exception):
    """The connection is of no use any more; the text says why."""


class Redundancy:
    """Which of the connections that carry the same streams are live: the line is down only when none is."""

    def __init__(self) -> None:
        self._live: set[object] = set()

    @property
    def is_down(self) -> bool:
        """Whether none is live."""
        return not self._live

    def begins(self, connection: object) -> bool:
        """One is live. True when none was."""
        was_down = not self._live
        self._live.add(connection)
        return was_down

    def ends(self, connection: object) -> bool:
        """One is not live any more. True when none is."""
        self._live.discard(connection)
        return not self._live


class _Life:
    """One socket from opening to its end."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        feed: VenueFeed,
        settings: Feed,
        queue: FrameQueue,
        patience: Patience,
        on_opened: Callable[[], None],
        on_subscribed: Callable[[ConnectionPlan], None],
    ) -> None:
        self._plan = plan
        self._asked = plan
        """What the venue was asked for last."""
        self._changed = asyncio.Event()
        self._settled = asyncio.Event()
        self._feed = feed
        self._settings = settings
        self._queue = queue
        self._patience = patience
        self._on_opened = on_opened
        self._on_subscribed = on_subscribed
        self._unconfirmed: set[int] = set()
        self._confirmed = asyncio.Event()
        self._is_subscribed = False
        self._next_request_s = 0.0
        self.delivers = asyncio.Event()
        """Everything is confirmed, and data has come since."""
        self.leaves = asyncio.Event()
        """The venue has announced that it will close it."""

    async def change(self, plan: ConnectionPlan) -> None:
        """Makes the venue send something else. Returns when that is confirmed, or this life has ended."""
        self._plan = plan
        self._patience.follow(plan.channels, time.monotonic())
        self._settled.clear()
        self._changed.set()
        await self._settled.wait()

    def on_end(self) -> None:
        """Nobody waits for a dead one."""
        self._settled.set()

    async def live(self) -> str:
        """Lives until the socket ends, and returns why; cancelled, it closes gracefully."""
        plan = self._plan
        try:
            async with connect(
                plan.url,
                compression=None,
                max_size=MAX_FRAME_BYTES,
                max_queue=(4_096, 1_024),
                open_timeout=self._settings.open_timeout_s,
                close_timeout=1,
                ping_interval=PING_S,
                ping_timeout=PONG_S,
            ) as socket:
                _log.info("connected", venue=self._feed.venue, line=plan.line, url=plan.url, streams=len(plan.streams))
                self._on_opened()
                return await self._serve(socket)
        except (OSError, TimeoutError, WebSocketException) as error:
            return f"{plan.url} cannot be reached: {error or type(error).__name__}"

    async def _serve(self, socket: ClientConnection) -> str:
        self._patience.begin(time.monotonic())
        others = [asyncio.ensure_future(self._subscribe(socket)), asyncio.ensure_future(self._watch())]
        reader = asyncio.ensure_future(self._read(socket))
        try:
            done, _ = await asyncio.wait([reader, *others], return_when=asyncio.FIRST_EXCEPTION)
            for task in done:
                task.result()
        except LineError as error:
            return str(error)
        except ConnectionClosed as error:
            if self.leaves.is_set():
                return SHUTDOWN
            return f"closed by the venue: {error}" if error.rcvd else f"line cut: {error}"
        finally:
            for task in (reader, *others):
                task.cancel()
                with suppress(asyncio.CancelledError, LineError, ConnectionClosed):
                    await task
        return "ended"

    async def _read(self, socket: ClientConnection) -> None:
        """The hot loop: a frame costs one receive, one look at its channel, one append."""
        queue, items, bound, ring = self._queue, self._queue.items, self._queue.bound, self._queue.ring
        receive, channel_of, heard = socket.recv, self._feed.channel_of, self._patience.heard.add
        confirmed: asyncio.Event | None = self._confirmed
        while True:
            frame = await receive(decode=False)
            channel = channel_of(frame)
            if not channel:
                self._take_control(frame)
                continue
            heard(channel)
            items.append(frame)
            ring()
            if confirmed is not None and confirmed.is_set():
                self.delivers.set()
                confirmed = None
            if len(items) >= bound:
                _log.warning("the flow is behind, the line waits", line=queue.line, frames=len(items))
                queue.put_event(Behind(queue.line, self._plan.symbols, len(items)))
                while len(items) >= bound // 2:  # noqa: ASYNC110 - the taker is a thread, and an event would cost it
                    await asyncio.sleep(ROOM_POLL_S)

    async def _subscribe(self, socket: ClientConnection) -> None:
        """Asks for what the plan says, and after each change of it for the difference."""
        carried: dict[str, None] = {}
        while True:
            self._changed.clear()
            plan = self._asked = self._plan
            wanted = dict.fromkeys(plan.streams)
            gone = self._feed.unsubscribe_requests(tuple(name for name in carried if name not in wanted))
            new = self._feed.subscribe_requests(tuple(name for name in wanted if name not in carried))
            await self._request(socket, [*gone, *new])
            carried = wanted
            if self._plan is plan:
                self._settled.set()
            await self._changed.wait()

    async def _request(self, socket: ClientConnection, requests: list[tuple[int, str]]) -> None:
        """Makes requests at the venue's pace, and waits until all are confirmed."""
        if not requests:
            return
        self._confirmed.clear()
        self._unconfirmed = {request_id for request_id, _ in requests}
        for _, text in requests:
            await asyncio.sleep(self._next_request_s - time.monotonic())
            self._next_request_s = time.monotonic() + self._feed.request_interval_s
            await socket.send(text)
        try:
            async with asyncio.timeout(self._settings.open_timeout_s):
                await self._confirmed.wait()
        except TimeoutError:
            limit_s = self._settings.open_timeout_s
            raise LineError(f"the venue did not confirm the subscription within {limit_s:g} s") from None

    def _take_control(self, frame: bytes) -> None:
        control = self._feed.control_of(frame)
        match control:
            case Ack() if control.id in self._unconfirmed:
                self._unconfirmed.discard(control.id)
                if not self._unconfirmed:
                    self._confirmed.set()
                    if not self._is_subscribed:
                        self._is_subscribed = True
                        self._on_subscribed(self._asked)
            case Refusal():
                raise LineError(f"the venue refused the subscription: {control.reason}")
            case Shutdown():
                self.leaves.set()
            case None:
                self._queue.items.append(frame)  # the parser knows what to make of it, or refuses it in public
                self._queue.ring()

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stale_after_s / 4)
            silent = self._patience.silent(time.monotonic())
            if silent and not self._unconfirmed:
                names = ", ".join(channel.decode() for channel in silent)
                raise LineError(f"silent for {self._settings.stale_after_s:g} s or more: {names}")


class Connection:
    """Keeps one planned connection alive until it is cancelled. Never gives up, and never silently. Its plan may change
    meanwhile.

    Before the venue ends a connection for its age, or when it says that it will, a successor is opened beside it; the
    old one closes when the new one delivers. What both have sent is sorted out by whoever puts trades in sequence.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        feed: VenueFeed,
        settings: Feed,
        queue: FrameQueue,
        redundancy: Redundancy | None = None,
        first_rotation_s: float | None = None,
    ) -> None:
        """`redundancy` is shared by the connections that carry the same; `first_rotation_s` sets their ages apart."""
        self._plan = plan
        self._feed = feed
        self._settings = settings
        self._queue = queue
        self._redundancy = redundancy or Redundancy()
        self._rotate_s = settings.rotate_hours * 3_600
        self._next_rotation_s = self._rotate_s if first_rotation_s is None else first_rotation_s
        self._failures = 0
        self._quiet: dict[bytes, int] = {}
        self._lives: set[_Life] = set()

    async def run(self) -> None:
        """Lives until cancelled, then closes gracefully."""
        while True:
            reason = await self._live()
            self._failures += 1
            self._report(reason)
            wait_s = backoff_s(self._failures, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s)
            await asyncio.sleep(0 if reason == SHUTDOWN and self._failures == 1 else wait_s)

    async def change(self, plan: ConnectionPlan) -> None:
        """Carries what this plan of the same address says, without a break for what stays. Returns when the venue has
        confirmed it wherever a socket is open; one that is opened later asks for it from its beginning.
        """
        self._plan = plan
        await asyncio.gather(*(life.change(plan) for life in self._lives))

    # --- one life, or several that follow each other without a break ---

    async def _live(self) -> str:
        """From opening to the end of the line; returns why it ended."""
        current, ends = self._begin(self._opened, self._subscribed)
        try:
            while not await self._is_over(current, ends):
                successor = await self._successor(ends)
                if successor is None:
                    break
                old = ends
                current, ends = successor
                await _ended(old)
                _log.info("line renewed", venue=self._feed.venue, line=self._plan.line)
            return await ends
        finally:
            await _ended(ends)

    def _begin(
        self, on_opened: Callable[[], None], on_subscribed: Callable[[ConnectionPlan], None]
    ) -> tuple[_Life, "asyncio.Task[str]"]:
        patience = Patience(self._plan.channels, self._settings.stale_after_s, time.monotonic(), self._quiet)
        life = _Life(
            self._plan,
            feed=self._feed,
            settings=self._settings,
            queue=self._queue,
            patience=patience,
            on_opened=on_opened,
            on_subscribed=on_subscribed,
        )
        self._lives.add(life)
        ends = asyncio.create_task(life.live())
        ends.add_done_callback(lambda _: self._forget(life))
        return life, ends

    def _forget(self, life: _Life) -> None:
        self._lives.discard(life)
        life.on_end()

    async def _is_over(self, life: _Life, ends: "asyncio.Task[str]") -> bool:
        """Waits for its end, or for the time of its successor. True when it has ended."""
        due_s = self._next_rotation_s or None
        leaves = asyncio.ensure_future(life.leaves.wait())
        await asyncio.wait({ends, leaves}, timeout=due_s, return_when=asyncio.FIRST_COMPLETED)
        leaves.cancel()
        self._next_rotation_s = self._rotate_s
        return ends.done()

    async def _successor(self, ends: "asyncio.Task[str]") -> "tuple[_Life, asyncio.Task[str]] | None":
        """A life that delivers; None when the old one has ended before there was one."""
        failures = 0
        while not ends.done():
            life, its_end = self._begin(_nothing, lambda _: None)
            delivers = asyncio.ensure_future(life.delivers.wait())
            try:
                await asyncio.wait({delivers, its_end, ends}, return_when=asyncio.FIRST_COMPLETED)
                if life.delivers.is_set() and not its_end.done():
                    return life, its_end
            finally:
                delivers.cancel()
                if not life.delivers.is_set() or its_end.done():
                    await _ended(its_end)
            failures += 1
            wait_s = backoff_s(failures, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s)
            _log.warning("the line's successor failed, trying again", line=self._plan.line, attempt=failures)
            await asyncio.wait({ends}, timeout=wait_s)
        return None

    def _opened(self) -> None:
        if self._redundancy.is_down:
            self._queue.put_event(Connected(self._plan.line, self._plan.symbols, self._plan.url))

    def _subscribed(self, plan: ConnectionPlan) -> None:
        self._failures = 0
        _log.info("subscribed", venue=self._feed.venue, line=plan.line, symbols=len(plan.symbols))
        if self._redundancy.begins(self):
            self._queue.put_event(Subscribed(plan.line, plan.symbols, plan.streams))

    # --- after it ---

    def _report(self, reason: str) -> None:
        """Every failure is logged; the flow hears of the first and of the one that makes it an outage, unless another
        connection carries the same.
        """
        plan, tries = self._plan, self._settings.backoff_tries
        is_down = self._redundancy.ends(self)
        hint = "" if self._failures > 1 else self._hint(reason)
        also = "" if is_down else ", the other one goes on"
        _log.warning(f"line down, trying again{also}{hint}", line=plan.line, reason=reason, attempt=self._failures)
        if is_down and self._failures in (1, tries):
            lasting = self._failures == tries
            self._queue.put_event(Disconnected(plan.line, plan.symbols, reason, self._failures, lasting=lasting))

    def _hint(self, reason: str) -> str:
        offline = "cannot be reached" in reason and self._settings.origin in ("live", "testnet")
        return "; without a network, `make demo` works offline" if offline else ""


def _nothing() -> None:
    """A successor opens in silence: for the flow the line has been live all the time."""


async def _ended(life: "asyncio.Task[str]") -> None:
    """Lets a life end gracefully."""
    life.cancel()
    await asyncio.gather(life, return_exceptions=True)
