"""Publishes what the hub says to a stream of NATS JetStream.

    flow's threads ── write ─▶ `Markets`: what is said, how often ─▶ `BusBuffer` ── own thread ─▶ stream

What is said is decided as for the hub, by the same code. Prices, books and states are replaced by newer ones while the
bus does not take them; trades, closed candles, liquidations, incidents and alerts are published each once:

- what is not acknowledged is part of the recovered state, as of a store, so a killed process loses nothing;
- what is sent again has the same message id, so the stream takes it once within its duplicate window;
- what an earlier process has published, and the recovered state does not know of, is read back and left out
  (`published.py`), however long ago that was.
"""

import asyncio
import threading
from collections import Counter
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final, TypeVar

import structlog
from msgspec import Struct

from flows.clock import FeedClock, Now, monotonic_ms, wall_ms
from flows.model import FeedStatus, Heartbeat, Publishable, VenueItems
from flows.texts import counted
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.bus.buffer import Loss
from sinks.bus.entry import Entry, Kept
from sinks.bus.fence import Fence, FencedError
from sinks.bus.outbound import MessageWriter
from sinks.bus.publisher import UNKNOWN, Publisher
from sinks.bus.settings import BusSettings
from sinks.bus.subjects import channel_of
from sinks.hub.market.markets import Markets
from sinks.hub.market.state import StateCache
from sinks.hub.messages import Message, Topic, exchange_time
from sinks.hub.payloads import FeedStatusUpdate
from sinks.hub.rights import ACCOUNT_CHANNELS

STANDING: Final = ("Status", *ACCOUNT_CHANNELS)
"""Channels whose newest message may be old, and is published again: what the stream deletes by age or size must not be
the only one."""
AGAIN_MS: Final = 300_000

LONGEST_RETRY_S: Final = 1.0
"""What is lost of time when servers choose a leader should be little beside what they need for it."""

T = TypeVar("T")

log = structlog.get_logger(__name__)


class Point(Struct, frozen=True, array_like=True):
    """Up to which number of the stream everything published is known to the recovered state; `UNKNOWN`: not known."""

    seq: int


