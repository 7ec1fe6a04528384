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

from flows.model import Connected, Disconnected, LineEvent, Subscribed
from flows.settings import Feed
from sources.backoff import backoff_s
from sources.feed import Ack, ConnectionPlan, Refusal, Shutdown, VenueFeed

MAX_FRAME_BYTES = 16 << 20
PING_S = 20.0
"""Our own pings: a line that is dead without saying so is noticed after this and `PONG_S`."""
PONG_S = 20.0
ROOM_POLL_S = 0.002
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

    def __init__(self, channels: frozenset[bytes], stale_after_s: float, now_s: float) -> None:
        self._stale_after_s = stale_after_s
        self._factor = dict.fromkeys(channels, 1)
        self._last = dict.fromkeys(channels, now_s)
        self.heard: set[bytes] = set()
        """Channels heard since the last look; the reader adds to it."""

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
        limits = {channel: self._stale_after_s * factor for channel, factor in self._factor.items()}
        stale = [channel for channel, last in self._last.items() if now_s - last > limits[channel]]
        for channel in stale:
            self._factor[channel] = min(self._factor[channel] * 2, _QUIET_LIMIT)
        return sorted(stale)


class LineError(Exception):
    """The connection is of no use any more; the text says why."""


class Connection:
    """Keeps one planned connection alive until it is cancelled. Never gives up, and never silently."""

    def __init__(self, plan: ConnectionPlan, *, feed: VenueFeed, settings: Feed, queue: FrameQueue) -> None:
        self._plan = plan
        self._feed = feed
        self._settings = settings
        self._queue = queue
        self._patience = Patience(plan.channels, settings.stale_after_s, time.monotonic())
        self._failures = 0
        self._unconfirmed: set[int] = set()

    async def run(self) -> None:
        """Lives until cancelled, then closes gracefully."""
        while True:
            reason = await self._live_once()
            self._failures += 1
            self._report(reason)
            wait_s = backoff_s(self._failures, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s)
            await asyncio.sleep(0 if reason == "shutdown announced" and self._failures == 1 else wait_s)

    # --- one life ---

    async def _live_once(self) -> str:
        """From opening to the end; returns why it ended."""
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
                self._queue.put_event(Connected(plan.line, plan.symbols, plan.url))
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
        while True:
            frame = await receive(decode=False)
            channel = channel_of(frame)
            if not channel:
                self._take_control(frame)
                continue
            heard(channel)
            items.append(frame)
            ring()
            if len(items) >= bound:
                _log.warning("the flow is behind, the line waits", line=queue.line, frames=len(items))
                while len(items) >= bound // 2:  # noqa: ASYNC110 - the taker is a thread, and an event would cost it
                    await asyncio.sleep(ROOM_POLL_S)

    async def _subscribe(self, socket: ClientConnection) -> None:
        requests = self._feed.subscribe_requests(self._plan.streams)
        self._unconfirmed = {request_id for request_id, _ in requests}
        for number, (_, text) in enumerate(requests):
            if number:
                await asyncio.sleep(self._feed.request_interval_s)
            await socket.send(text)
        await asyncio.sleep(self._settings.open_timeout_s)
        if self._unconfirmed:
            raise LineError(f"the venue did not confirm the subscription within {self._settings.open_timeout_s:g} s")

    def _take_control(self, frame: bytes) -> None:
        control = self._feed.control_of(frame)
        match control:
            case Ack() if control.id in self._unconfirmed:
                self._unconfirmed.discard(control.id)
                if not self._unconfirmed:
                    self._subscribed()
            case Refusal():
                raise LineError(f"the venue refused the subscription: {control.reason}")
            case Shutdown():
                raise LineError("shutdown announced")
            case None:
                self._queue.items.append(frame)  # the parser knows what to make of it, or refuses it in public
                self._queue.ring()

    def _subscribed(self) -> None:
        self._failures = 0
        plan = self._plan
        _log.info("subscribed", venue=self._feed.venue, line=plan.line, symbols=len(plan.symbols))
        self._queue.put_event(Subscribed(plan.line, plan.symbols, plan.streams))

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.stale_after_s / 4)
            silent = self._patience.silent(time.monotonic())
            if silent and not self._unconfirmed:
                names = ", ".join(channel.decode() for channel in silent)
                raise LineError(f"silent for {self._settings.stale_after_s:g} s or more: {names}")

    # --- after it ---

    def _report(self, reason: str) -> None:
        """Every failure is logged; the flow hears of the first and of the one that makes it an outage."""
        plan, tries = self._plan, self._settings.backoff_tries
        hint = "" if self._failures > 1 else self._hint(reason)
        _log.warning(f"line down, trying again{hint}", line=plan.line, reason=reason, attempt=self._failures)
        if self._failures in (1, tries):
            lasting = self._failures == tries
            self._queue.put_event(Disconnected(plan.line, plan.symbols, reason, self._failures, lasting=lasting))

    def _hint(self, reason: str) -> str:
        offline = "cannot be reached" in reason and self._settings.origin in ("live", "testnet")
        return "; without a network, `make demo` works offline" if offline else ""
