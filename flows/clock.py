"""The only place that asks for the time.

Two kinds of time exist. The *feed's time* is what the exchange says; it decides everything about the data. The *local
monotonic* time paces what leaves the process. The wall clock only stamps logs, tapes and `created_at`.
"""

import time
from collections.abc import Callable
from typing import NamedTuple


class Now(NamedTuple):
    """The present, as a machine is given it; both in milliseconds."""

    feed: int
    """Exchange time, UTC since the epoch."""
    local: int
    """Monotonic, from an arbitrary zero."""


def wall_ns() -> int:
    """Wall clock, ns UTC since the epoch."""
    return time.time_ns()


def wall_ms() -> int:
    """Wall clock, ms UTC since the epoch."""
    return time.time_ns() // 1_000_000


def monotonic_ms() -> int:
    """Monotonic clock, ms."""
    return time.monotonic_ns() // 1_000_000


class FeedClock:
    """The newest exchange time of a venue, carried forward by the monotonic clock since it was seen.

    Before the first observation the feed's time is 0, so no deadline in exchange time can have passed. It never runs
    backwards: an older observation is ignored. Safe to share between threads: a lost race costs one observation.
    """

    __slots__ = ("_monotonic_ms", "_newest", "_offset")

    def __init__(self, monotonic: Callable[[], int] = monotonic_ms) -> None:
        self._monotonic_ms = monotonic
        self._newest = 0
        self._offset: int | None = None

    def observe(self, event_time: int) -> None:
        """Takes note of an exchange time (ms UTC)."""
        if event_time > self._newest:
            self._newest = event_time
            offset = event_time - self._monotonic_ms()
            if self._offset is None or offset > self._offset:
                self._offset = offset

    def set_to(self, exchange_time: int) -> None:
        """Begins anew at this time (ms UTC)."""
        self._newest = exchange_time
        self._offset = exchange_time - self._monotonic_ms()

    @property
    def is_sure(self) -> bool:
        """Whether the time is known."""
        return self._offset is not None

    def now(self) -> Now:
        """The present of this feed."""
        local = self._monotonic_ms()
        return Now(0 if self._offset is None else local + self._offset, local)
