"""Machines in a row count as one machine: what one gives, the next one takes.

The engine's cost is by keyed step and key. In a row of its own each, sequencing and candles would pay it twice, and
touch every trade a second time when it has long left the processor's cache.
"""

from typing import Any

from flows.clock import Now

_Machine = Any  # the protocol stands with the engine's bridge, which these rooms do not know


class Chain:
    """Gives everything that any of its machines gives, in order. What a machine merely passed on is not given twice."""

    def __init__(self, *machines: _Machine) -> None:
        self._machines = machines

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes one item."""
        return self._fed(0, [events], now)

    def on_timer(self, now: Now) -> list[Any]:
        """Wakes whoever is due; the first ones first, for they may have something for those behind."""
        out: list[Any] = []
        for place, machine in enumerate(self._machines):
            due = machine.due_in(now)
            if due is not None and due <= 0:
                out += self._given(place, machine.on_timer(now), now)
        return out

    def on_end(self, now: Now) -> list[Any]:
        """The input ends."""
        out: list[Any] = []
        for place, machine in enumerate(self._machines):
            out += self._given(place, machine.on_end(now), now)
        return out

    def due_in(self, now: Now) -> int | None:
        """The nearest of all."""
        waits = [due for machine in self._machines if (due := machine.due_in(now)) is not None]
        return min(waits) if waits else None

    def snapshot(self) -> tuple[Any, ...]:
        """The states of all, in order."""
        return tuple(machine.snapshot() for machine in self._machines)

    def _fed(self, place: int, items: list[Any], now: Now) -> list[Any]:
        """What comes out when `items` go into the machine at `place`."""
        if place == len(self._machines):
            return []
        machine = self._machines[place]
        out: list[Any] = []
        for item in items:
            given = machine.on_events(item, now)
            if len(given) == 1 and given[0] is item:  # passed on
                out += self._fed(place + 1, given, now)
            else:
                out += self._given(place, given, now)
        return out

    def _given(self, place: int, items: list[Any], now: Now) -> list[Any]:
        return items + self._fed(place + 1, items, now) if items else items
