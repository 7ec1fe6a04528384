"""The venue's connections become a Bytewax source. Besides, only `archive/bridge.py` knows the engine here.

The engine polls; frames arrive on another thread. A poll that finds nothing waits for a doorbell, at most
`IDLE_WAIT_S`: that is faster than polling by the engine's own pace (a millisecond) and much faster than its
asynchronous batches. Only one partition of a worker may wait, for the worker polls them in turn.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, TypeAlias

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.clock import wall_ns
from flows.loop_thread import EventLoopThread
from flows.model import ConnectionEvent, Flush, RawFrames, RefreshRequest, TradingStatus
from flows.settings import Feed
from sources.connection.frame_queue import FrameQueue
from sources.connection.pool import ConnectionPool, report_bug
from sources.connection.transport import transport_of
from sources.feed import DesiredStreams, VenueFeed, shard_of

IDLE_WAIT_S = 0.02
"""Longest wait of an idle poll. An arrival rings the bell, so waiting longer delays nothing but timers."""

PULSE_S = 0.45
"""Longest time between two pulses when nothing comes: steps behind have something to do twice a second."""

Polled: TypeAlias = RawFrames | ConnectionEvent | Flush

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.get_logger(__name__)


class WakeEvent:
    """Wakes one waiting thread. Ringing costs an attribute look-up while nobody waits."""

    def __init__(self) -> None:
        self._rung = threading.Event()
        self._waiting = False

    def ring(self) -> None:
        """Wakes whoever waits."""
        if self._waiting:
            self._rung.set()

    def wait(self, timeout_s: float, has_come: Callable[[], bool]) -> None:
        """Returns when rung, or when `has_come` was true already, or after `timeout_s`."""
        self._rung.clear()
        self._waiting = True
        if not has_come():
            self._rung.wait(timeout_s)
        self._waiting = False


class _Worker(threading.local):
    """What the partitions of one worker thread share: the doorbell, and who waits at it."""

    def __init__(self) -> None:
        self.bell = WakeEvent()
        self.leader: object | None = None


class FeedPartition(StatefulSourcePartition[Polled, tuple[int]]):
    """One shard of a venue's symbols with its connections. Every poll that leaves nothing behind ends with a `Flush`;
    while nothing comes there is one at least every half second.
    """

    def __init__(
        self,
        connect: Callable[[Callable[[], None]], list[FrameQueue]],
        *,
        worker: _Worker,
        poll_frames: int,
        hold_s: float,
        stop: threading.Event,
        close: Callable[[], None],
    ) -> None:
        self._bell = worker.bell
        if worker.leader is None:
            worker.leader = self
        self._leads = worker.leader is self
        self._worker = worker
        self._poll_frames = poll_frames
        self._stop = stop
        self._close = close
        self._ended = False
        self._hold_s = hold_s
        self._owes_pulse = False
        self._pulsed_s = 0.0
        self._told: deque[ConnectionEvent] = deque()
        self._queues = connect(self._bell.ring)

    def waiting(self) -> dict[str, int]:
        """Frames and line events that have come and were not taken yet, by line."""
        return {queue.line: len(queue.items) for queue in self._queues}

    def tell(self, event: ConnectionEvent) -> None:
        """Puts something into the stream that no line said; from any thread."""
        self._told.append(event)
        self._bell.ring()

    def next_batch(self) -> list[Polled]:
        """What has arrived; after `stop`, what had arrived until the connections were closed, and then the end."""
        if self._ended:
            raise StopIteration
        if self._stop.is_set():
            self._ended = True
            self._close()
            return [*self._drained(None), Flush(final=True)]
        if self._leads and not self._has_come():
            self._bell.wait(self._hold_s if self._owes_pulse else IDLE_WAIT_S, self._has_come)
        out = self._drained(self._poll_frames)
        if not self._has_come() and self._is_time_for_pulse(delivered=bool(out)):
            out.append(Flush())
        return out

    def _is_time_for_pulse(self, *, delivered: bool) -> bool:
        """After every delivery; once more `hold_s` later, if the delivery came so soon after the pulse before that
        later steps may have held it back; and every `PULSE_S`.
        """
        now = time.monotonic()
        since_s = now - self._pulsed_s
        long_ago = since_s >= self._hold_s
        if not delivered and not (self._owes_pulse and long_ago) and since_s < PULSE_S:
            return False
        self._owes_pulse = delivered and not long_ago
        self._pulsed_s = now
        return True

    def next_awake(self) -> datetime:
        """At once: the waiting is done inside the poll."""
        return _AT_ONCE

    def snapshot(self) -> tuple[int]:
        """Nothing but a version: what a stream has sent it does not send again, so there is no place to resume from."""
        return (1,)

    def close(self) -> None:
        """Closes the connections."""
        if self._worker.leader is self:
            self._worker.leader = None
        self._close()

    def _has_come(self) -> bool:
        return bool(self._told) or any(queue.items for queue in self._queues)

    def _drained(self, limit: int | None) -> list[Polled]:
        out: list[Polled] = []
        while self._told:
            out.append(self._told.popleft())
        for queue in self._queues:
            out += _taken(queue, limit)
        return out


def _taken(queue: FrameQueue, limit: int | None) -> Iterable[Polled]:
    """Up to `limit` items of a queue, frames in a row together."""
    waiting = len(queue.items)
    if not waiting:
        return []
    take = queue.items.popleft
    taken: list[Any] = [take() for _ in range(waiting if limit is None else min(waiting, limit))]
    if not queue.has_events():
        return [RawFrames(queue.line, taken, wall_ns(), queue.names)]
    return list(_with_events(queue, taken))


def _with_events(queue: FrameQueue, taken: list[Any]) -> Iterator[Polled]:
    for are_frames, items in groupby(taken, lambda item: isinstance(item, bytes)):
        if are_frames:
            yield RawFrames(queue.line, list(items), wall_ns(), queue.names)
        else:
            for event in items:
                queue.note_taken_event()
                yield event


class FeedSource(FixedPartitionedSource[Polled, tuple[int]]):
    """The live source of one venue. `stop` ends it: connections close, queued frames go out, then the input ends.

    The number of partitions is a setting and never follows the symbols, because recovered state is found by their
    names. Until `follow` says otherwise, the symbols are those of the settings that are this process's.
    """

    def __init__(self, feed: VenueFeed, *, settings: Feed, stop: threading.Event) -> None:
        """`SettingsError` when the transport of the settings is not installed."""
        self._feed = feed
        self._settings = settings
        self._stop = stop
        transport_of(settings.transport)  # one that is not installed is refused before anything runs
        self._network = EventLoopThread()
        self._worker = _Worker()
        self._partitions: dict[int, FeedPartition] = {}
        self._lines: dict[int, ConnectionPool] = {}
        self._desired: DesiredStreams = dict.fromkeys(settings.own_symbols, ())
        self._not_trading: frozenset[str] = frozenset()
        self._announced: dict[str, str] = {}
        """Statuses of symbols whose partition is not built yet."""
        self._turn = threading.Lock()

    def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str] = frozenset()) -> None:
        """What is wanted from now on; from any thread, and at once. The venue is asked for the difference, on the
        connections that are open; symbols that are `not_trading` alarm nobody by their silence.
        """
        with self._turn:
            self._desired, self._not_trading = dict(desired), not_trading
            for number in self._lines:
                self._follow(number)

    def _follow(self, number: int) -> None:
        """Lets the connections of a shard follow what is wanted of it."""
        if self._stop.is_set():
            return
        desired = {s: kinds for s, kinds in self._desired.items() if shard_of(s, self._settings.shards) == number}
        following = self._lines[number].follow(desired, not_trading=self._not_trading)
        self._network.start(following).add_done_callback(report_bug)

    def waiting(self) -> dict[str, int]:
        """What waits for the flow, by shard and line; from any thread."""
        return {
            f"{number:02d} {line}": count
            for number, partition in list(self._partitions.items())
            for line, count in partition.waiting().items()
        }

    def refresh(self, wanted: RefreshRequest) -> bool:
        """Lets the machine of an instrument know that its past is wanted again; from any thread. False when the
        instrument is not followed, or its partition not built yet.
        """
        [symbol] = wanted.symbols
        if symbol not in self._desired:
            return False
        partition = self._partitions.get(shard_of(symbol, self._settings.shards))
        if partition is not None:
            partition.tell(wanted)
        return partition is not None

    def renew(self, symbol: str, kinds: tuple[str, ...], reason: str) -> None:
        """A witness knows that these streams of an instrument have missed something: they are subscribed anew, on the
        connections that are open; from any thread. Kinds as in `feed.streams`, klines by timeframe; none means all.
        """
        with self._turn:
            lines = self._lines.get(shard_of(symbol, self._settings.shards))
        if lines is not None and not self._stop.is_set():
            self._network.call(lines.renew, symbol, kinds, reason)

    def announce(self, event: TradingStatus) -> None:
        """Puts the trading status of symbols into the stream; from any thread. For a symbol whose partition is not
        built yet, the newest status waits for it.
        """
        by_shard: dict[int, list[str]] = {}
        for symbol in event.symbols:
            by_shard.setdefault(shard_of(symbol, self._settings.shards), []).append(symbol)
        with self._turn:
            for number, symbols in by_shard.items():
                partition = self._partitions.get(number)
                if partition is not None:
                    partition.tell(TradingStatus(tuple(symbols), event.status))
                else:
                    self._announced.update(dict.fromkeys(symbols, event.status))

    def _deliver_announced(self, number: int, partition: FeedPartition) -> None:
        """What was announced before the partition was built."""
        by_status: dict[str, list[str]] = {}
        for symbol in [name for name in self._announced if shard_of(name, self._settings.shards) == number]:
            by_status.setdefault(self._announced.pop(symbol), []).append(symbol)
        for status, symbols in by_status.items():
            partition.tell(TradingStatus(tuple(symbols), status))

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return [f"shard-{number:02d}" for number in range(self._settings.shards)]

    def build_part(self, step_id: str, for_part: str, resume_state: tuple[int] | None) -> FeedPartition:
        """Called by the engine; connects at once."""
        number = int(for_part.rpartition("-")[2])

        def connect(ring: Callable[[], None]) -> list[FrameQueue]:
            with self._turn:
                lines = self._lines[number] = ConnectionPool(self._feed, settings=self._settings, ring=ring)
                self._follow(number)
            return lines.queues

        partition = FeedPartition(
            connect,
            worker=self._worker,
            poll_frames=self._settings.poll_frames,
            hold_s=self._settings.gather_ms / 1_000,
            stop=self._stop,
            close=self._network.close,
        )
        with self._turn:
            self._partitions[number] = partition
            self._deliver_announced(number, partition)
        return partition
