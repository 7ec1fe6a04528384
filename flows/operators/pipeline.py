"""Machines in a row count as one machine: what one gives, the next one takes, and what the last one gives comes out.

The engine's cost is by keyed step and key. In a row of its own each, sequencing and candles would pay it twice, and
touch every trade a second time when it has long left the processor's cache.
"""

from typing import Any

from flows.clock import Now
from flows.queries import Query, without_queries

_Machine = Any  # the protocol stands with the engine's bridge, which these rooms do not know


class Pipeline:
    """Each machine hands on what is not for it, or not for it alone. Asks leave at once, and their answers come back to
    the machine that asked.
    """

    def __init__(self, *machines: _Machine) -> None:
        self._machines = machines
        self._places: dict[Query, int] = {}

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes one item."""
        return self._passed(0, self._machines[0].on_events(events, now), now)

    def on_timer(self, now: Now) -> list[Any]:
        """Wakes whoever is due; the first ones first, for they may have something for those behind."""
        out: list[Any] = []
        for place, machine in enumerate(self._machines):
            due = machine.due_in(now)
            if due is not None and due <= 0:
                out += self._passed(place, machine.on_timer(now), now)
        return out

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        """Hands the answer to whoever asked."""
        place = self._places.pop(query, None)
        if place is None:
            return []  # the same was asked twice, and has been answered
        return self._passed(place, self._machines[place].on_answer(query, answer, now), now)

    def on_end(self, now: Now) -> list[Any]:
        """The input ends."""
        out: list[Any] = []
        for place, machine in enumerate(self._machines):
            out += self._passed(place, machine.on_end(now), now)
        return out

    def due_in(self, now: Now) -> int | None:
        """The nearest of all."""
        nearest: int | None = None
        for machine in self._machines:
            due = machine.due_in(now)
            if due is not None and (nearest is None or due < nearest):
                nearest = due
        return nearest

    def snapshot(self) -> tuple[Any, ...]:
        """The states of all, in order."""
        return tuple(machine.snapshot() for machine in self._machines)

    def _passed(self, place: int, items: list[Any], now: Now) -> list[Any]:
        """What comes out at the end when the machine at `place` has given `items`."""
        passed, queries = without_queries(items)
        self._places |= dict.fromkeys(queries, place)
        for at, machine in enumerate(self._machines[place + 1 :], place + 1):
            if not passed:
                break
            given: list[Any] = []
            for item in passed:
                given += machine.on_events(item, now)
            passed, more = without_queries(given)
            if more:
                self._places |= dict.fromkeys(more, at)
                queries += more
        return [*queries, *passed] if queries else passed
