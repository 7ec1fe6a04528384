"""A plain `Writer` becomes a Bytewax sink. Nothing else in this room knows the engine."""

import threading
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from bytewax.outputs import (
    DynamicSink,
    FixedPartitionedSink,
    StatefulSinkPartition,
    StatelessSinkPartition,
)

T = TypeVar("T")


class Writer(Protocol[T]):
    """What a store or the hub must be able to do.

    `write` takes a batch and returns at once: whoever is slow buffers, within a bound that its docstring states. It
    never raises because something outside failed; that is logged, retried, and becomes an incident.
    """

    def write(self, batch: list[T]) -> None:
        """Takes a batch."""

    def close(self) -> None:
        """Writes out what is held, within a few seconds, and lets go of everything."""


class RecoverableWriter(Writer[T], Protocol[T]):
    """A store that may be behind: what it still holds becomes part of the flow's recovered state, so that a killed
    process loses nothing that the flow counts as written.
    """

    def pending(self) -> list[Any]:
        """What is not stored yet; a copy."""

    def resume(self, pending: list[Any]) -> None:
        """Takes over what `pending` gave, in an earlier process."""


class SharedWriter(Generic[T]):
    """One writer for several sinks and workers. Each opens it, each closes it; the last one's close is the writer's."""

    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer
        self._users = 0
        self._lock = threading.Lock()

    def open(self) -> Writer[T]:
        """The writer for one more user."""
        with self._lock:
            self._users += 1
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


class FlattenWriter(Generic[T]):
    """A writer of lists: for steps that pack what goes to a single partition, as the engine costs by item there."""

    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer

    def write(self, batch: list[list[T]]) -> None:
        """Takes a batch of batches."""
        for items in batch:
            self._writer.write(items)

    def close(self) -> None:
        """Closes the writer."""
        self._writer.close()


class FlattenRecoverable(FlattenWriter[T]):
    """The same for a writer whose pending items outlive the process."""

    def __init__(self, writer: Writer[T], keeper: RecoverableWriter[T]) -> None:
        """`keeper` holds what goes to `writer`, which may be a handle of it."""
        super().__init__(writer)
        self._keeper = keeper

    def pending(self) -> list[Any]:
        """The keeper's."""
        return self._keeper.pending()

    def resume(self, pending: list[Any]) -> None:
        """The keeper's."""
        self._keeper.resume(pending)


class _WriterPartition(StatelessSinkPartition[T]):
    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer

    def write_batch(self, items: list[T]) -> None:
        self._writer.write(items)

    def close(self) -> None:
        self._writer.close()


class WriterSink(DynamicSink[T], Generic[T]):
    """One writer a worker, all alike. `open_writer` is called eagerly, when the flow is built."""

    def __init__(self, open_writer: Callable[[], Writer[T]]) -> None:
        self._open_writer = open_writer

    def build(self, step_id: str, worker_index: int, worker_count: int) -> StatelessSinkPartition[T]:
        """Called by the engine."""
        return _WriterPartition(self._open_writer())


class _KeyedPartition(StatefulSinkPartition[T, list[Any] | None]):
    def __init__(self, writer: Writer[T]) -> None:
        self._writer = writer

    def write_batch(self, values: list[T]) -> None:
        self._writer.write(values)

    def snapshot(self) -> list[Any] | None:
        return None

    def close(self) -> None:
        self._writer.close()


class _KeepingPartition(_KeyedPartition[T]):
    def __init__(self, writer: RecoverableWriter[T], pending: list[Any] | None) -> None:
        super().__init__(writer)
        self._keeper = writer
        if pending:
            writer.resume(pending)

    def snapshot(self) -> list[Any] | None:
        return self._keeper.pending()


class PartitionedWriterSink(FixedPartitionedSink[T, Any], Generic[T]):
    """One writer a partition, each at exactly one worker of the whole cluster. Items are `(key, value)`.

    After a crash the sink is given again whatever came since the last snapshot. With a `RecoverableWriter` that is all
    a restart needs to lose nothing: what was given before that snapshot is stored, or part of it.

    The engine opens a partition at its first item, so whatever must be open from the start (a port) is opened
    elsewhere.
    """

    def __init__(
        self, parts: list[str], open_writer: Callable[[str], Writer[T]], part_of: Callable[[str], int]
    ) -> None:
        self._parts = parts
        self._open_writer = open_writer
        self._part_of = part_of

    def list_parts(self) -> list[str]:
        """Called by the engine."""
        return self._parts

    def part_fn(self, item_key: str) -> int:
        """Called by the engine."""
        return self._part_of(item_key)

    def build_part(
        self, step_id: str, for_part: str, resume_state: list[Any] | None
    ) -> StatefulSinkPartition[T, list[Any] | None]:
        """Called by the engine."""
        return _KeyedPartition(self._open_writer(for_part))


class RecoverableSink(PartitionedWriterSink[T]):
    """The same for writers whose pending items outlive the process."""

    def __init__(
        self, parts: list[str], open_writer: Callable[[str], RecoverableWriter[T]], part_of: Callable[[str], int]
    ) -> None:
        super().__init__(parts, open_writer, part_of)
        self._open_keeper = open_writer

    def build_part(
        self, step_id: str, for_part: str, resume_state: list[Any] | None
    ) -> StatefulSinkPartition[T, list[Any] | None]:
        """Called by the engine."""
        return _KeepingPartition(self._open_keeper(for_part), resume_state)
