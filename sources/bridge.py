"""The venue's connections as a Bytewax source. In `sources`, only this and `archive/bridge.py` import the engine.

The engine polls; frames arrive on another thread. An empty poll waits for a `WakeEvent`, at most `IDLE_WAIT_S`: that is
faster than polling at the engine's interval (a millisecond) and much faster than its asynchronous batches. Only one
partition of a worker waits, for all of them and all venues, as the worker polls them in turn. What can wait (`is_calm`)
is polled at a pace, as each poll costs some hundred microseconds whatever is in it.
"""

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from functools import partial
from itertools import groupby
from typing import Any, Protocol, TypeAlias

import structlog
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.clock import wall_ns
from flows.loop_thread import EventLoopThread
from flows.model import ConnectionEvent, Flush, RawFrames, RefreshRequest, Rejected, TradingStatus
from sources.connection.frame_queue import FrameQueue
from sources.connection.patience import new_loop
from sources.connection.pool import ConnectionPool, report_bug
from sources.connection.settings import ConnectionSettings
from sources.connection.transport import transport_of
from sources.feed import DesiredStreams, VenueFeed, shard_of
from sources.kafka.copies import FrameCopies, FrameCopy
from sources.waiting import IDLE_WAIT_S, SourceWorker, SourceWorkers, WakeEvent

FLUSH_S = 0.45
"""Longest time between two `Flush` when nothing arrives: later steps have timers twice a second."""

Polled: TypeAlias = RawFrames | ConnectionEvent | Rejected | Flush

_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_log = structlog.get_logger(__name__)


class SourceSettings(ConnectionSettings, Protocol):
    """The settings that a source needs; the section `feed` has and describes them."""

    shards: int
    poll_frames: int
    gather_ms: int
    patience_ms: int

    @property
    def own_symbols(self) -> tuple[str, ...]:
        """The symbols of this process's share."""


class FeedPartition(StatefulSourcePartition[Polled, tuple[int]]):
    """One shard of a venue's symbols with its connections. A poll that empties the queues ends with a `Flush`; while
    nothing arrives there is one at least every half second.
    """

    def __init__(
        self,
        connect: Callable[[WakeEvent], list[FrameQueue]],
        *,
        worker: SourceWorker,
        poll_frames: int,
        hold_s: float,
        stop: threading.Event,
        close: Callable[[], None],
        copy: FrameCopy | None = None,
    ) -> None:
        """Everything that a poll brings is given to `copy` too."""
        self._wake = worker.wake
        self._worker = worker
        self._poll_frames = poll_frames
        self._stop = stop
        self._close = close
        self._copy = copy
        self._ended = False
        self._hold_s = hold_s
        self._owes_flush = False
        self._flushed_s = 0.0
        self._injected: deque[ConnectionEvent] = deque()
        self._queues = connect(self._wake)
        worker.partitions.append(self)

    def waiting(self) -> dict[str, int]:
        """Frames and events in the fullest queue of each `line`."""
        found: dict[str, int] = {}
        for queue in list(self._queues):
            found[queue.line] = max(len(queue.items), found.get(queue.line, 0))
        return found

    def put(self, event: ConnectionEvent) -> None:
        """Injects an event that is not from a connection; from any thread."""
        self._injected.append(event)
        self._wake.set()

    def next_batch(self) -> list[Polled]:
        """The items that have arrived; after `stop`, those until the connections were closed, and then the end."""
        if self._ended:
            raise StopIteration
        if self._stop.is_set():
            self._ended = True
            self._close()
            rest = self._drained(None)
            if self._copy:
                self._copy.take(rest)
            return [*rest, Flush(final=True)]
        worker = self._worker
        if worker.partitions[0] is self:
            worker.wait()
        out = self._drained(self._poll_frames)
        if out:
            worker.note_taken()
        if out and self._copy:
            self._copy.take(out)
        if not self.has_arrived() and self._is_flush_due(delivered=bool(out)):
            out.append(Flush())
        return out

    def _is_flush_due(self, *, delivered: bool) -> bool:
        """After every delivery; once more `hold_s` later, if the delivery followed the last `Flush` so soon that later
        steps may have held it back; and every `FLUSH_S`.
        """
        now = time.monotonic()
        since_s = now - self._flushed_s
        long_ago = since_s >= self._hold_s
        if not delivered and not (self._owes_flush and long_ago) and since_s < FLUSH_S:
            return False
        self._owes_flush = delivered and not long_ago
        self._flushed_s = now
        return True

    def next_awake(self) -> datetime:
        """At once: the waiting is done inside the poll."""
        return _AT_ONCE

    def snapshot(self) -> tuple[int]:
        """Only a version: a stream cannot be replayed, so there is no position to resume from."""
        return (1,)

    def close(self) -> None:
        """Closes the connections."""
        if self in self._worker.partitions:
            self._worker.partitions.remove(self)
        self._close()
        if self._copy:
            self._copy.close()

    @property
    def idle_s(self) -> float:
        """Longest wait of a poll that finds nothing."""
        return self._hold_s if self._owes_flush else IDLE_WAIT_S

    def is_urgent(self) -> bool:
        """Whether anything waits for a poll that cannot wait for more."""
        return bool(self._injected) or any(queue.is_urgent for queue in self._queues)

    def has_arrived(self) -> bool:
        """Whether anything waits for a poll."""
        return bool(self._injected) or any(queue.items for queue in self._queues)

    def _drained(self, limit: int | None) -> list[Polled]:
        out: list[Polled] = []
        while self._injected:
            out.append(self._injected.popleft())
        for queue in self._queues:
            out += _taken(queue, limit)
        return out


