"""Machines in a row count as one machine: each takes what the one before it gives, and the last one's results are the
pipeline's.

The engine's cost is by keyed step and key. In a step of its own each, sequencing and candles would pay it twice, and
touch every trade a second time when it has long left the processor's cache.
"""

from collections.abc import Sequence
from typing import Any, Generic, TypeVar, cast

from flows.clock import Now
from flows.operators.protocol import Machine, QueryingMachine
from flows.queries import Query, without_queries

In = TypeVar("In")
Out = TypeVar("Out")


class Pipeline(Generic[In, Out]):
    """Each machine passes on what it does not take. Queries leave at once, and their answers come back to the machine
    that made them.

    The first machine takes `In`, what comes out of the last one is `Out`. In between anything may pass, so the machines
    take any object.
    """

    def __init__(self, *machines: Machine[Any, object]) -> None:
        self._machines = machines
        self._behind = [list(enumerate(machines))[place + 1 :] for place in range(len(machines))]
        """Of each machine those behind it, with their places."""
        self._places: dict[Query, int] = {}

    def on_events(self, events: In, now: Now) -> Sequence[Out | Query]:
        """Takes one item."""
        return self._passed(0, self._machines[0].on_events(events, now), now)

    def on_timer(self, now: Now) -> Sequence[Out | Query]:
        """Calls the machines that are due, the first ones first: they may have results for those behind them."""
        out: list[Out | Query] = []
        for place, machine in enumerate(self._machines):
            due = machine.due_in(now)
            if due is not None and due <= 0:
                out += self._passed(place, machine.on_timer(now), now)
        return out

    def on_answer(self, query: Query, answer: object, now: Now) -> Sequence[Out | Query]:
        """Hands the answer to the machine that made the query."""
        place = self._places.pop(query, None)
        if place is None:
            return []  # the same query was made twice, and has been answered
        machine = cast("QueryingMachine[object, object]", self._machines[place])
        return self._passed(place, machine.on_answer(query, answer, now), now)

    def on_end(self, now: Now) -> Sequence[Out | Query]:
        """The input ends."""
        out: list[Out | Query] = []
        for place, machine in enumerate(self._machines):
            out += self._passed(place, machine.on_end(now), now)
        return out

    def due_in(self, now: Now) -> int | None:
        """The nearest deadline of all."""
        nearest: int | None = None
        for machine in self._machines:
            due = machine.due_in(now)
            if due is not None and (nearest is None or due < nearest):
                nearest = due
        return nearest

    def snapshot(self) -> tuple[object, ...]:
        """The states of all, in order."""
        return tuple(machine.snapshot() for machine in self._machines)

    def _passed(self, place: int, items: Sequence[object], now: Now) -> Sequence[Out | Query]:
        """What comes out at the end when the machine at `place` has given `items`."""
        passed, queries = without_queries(items)
        if queries:
            self._places |= dict.fromkeys(queries, place)
        for at, machine in self._behind[place]:
            if not passed:
                break
            given: list[object] = []
            for item in passed:
                given += machine.on_events(item, now)
            passed, more = without_queries(given)
            if more:
                self._places |= dict.fromkeys(more, at)
                queries += more
        # what the last machine gives is `Out`; a cast would cost at each call
        return [*queries, *passed] if queries else passed  # type: ignore[list-item, return-value]
