"""What the logic of one instrument looks like, to the engine's bridge and to the pipeline."""

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from flows.clock import Now
from flows.queries import Query

In_contra = TypeVar("In_contra", contravariant=True)
Out_co = TypeVar("Out_co", covariant=True)


class Machine(Protocol[In_contra, Out_co]):
    """The logic of one instrument: takes `In`, gives `Out` and queries. It reads no clock and performs no I/O."""

    def on_events(self, events: In_contra, now: Now) -> Sequence[Out_co | Query]:
        """Takes one item of the step before."""

    def on_timer(self, now: Now) -> Sequence[Out_co | Query]:
        """Called at or after the deadline; may be spurious."""

    def on_end(self, now: Now) -> Sequence[Out_co | Query]:
        """The input ends; the state is kept for the next start."""

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` is due; None when there is no deadline."""

    def snapshot(self) -> object:
        """The state to recover from: picklable, versioned, a copy."""


class QueryingMachine(Machine[In_contra, Out_co], Protocol):
    """A machine whose queries are answered."""

    def on_answer(self, query: Query, answer: Any, now: Now) -> Sequence[Out_co | Query]:
        """The answer to a query, of the type that the query's docstring names, or a `QueryError`."""
