"""How the thread of a worker waits for its sources: for what comes, and for the timers of its machines.

Each poll goes through the steps of the flow and costs some hundred microseconds whatever is in it. So what can wait for
more (`sources.feed.is_calm`) is polled at a pace, and nothing is polled for nothing.
"""

import threading
import time
from collections.abc import Callable, Sized
from contextlib import suppress
from typing import Protocol

from flows.clock import timers_of_thread

IDLE_WAIT_S = 0.1
"""Longest wait of an idle poll. An arrival or a timer ends it earlier."""
OVERDUE_S = 0.02
"""The same while a timer is overdue that the engine does not see yet, as when the wall clock was set back."""
_PASSES = 2
"""Polls in a row that do not wait when a timer is due: the engine calls it in the second."""


class Partition(Protocol):
    """What a worker waits for, as one of a source."""

    @property
    def idle_s(self) -> float:
        """Longest wait of a poll that finds nothing."""

    def has_arrived(self) -> bool:
        """Whether anything waits for a poll."""

    def is_urgent(self) -> bool:
        """Whether anything waits for a poll that cannot wait for more."""


class WakeEvent:
    """Wakes one waiting thread. `set` and `set_calm` cost an attribute look-up while no thread waits."""

    # A lock alone: `threading.Event` takes another one in each of its methods, and makes a third for every wait.

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()
        self._is_waiting = False
        self._takes_calm = False

    def set(self) -> None:
        """Wakes the waiting thread."""
        if self._is_waiting:
            self._is_waiting = self._takes_calm = False
            with suppress(RuntimeError):  # another thread has woken it at the same time
                self._lock.release()

    def set_calm(self) -> None:
        """Wakes a thread that waits for whatever comes."""
        if self._takes_calm:
            self.set()

    def wait(self, timeout_s: float, has_come: Callable[[], bool], *, takes_calm: bool = True) -> bool:
        """Returns True on `set`, with `takes_calm` also on `set_calm`, or when `has_come` is true already; False after
        `timeout_s`.
        """
        self._lock.acquire(blocking=False)  # set when the time was over
        self._is_waiting, self._takes_calm = True, takes_calm
        has_woken = has_come() or self._lock.acquire(timeout=timeout_s)
        self._is_waiting = self._takes_calm = False
        return has_woken


class SourceWorker:
    """Shared by the partitions of one worker thread, of all sources: the wake event, and which of them waits for it."""

    def __init__(self, patience_s: float = 0.0) -> None:
        """What can wait is taken `patience_s` after the last time that something was, or with what cannot wait."""
        self._patience_s = patience_s
        self._took_s = 0.0
        self._timers = timers_of_thread()
        self._passes = 0
        """Polls in a row that did not wait because a timer is due."""
        self.wake = WakeEvent()
        self.partitions: list[Partition] = []
        """Those that are open; the first one waits."""
        self.others: list[Sized] = []
        """What else waits for a poll, of other sources."""

    def has_arrived(self) -> bool:
        """Whether anything waits for a poll of any of them."""
        return any(self.others) or any(partition.has_arrived() for partition in self.partitions)

    def is_urgent(self) -> bool:
        """The same of what cannot wait."""
        return any(self.others) or any(partition.is_urgent() for partition in self.partitions)

    def wait(self) -> None:
        """Waits for an arrival at any of them, at most until one of them has something to do. A timer that is due is
        called by the engine before its next step but one, so none of these waits.
        """
        if self.is_urgent():
            return
        timer_s = self._timers.next_in_s()
        is_due = timer_s <= 0
        if is_due and self._passes < _PASSES:
            self._passes += 1
            return
        self._passes = 0
        now = time.monotonic()
        idle_s = min(partition.idle_s for partition in self.partitions)
        end_s = now + min(idle_s, OVERDUE_S if is_due else timer_s)
        calm_s = min(self._took_s + self._patience_s, end_s)
        if now < calm_s:
            if self.wake.wait(calm_s - now, self.is_urgent, takes_calm=False):
                return
            now = time.monotonic()
        if self.has_arrived() or now >= end_s:
            return
        self.wake.wait(end_s - now, self.has_arrived)

    def note_taken(self) -> None:
        """Something was taken."""
        self._took_s = time.monotonic()


class SourceWorkers:
    """The workers of a flow, by the thread of the system: a thread of the engine keeps no `threading.local`."""

    def __init__(self, patience_s: float = 0.0) -> None:
        """`patience_s` as of `SourceWorker`."""
        self._patience_s = patience_s
        self._by_thread: dict[int, SourceWorker] = {}

    def own(self) -> SourceWorker:
        """The worker of the calling thread."""
        number = threading.get_ident()
        if number not in self._by_thread:
            self._by_thread[number] = SourceWorker(self._patience_s)
        return self._by_thread[number]
