"""What every step is made of: streams by the type of their items, and only those that are read."""

from collections.abc import Sequence
from typing import Any, TypeVar

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Operator, Stream
from bytewax.operators import KeyedStream

X = TypeVar("X")
Y = TypeVar("Y")
Step = TypeVar("Step", bound=Operator)


def pick(step_id: str, results: KeyedStream[Any], *kinds: type[Y]) -> Stream[Y]:
    """The values of some types, without their keys."""
    return op.flat_map_batch(step_id, results, lambda items: [value for _, value in items if type(value) in kinds])


def select(step_id: str, items: Stream[Any], *kinds: type[Y]) -> Stream[Y]:
    """The items of some types."""
    return op.flat_map_batch(step_id, items, lambda batch: [item for item in batch if isinstance(item, kinds)])


def built(streams: Sequence[Stream[X] | None]) -> list[Stream[X]]:
    """Without those that were not built."""
    return [stream for stream in streams if stream is not None]


def merged(streams: Sequence[Stream[X]]) -> Stream[X]:
    """One stream of all; a single one as it is, for a step more would cost at every poll."""
    return streams[0] if len(streams) == 1 else op.merge("merged", *streams)


def drop_unread(flow: Dataflow) -> Dataflow:
    """Takes out every step whose results nothing reads: what leads to no sink costs nothing."""
    _keep_read(flow.substeps, set())
    return flow


def _keep_read(steps: list[Step], read: set[str]) -> None:
    """Looks at the steps from the last one to the first; `read` are the streams that those behind them read."""
    kept: list[Step] = []
    for step in reversed(steps):
        if step.substeps:
            _keep_read(step.substeps, read)
            is_read = bool(step.substeps)
        else:
            results = _stream_ids(step, step.dwn_names)
            is_read = not results or not read.isdisjoint(results)
            if is_read:
                read |= _stream_ids(step, step.ups_names)
        if is_read:
            kept.append(step)
    steps[:] = reversed(kept)


def _stream_ids(step: Operator, ports: list[str]) -> set[str]:
    return {stream_id for port in ports for stream_id in getattr(step, port).stream_ids.values()}