class BusWriter(MessageWriter):
    """Publisher of one flow. `write` may be called from any thread."""

    def __init__(
        self,
        settings: BusSettings,
        *,
        flow: str,
        rate: float,
        origins: Mapping[str, str],
        clocks: Mapping[str, FeedClock] | None = None,
        summary_s: float = 60.0,
        first_retry_s: float = 0.25,
        on_incident: OnIncident = lambda _: None,
        local_ms: Callable[[], int] = monotonic_ms,
        fence: Fence | None = None,
        since_ms: int = 0,
        on_fenced: Callable[[FencedError], None] = lambda _: None,
        on_heartbeat: Callable[[], None] = lambda: None,
    ) -> None:
        """`flow` is its name among those that publish to the stream; at most `rate` prices of an instrument a second.
        `origins` and `clocks` are as for the hub. `fence` and `since_ms` are as for the publisher; `on_fenced` is
        called, on the writer's thread, when another flow owns the shard: nothing is published any more. `on_heartbeat`
        is called on the flow's thread with each sign of life of the flow.
        """
        self._flow = flow
        self._clocks = {venue: (clocks or {}).get(venue) or FeedClock() for venue in origins}
        self._first = next(iter(self._clocks))
        self._local_ms = local_ms
        self._lock = threading.Lock()
        """Held by who uses the markets; never while something is waited for."""
        self._state = StateCache()
        self._markets = Markets(origins, rate=rate, state=self._state, emit=self._emit, forget=self._state.forget)
        self._again_ms = local_ms() + AGAIN_MS
        self._own: list[list[Publishable]] = []
        """What this writer's thread itself has reported."""
        self._loop: asyncio.AbstractEventLoop | None = None
        """Runs on the writer's thread, while that publishes or waits."""
        self._publisher = Publisher(settings, name=flow, fence=fence, since_ms=since_ms)
        self._on_fenced = on_fenced
        self._on_heartbeat = on_heartbeat
        super().__init__(
            thread_name="bus-writer",
            capacity=settings.buffer,
            outages=OutageWatch(
                StoreNames("messages", "the bus", next(iter(origins)) if len(origins) == 1 else ""),
                on_incident=on_incident,
                first_retry_s=first_retry_s,
                longest_retry_s=LONGEST_RETRY_S,
            ),
            summary_s=summary_s,
        )
        self._start()

    # --- the flow's side ---

    def write(self, batch: list[Publishable]) -> None:
        """Takes items, as the hub does. It waits only while the buffer is full and the bus works."""
        if not batch:
            return
        if threading.current_thread() is self._thread:
            self._own.append(batch)
            return
        if isinstance(batch[-1], Heartbeat):
            self._on_heartbeat()
        self._buffer.wait_for_room()
        with self._lock:
            self._take(batch)
        self._buffer.wake()

    def _take(self, batch: list[Publishable]) -> None:
        venue = batch.venue if isinstance(batch, VenueItems) else getattr(batch[0], "venue", "")
        newest = max(map(exchange_time, batch))
        if newest:
            self._outages.on_feed_time(newest)
        for _ in self._markets.take(batch, self._now(venue, newest)):
            pass

    def _now(self, venue: str, newest: int = 0) -> Now:
        now = (self._clocks.get(venue) or self._clocks[self._first]).now()
        return now if now.feed else Now(newest or wall_ms(), now.local)

    def _emit(self, topic: Topic, item: object, now: Now, *, mergeable: bool = False) -> Message:
        message = Message(topic, item, seq=0, stamp_ms=now.feed, mergeable=mergeable)
        for one in _for_each_symbol(message):
            self._buffer.put(Entry.of(one, self._flow))
        return message

    def pending(self) -> list[Any]:
        """What a restart must publish if this process ends now, and from where it must read back."""
        point = Point(self._publisher.settled_seq)  # first: what is published meanwhile is read back
        return [point, *self._buffer.pending()]

    def resume(self, pending: list[Any]) -> None:
        """Takes over the result of `pending` of an earlier process."""
        points = [one for one in pending if isinstance(one, Point)]
        kept = [one for one in pending if isinstance(one, Kept)]
        self._publisher.read_back_from(points[0].seq if points else UNKNOWN)
        self._buffer.put_all(Entry.again(one, self._flow) for one in kept)
        self._buffer.wake()

    def close(self) -> None:
        """Publishes what is held, for at most `CLOSE_TIMEOUT_S` while the bus fails; the rest is reported as lost."""
        if self._close_by_ms is None:
            with self._lock:
                for venue in self._clocks:
                    self._markets.release(self._now(venue), venue)
        self._begin_close()
        self._thread.join()

    # --- the writer's thread ---

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            super()._run()

    def _finished(self, work: Coroutine[Any, Any, T]) -> T:
        assert self._loop  # noqa: S101 - this is its thread
        return self._loop.run_until_complete(work)

    def _wait(self) -> bool:
        assert self._loop  # noqa: S101 - this is its thread
        if self._outages.failures:
            return self._buffer.wait_on(self._loop, self._outages.pause_s, for_messages=False)
        deadline = min(filter(None, (self._deadline_ms, self._again_ms)))
        return self._buffer.wait_on(self._loop, max(0.0, (deadline - self._local_ms()) / 1_000), for_messages=True)

    @property
    def _deadline_ms(self) -> float | None:
        with self._lock:
            return self._markets.next_deadline_ms

    def _explain(self, error: Exception) -> str:
        if isinstance(error, FencedError):
            self._on_fenced(error)
            return str(error)
        log.error("bus_writer_failed", exc_info=error)
        return repr(error)

    def _prepare(self) -> None:
        """What the throttles have held long enough, this thread's own incidents, and states that stand for long."""
        own, self._own = self._own, []
        with self._lock:
            for batch in own:
                self._take(batch)
            for venue in self._clocks:
                self._markets.on_time(self._now(venue), venue)
            if self._local_ms() >= self._again_ms:
                self._again_ms = self._local_ms() + AGAIN_MS
                self._publisher.stand()
                for message in self._state.messages(lambda topic: topic.channel in STANDING):
                    self._buffer.put(Entry.of(message, self._flow))

    def _publish(self, entries: list[Entry]) -> str:
        """Publishes what was taken. Returns why it is not all there; "" when it is."""
        turn = self._finished(self._publisher.publish(entries))
        for entry, kept in turn.shortened:
            self._buffer.shorten(entry, kept)
        self._buffer.settle(turn.published, turn.failed, [entry for entry, _ in turn.refused])
        for entry, reason in turn.refused:
            self._name_refused(entry, reason)
        self._summary.count(Counter(channel_of(entry.subject) for entry in turn.published))
        return turn.cause

    def _report_loss(self, loss: Loss) -> None:
        log.error("messages_not_published", venue=loss.venue, messages=loss.messages, trades=loss.trades)
        self._outages.report(
            "the bus took no messages, and the buffer no more of them, or they were too large for the bus",
            f"{counted(loss.messages, 'message')} with {counted(loss.trades, 'trade')} not published; "
            "the stores have them",
        )
        self._publisher.announce(loss)

    def _release(self) -> None:
        self._finished(self._publisher.close())


def _for_each_symbol(message: Message) -> list[Message]:
    """The message; one for each symbol of those that are removed, so that each ends the state of its own."""
    match message.item:
        case FeedStatusUpdate(status=FeedStatus(state="removed") as status, origin=origin):
            return [
                Message(message.topic, FeedStatusUpdate(_of_symbol(status, symbol), origin), 0, message.stamp_ms)
                for symbol in status.symbols
            ]
    return [message]


def _of_symbol(status: FeedStatus, symbol: str) -> FeedStatus:
    return FeedStatus(status.venue, status.line, status.state, (symbol,), status.reason)
