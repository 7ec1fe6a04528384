"""Logs at intervals, and at the end, what was stored."""

import threading
from collections.abc import Callable
from typing import Generic, Protocol, Self, TypeVar

from flows.clock import monotonic_ms


class Counts(Protocol):
    """Counts by kind; the type without arguments makes an empty one."""

    def update(self, other: Self, /) -> None:
        """Adds `other`."""


C = TypeVar("C", bound=Counts)


class Summary(Generic[C]):
    """Adds up what was stored, from any thread. The owner calls `log` when `is_due`."""

    def __init__(self, new: Callable[[], C], log_counts: Callable[[C], None], *, interval_s: float) -> None:
        """`log_counts` logs what was stored since the last time; it is not called when that is nothing."""
        self._new = new
        self._log_counts = log_counts
        self._interval_ms = int(interval_s * 1_000)
        self._due_ms = monotonic_ms() + self._interval_ms
        self._lock = threading.Lock()
        self._recent = new()
        self.total = new()
        """All that was stored so far."""

    def count(self, stored: C) -> None:
        """Adds what was stored."""
        with self._lock:
            self.total.update(stored)
            self._recent.update(stored)

    def is_due(self) -> bool:
        """Whether it is time to log it."""
        return monotonic_ms() >= self._due_ms

    def log(self) -> None:
        """Logs what was stored since the last time."""
        with self._lock:
            recent, self._recent = self._recent, self._new()
        self._due_ms = monotonic_ms() + self._interval_ms
        if recent != self._new():
            self._log_counts(recent)
