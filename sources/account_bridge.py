"""Accounts as a Bytewax source: what their private streams bring, by account."""

import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias

from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition

from flows.model.account import AccountReport
from sources.waiting import SourceWorker, SourceWorkers

Keyed: TypeAlias = tuple[str, AccountReport]
"""The key of the account, and what came."""

MOST_WAITING = 100_000
"""Reports that wait for the flow; beyond that the oldest are dropped, and audits find what they changed."""
_AT_ONCE = datetime(1970, 1, 1, tzinfo=UTC)
_POLL = timedelta(milliseconds=20)


class _AccountPartition(StatefulSourcePartition[Keyed, tuple[int]]):
    def __init__(self, source: "AccountSource", worker: SourceWorker, stop: threading.Event) -> None:
        self._source = source
        self._stop = stop
        self._items = source.open(worker.wake.set)
        self._worker = worker
        worker.others.append(self._items)
        self._due = datetime.now(UTC)

    def next_batch(self) -> list[Keyed]:
        """What has come since the last call."""
        if self._stop.is_set() and not self._items:
            self._source.close()
            raise StopIteration
        out = []
        while self._items:
            out.append((self._source.key, self._items.popleft()))
        self._due = datetime.now(UTC) + _POLL
        return out

    def next_awake(self) -> datetime:
        """At once where a partition of the market waits for both, else a few milliseconds later."""
        return _AT_ONCE if self._worker.partitions else self._due

    def snapshot(self) -> tuple[int]:
        """Only a version: a stream cannot be replayed."""
        return (1,)

    def close(self) -> None:
        """Ends the stream."""
        self._items.clear()
        self._source.close()


class AccountSource(FixedPartitionedSource[Keyed, tuple[int]]):
    """The private stream of one account. `start` is given what takes the reports, from any thread, and begins it;
    `end` ends it.
    """

    def __init__(
        self,
        key: str,
        *,
        start: Callable[[Callable[[AccountReport], None]], None],
        end: Callable[[], None],
        stop: threading.Event,
        workers: SourceWorkers,
    ) -> None:
        self.key = key
        self._start = start
        self._end = end
        self._stop = stop
        self._workers = workers

    def open(self, wake: Callable[[], None]) -> deque[AccountReport]:
        """Starts the stream; the queue of its reports. `wake` is called when there are any."""
        items: deque[AccountReport] = deque(maxlen=MOST_WAITING)

        def emit(report: AccountReport) -> None:
            items.append(report)
            wake()

        self._start(emit)
        return items

    def close(self) -> None:
        """Ends the stream; a second call does nothing."""
        self._end()

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return ["account"]

    def build_part(
        self,
        step_id: str,  # noqa: ARG002 - the engine passes them
        for_part: str,  # noqa: ARG002
        resume_state: tuple[int] | None,  # noqa: ARG002
    ) -> _AccountPartition:
        """Called by the engine; connects at once."""
        return _AccountPartition(self, self._workers.own(), self._stop)
