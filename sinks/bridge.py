"""Makes Bytewax sinks of plain `Writer`s. No other module of the sinks imports the engine.

`WriterSink` has one writer for each worker, `PartitionedWriterSink` one for each partition, at exactly one worker of
the whole cluster.
"""

import threading
from collections.abc import Callable, Sequence
from itertools import chain
from typing import Any, Generic, Protocol, TypeVar, runtime_checkable

from bytewax.outputs import (
    DynamicSink,
    FixedPartitionedSink,
    StatefulSinkPartition,
    StatelessSinkPartition,
)

T = TypeVar("T")


class Writer(Protocol[T]):
    """Interface of a store or the hub.

    `write` takes a batch and returns at once: a slow writer buffers, within a bound that its docstring states. It never
    raises for an external failure: that is logged, retried, and becomes an incident.
    """

    def write(self, batch: list[T]) -> None:
        """Takes a batch."""

    def close(self) -> None:
        """Writes what is buffered, within a few seconds, and frees its resources."""


@runtime_checkable
class RecoverableWriter(Writer[T], Protocol[T]):
    """A store with a buffer. What is not stored yet becomes part of the flow's recovered state, so that a killed
    process loses nothing that the flow counts as written.
    """

    def pending(self) -> list[Any]:
        """Items that are not stored yet; a copy."""

    def resume(self, pending: list[Any]) -> None:
        """Takes over the result of `pending` of an earlier process."""


class SharedWriter(Generic[T]):
    """One writer for several sinks and workers. Each opens and closes it; the last close closes the writer."""

    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer
        self._users = 0
        self._lock = threading.Lock()

    def open(self) -> Writer[T]:
        """The writer for one more user; recoverable if it is."""
        with self._lock:
            self._users += 1
        if isinstance(self._writer, RecoverableWriter):
            return _RecoverableHandle(self._writer, self._release)
        return _Handle(self._writer, self._release)

    def _release(self) -> None:
        with self._lock:
            self._users -= 1
            if self._users:
                return
        self._writer.close()


class _Handle(Generic[T]):
    def __init__(self, writer: Writer[T], release: Callable[[], None]) -> None:
        self.write = writer.write
        self._release: Callable[[], None] | None = release

    def close(self) -> None:
        release, self._release = self._release, None
        if release:
            release()


class _RecoverableHandle(_Handle[T]):
    def __init__(self, writer: RecoverableWriter[T], release: Callable[[], None]) -> None:
        super().__init__(writer, release)
        self.pending = writer.pending
        self.resume = writer.resume


class _Worker(StatelessSinkPartition[T]):
    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer

    def write_batch(self, items: list[T]) -> None:
        self._writer.write(items)

    def close(self) -> None:
        self._writer.close()


class WriterSink(DynamicSink[T], Generic[T]):
    """One writer for each worker, all alike; it gets the items of its worker."""

    def __init__(self, open_writer: Callable[[], Writer[T]]) -> None:
        """`open_writer` is called eagerly, when the flow is built."""
        self._open_writer = open_writer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[T]:
        """Called by the engine."""
        return _Worker(self._open_writer())


class _Partition(StatefulSinkPartition[list[T], list[Any] | None]):
    def __init__(self, writer: Writer[T], pending: list[Any] | None) -> None:
        self._writer = writer
        self._recoverable = writer if isinstance(writer, RecoverableWriter) else None
        if pending and self._recoverable is not None:
            self._recoverable.resume(pending)

    def write_batch(self, values: list[list[T]]) -> None:
        if all(type(batch) is list for batch in values):
            self._writer.write(values[0] if len(values) == 1 else list(chain.from_iterable(values)))
            return
        for batch in values:  # a list of another type says more of its items
            self._writer.write(batch)

    def snapshot(self) -> list[Any] | None:
        return None if self._recoverable is None else self._recoverable.pending()

    def close(self) -> None:
        self._writer.close()


class PartitionedWriterSink(FixedPartitionedSink[list[T], list[Any] | None], Generic[T]):
    """One writer for each partition, at exactly one worker of the whole cluster. Items are `(key, batch)`: the engine's
    cost is per item, so a step before it packs many into one.

    After a crash the sink gets again what came since the last snapshot. With a `RecoverableWriter` a restart therefore
    loses nothing: earlier items are stored or part of that snapshot.

    The engine opens a partition at its first item, so what must be open from the start (a port) is opened elsewhere.
    """

    def __init__(
        self,
        parts: Sequence[str],
        open_writer: Callable[[str], Writer[T]],
        part_of: Callable[[str], int] = lambda _: 0,
    ) -> None:
        """`open_writer` takes the name of a partition, `part_of` returns the index in `parts` for a key."""
        self._parts = list(parts)
        self._open_writer = open_writer
        self._part_of = part_of

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return self._parts

    def part_fn(self, item_key: str) -> int:
        """Called by the engine."""
        return self._part_of(item_key)

    def build_part(self, step_id: str, for_part: str, resume_state: list[Any] | None) -> _Partition[T]:
        """Called by the engine."""
        return _Partition(self._open_writer(for_part), resume_state)
