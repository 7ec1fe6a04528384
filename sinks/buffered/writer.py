"""The thread of a store's writer: empties the buffer, with retries; at the close within a time limit."""

import math
import threading
import time
from abc import ABC, abstractmethod
from typing import Any, Final, Generic, TypeVar

import structlog

from flows.clock import monotonic_ms
from sinks.buffered.buffer import BoundedBuffer
from sinks.buffered.outage import OutageWatch
from sinks.buffered.summary import Counts, Summary

log = structlog.get_logger(__name__)

CLOSE_TIMEOUT_S: Final = 5.0
"""How long `close` tries to write what is held."""

L = TypeVar("L")
C = TypeVar("C", bound=Counts)


class BufferedWriter(ABC, Generic[L, C]):
    """A writer whose store may be unavailable: it retries without limit, with what is held.

    `OutageWatch` reports that. Losses are reported when the outage is over, whenever the summary is due until then, and
    at the end.
    """

    def __init__(
        self, *, thread_name: str, buffer: BoundedBuffer[L], outages: OutageWatch, summary: Summary[C]
    ) -> None:
        """A subclass calls `_start` when it is ready."""
        self._held = buffer
        self._outages = outages
        self._summary = summary
        self.failures = 0
        """Attempts to write that failed."""
        self._close_by_ms: int | None = None
        self._thread = threading.Thread(target=self._run, name=thread_name, daemon=True)

    @abstractmethod
    def write(self, batch: list[Any]) -> None:
        """Takes items."""

    @property
    def held(self) -> int:
        """Number of items that are not stored yet."""
        return len(self._held)

    @property
    def capacity(self) -> int:
        """Most items that may wait."""
        return self._held.capacity

    @property
    def outage(self) -> str:
        """Why the store takes nothing now; "" when it works."""
        return self._outages.cause

    def resume(self, pending: list[Any]) -> None:
        """Takes over what an earlier process could not write."""
        self.write(pending)

    def _start(self) -> None:
        self._thread.start()

    def _begin_close(self) -> None:
        """Closes the buffer, so that the thread writes what is held, for at most `CLOSE_TIMEOUT_S`."""
        if self._close_by_ms is None:
            self._close_by_ms = monotonic_ms() + int(CLOSE_TIMEOUT_S * 1_000)
            self._held.close()

    # --- the writer's thread ---

    @abstractmethod
    def _wait(self) -> bool:
        """Waits until it is time for the next turn. False as soon as the buffer is closed."""

    @abstractmethod
    def _write_due(self) -> tuple[bool, str]:
        """Writes what is due. Returns whether all of it is stored, and the cause if not; "" where that is no failure
        but a reason to wait. What is not stored is held again.
        """

    @abstractmethod
    def _report_loss(self, loss: L) -> None:
        """Reports items that were dropped for good."""

    def _release(self) -> None:
        """Frees what only the writer's thread uses."""

    def _run(self) -> None:
        self._turn()
        while self._wait():
            self._turn()
        while len(self._held):
            if not self._turn():
                time.sleep(min(self._outages.pause_s, self._time_left_s()))
            if not self._time_left_s():
                break
        self._report_losses(self._held.take_rest())
        self._summary.log()
        self._release()

    def _turn(self) -> bool:
        """Writes what is due. False when some of it is not stored."""
        is_stored, cause = self._write_due()
        if cause:
            self.failures += 1
            self._outages.on_failure(cause, held=len(self._held))
        has_ended = is_stored and self._outages.on_success()
        if has_ended or self._summary.is_due():
            self._report_losses(self._held.take_losses())
        if self._summary.is_due():
            self._summary.log()
        return is_stored

    def _report_losses(self, losses: list[L]) -> None:
        for loss in losses:
            self._report_loss(loss)

    def _time_left_s(self) -> float:
        """Time until the close must be finished."""
        if self._close_by_ms is None:
            return math.inf
        return max(0.0, (self._close_by_ms - monotonic_ms()) / 1_000)
