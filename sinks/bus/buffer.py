"""Buffer between the flow's thread and the thread that publishes: a queue for each subject."""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from msgspec import Struct

from sinks.buffered.buffer import BoundedBuffer
from sinks.bus.entry import Entry, Kept
from sinks.bus.subjects import channel_of

TRADES: Final = "Trade"


class Loss(Struct):
    """Messages of one venue that were dropped at a full buffer."""

    venue: str
    messages: int = 0
    trades: int = 0


class BusBuffer(BoundedBuffer[Loss]):
    """Lasting messages wait in the order of their subject; of the others only the newest of each subject is held.

    Only the first of a subject is on its way at a time, so its messages arrive in their order whatever happens, and
    trades that come meanwhile are joined. A message is taken with `take` and counts as held until `settle`.

    Holds at most `capacity` trades, and as many other lasting messages, so that trades cannot displace candles. At the
    bound `wait_for_room` waits while the bus takes messages; while it does not, or once the buffer is closed, new
    messages are dropped and counted.
    """

    def __init__(self, *, capacity: int) -> None:
        super().__init__(capacity)
        self._queues: dict[str, deque[Entry]] = {}
        self._newest: dict[str, Entry] = {}
        self._on_their_way: set[str] = set()
        self._sizes = {True: 0, False: 0}
        """Of what is lasting: number of trades, and of other messages."""
        self._failing = False
        self._woken = False
        self._on_wake: Callable[[], object] | None = None
        """Wakes the loop that waits for messages."""
        self._on_close: Callable[[], object] | None = None

    def __len__(self) -> int:
        return sum(self._sizes.values()) + len(self._newest)

    @property
    def fullest(self) -> int:
        """Number of trades held, or of other lasting messages where those are more."""
        return max(self._sizes.values())

    # --- the flow's side ---

    def wait_for_room(self) -> None:
        """Waits while the buffer is full and the bus takes messages."""
        with self._changed:
            self._changed.wait_for(lambda: self._failing or self._closed or not self._is_full())

    def put(self, entry: Entry) -> None:
        """Adds a message; never waits."""
        with self._changed:
            self._put(entry)

    def put_all(self, entries: Iterable[Entry]) -> None:
        """Adds several at once."""
        with self._changed:
            for entry in entries:
                self._put(entry)

    def wake(self) -> None:
        """Ends a wait: there may be something to do."""
        with self._changed:
            self._woken = True
            self._changed.notify_all()
            if on_wake := self._on_wake:
                self._on_wake = None
                on_wake()

    def close(self) -> None:
        """Takes nothing more; what is held is due at once, and waiting calls return."""
        super().close()
        with self._changed:
            if self._on_close:
                self._on_close()

    def _put(self, entry: Entry) -> None:
        if not entry.lasting:
            self._newest[entry.subject] = entry
            return
        is_trades = _is_trades(entry)
        if self._closed or (self._failing and self._sizes[is_trades] + entry.size > self.capacity):
            self._lose(entry)
            return
        self._sizes[is_trades] += entry.size
        queue = self._queues.setdefault(entry.subject, deque())
        is_sent = len(queue) == 1 and entry.subject in self._on_their_way
        if not queue or is_sent or not queue[-1].absorb(entry):
            queue.append(entry)

    def _is_full(self) -> bool:
        return any(size >= self.capacity for size in self._sizes.values())

    def _lose(self, entry: Entry) -> None:
        loss = self._losses.setdefault(entry.venue, Loss(entry.venue))
        loss.messages += 1
        loss.trades += entry.size if _is_trades(entry) else 0

    # --- the publisher's side ---

    def wait(self, timeout_s: float | None, *, for_messages: bool) -> bool:
        """Waits for `wake`, for something to publish if `for_messages`, or `timeout_s`. False when it is closed."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or (for_messages and self._woken), timeout_s)
            self._woken = False
            return not self._closed

    def wait_on(self, loop: asyncio.AbstractEventLoop, timeout_s: float, *, for_messages: bool) -> bool:
        """The same on the thread of an event loop, which runs meanwhile; its next turn ends the wait."""
        is_over = False

        def end() -> None:
            if not is_over:  # else it would stop what runs next
                loop.stop()

        with self._changed:
            is_due = self._closed or (for_messages and self._woken)
            if not is_due:
                self._on_close = lambda: loop.call_soon_threadsafe(end)
                self._on_wake = self._on_close if for_messages else None
        if not is_due:
            timer = loop.call_later(timeout_s, end)
            loop.run_forever()
            timer.cancel()
            is_over = True
        with self._changed:
            self._on_close = self._on_wake = None
            self._woken = False
            return not self._closed

    def take(self, most: int) -> list[Entry]:
        """The first message of each subject, at most `most`: of those that may be replaced at most half as many, then
        the lasting ones that have waited longest.
        """
        with self._changed:
            taken = [self._newest.pop(subject) for subject in list(self._newest)[: -(-most // 2)]]
            for subject, queue in self._queues.items():
                if len(taken) >= most:
                    break
                taken.append(queue[0])
                self._on_their_way.add(subject)
            return taken

    def shorten(self, entry: Entry, kept: Kept) -> None:
        """Some of the trades of a message that was taken are published already; `kept` are the others."""
        with self._changed:
            self._sizes[_is_trades(entry)] -= entry.size - kept.trades
            entry.kept = kept

    def settle(self, published: Iterable[Entry], failed: Iterable[Entry], refused: Iterable[Entry] = ()) -> None:
        """What was taken is published, or not; the latter waits again, and what is `refused` for good is lost."""
        with self._changed:
            lost = [entry for entry in refused if entry.lasting]
            for entry in lost:
                self._lose(entry)
            for entry in (*published, *lost):
                if entry.lasting:
                    self._sizes[_is_trades(entry)] -= entry.size
                    self._pop(entry)
            is_failing = False
            for entry in failed:
                is_failing = True
                if not entry.lasting:
                    self._newest.setdefault(entry.subject, entry)
            self._on_their_way.clear()
            self._failing = is_failing
            self._changed.notify_all()

    def fail(self) -> None:
        """The bus takes nothing."""
        with self._changed:
            self._failing = True
            self._changed.notify_all()

    def pending(self) -> list[Kept]:
        """The lasting messages that are not known to be published, in the order of their subjects."""
        with self._changed:
            return [entry.fixed() for queue in self._queues.values() for entry in queue]

    def _pop(self, entry: Entry) -> None:
        """Takes the first of a subject out; the next waits behind those of the others."""
        queue = self._queues.pop(entry.subject)
        queue.popleft()
        if queue:
            self._queues[entry.subject] = queue

    def _give_up(self) -> None:
        self._newest.clear()
        for queue in self._queues.values():
            for entry in queue:
                self._lose(entry)
        self._queues.clear()
        self._sizes = {True: 0, False: 0}


def _is_trades(entry: Entry) -> bool:
    return channel_of(entry.subject) == TRADES