def _taken(queue: FrameQueue, limit: int | None) -> Iterable[Polled]:
    """Up to `limit` items of a queue, frames in a row together."""
    queue.is_urgent = False  # before the look: what comes now sets it again
    waiting = len(queue.items)
    if not waiting:
        return []
    if limit is not None and waiting > limit:
        queue.is_urgent = True
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
    names. Until `follow` is called, the symbols are those of the settings that belong to this process.
    """

    def __init__(
        self,
        feed: VenueFeed,
        *,
        settings: SourceSettings,
        stop: threading.Event,
        workers: SourceWorkers | None = None,
        copies: FrameCopies | None = None,
    ) -> None:
        """`workers` are shared by the sources of one flow. All frames are given to `copies` too. `NotInstalledError`
        when the transport of the settings is not installed.
        """
        self._feed = feed
        self._settings = settings
        self._stop = stop
        transport_of(settings.transport)  # one that is not installed is refused before anything runs
        patience_s = settings.patience_ms / 1_000
        self._network = EventLoopThread(new_loop=partial(new_loop, patience_s))
        self._workers = workers or SourceWorkers(patience_s)
        self._copies = copies
        self._partitions: dict[int, FeedPartition] = {}
        self._pools: dict[int, ConnectionPool] = {}
        self._desired: DesiredStreams = dict.fromkeys(settings.own_symbols, ())
        self._not_trading: frozenset[str] = frozenset()
        if copies:
            copies.follow(self._desired)
        self._announced: dict[str, str] = {}
        """Statuses of symbols whose partition is not built yet."""
        self._lock = threading.Lock()

    def follow(self, desired: DesiredStreams, *, not_trading: frozenset[str] = frozenset()) -> None:
        """Sets the desired streams; from any thread, returns at once. The difference is requested on the open
        connections. Silence of symbols `not_trading` is not reported as a fault.
        """
        with self._lock:
            self._desired, self._not_trading = dict(desired), not_trading
            if self._copies:
                self._copies.follow(desired)
            for number in self._pools:
                self._follow(number)

    def _follow(self, number: int) -> None:
        """Passes the desired streams of a shard to its connections."""
        if self._stop.is_set():
            return
        desired = {s: kinds for s, kinds in self._desired.items() if shard_of(s, self._settings.shards) == number}
        following = self._pools[number].follow(desired, not_trading=self._not_trading)
        self._network.start(following).add_done_callback(partial(report_bug, venue=self._feed.venue))

    def waiting(self) -> dict[str, int]:
        """Items that wait for the flow in the fullest queue of each shard and `line`; from any thread."""
        return {
            f"{number:02d} {line}": count
            for number, partition in list(self._partitions.items())
            for line, count in partition.waiting().items()
        }

    def lines(self) -> dict[str, bool]:
        """Whether all connections of a line are up, by `line`; from any thread."""
        with self._lock:
            pools = list(self._pools.values())
        found: dict[str, bool] = {}
        for pool in pools:
            for line, is_up in pool.lines().items():
                found[line] = is_up and found.get(line, True)
        return found

    def doubtful(self) -> frozenset[str]:
        """Symbols whose trading status may have changed: all their streams of a connection are silent, or they count as
        not trading and have trades. From any thread.
        """
        with self._lock:
            pools = list(self._pools.values())
        return frozenset().union(*(pool.doubtful() for pool in pools))

    def refresh(self, wanted: RefreshRequest) -> bool:
        """Sends a request to refetch an instrument's history to its machine; from any thread. False when the instrument
        is not followed, or its partition not built yet.
        """
        [symbol] = wanted.symbols
        if symbol not in self._desired:
            return False
        partition = self._partitions.get(shard_of(symbol, self._settings.shards))
        if partition is not None:
            partition.put(wanted)
        return partition is not None

    def renew(self, symbol: str, kinds: tuple[str, ...], reason: str) -> None:
        """Renews streams of an instrument for which a witness has found missed messages, on the open connections; from
        any thread. Kinds as in `feed.streams`, klines by timeframe; none means all.
        """
        with self._lock:
            pool = self._pools.get(shard_of(symbol, self._settings.shards))
        if pool is not None and not self._stop.is_set():
            self._network.call(pool.renew, symbol, kinds, reason)

    def announce(self, event: TradingStatus) -> None:
        """Injects the trading status of symbols; from any thread. For a symbol whose partition is not built yet, the
        newest status is kept until it is.
        """
        by_shard: dict[int, list[str]] = {}
        for symbol in event.symbols:
            by_shard.setdefault(shard_of(symbol, self._settings.shards), []).append(symbol)
        with self._lock:
            for number, symbols in by_shard.items():
                partition = self._partitions.get(number)
                if partition is not None:
                    partition.put(TradingStatus(tuple(symbols), event.status))
                else:
                    self._announced.update(dict.fromkeys(symbols, event.status))

    def _deliver_announced(self, number: int, partition: FeedPartition) -> None:
        """Delivers the statuses announced before the partition was built."""
        by_status: dict[str, list[str]] = {}
        for symbol in [name for name in self._announced if shard_of(name, self._settings.shards) == number]:
            by_status.setdefault(self._announced.pop(symbol), []).append(symbol)
        for status, symbols in by_status.items():
            partition.put(TradingStatus(tuple(symbols), status))

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return [f"shard-{number:02d}" for number in range(self._settings.shards)]

    def build_part(self, step_id: str, for_part: str, resume_state: tuple[int] | None) -> FeedPartition:
        """Called by the engine; connects at once."""
        number = int(for_part.rpartition("-")[2])

        def connect(wake: WakeEvent) -> list[FrameQueue]:
            with self._lock:
                pool = self._pools[number] = ConnectionPool(
                    self._feed, settings=self._settings, wake=wake.set, wake_calm=wake.set_calm
                )
                self._follow(number)
            return pool.queues

        partition = FeedPartition(
            connect,
            worker=self._workers.own(),
            poll_frames=self._settings.poll_frames,
            hold_s=self._settings.gather_ms / 1_000,
            stop=self._stop,
            close=self._network.close,
            copy=self._copies.open() if self._copies else None,
        )
        with self._lock:
            self._partitions[number] = partition
            self._deliver_announced(number, partition)
        return partition
