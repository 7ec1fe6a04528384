"""What the states of instruments are made of: line events, how far the flow has come, and whether books are right.

Of the data only the newest event of a poll is looked at, a few times a second.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeAlias, get_args

from flows.model import BookResult, BookView, ConnectionEvent, Flush, Removed, TradeWitness
from flows.operators.parse import Batch, Validated

PROGRESS_MS: Final = 250
"""Least local time between two `Progress`."""


class Progress(NamedTuple):
    """How far the flow has come, a few times a second."""

    has_caught_up: bool
    """Since the one before there was a moment in which nothing waited for the flow."""
    newest: int
    """Exchange time of the newest event that came with it, ms UTC; 0 where none did."""


class Unsynced(NamedTuple):
    """Whether the book of an instrument is known to be right; only when that changes."""

    symbol: str
    is_unsynced: bool


Observation: TypeAlias = ConnectionEvent | Progress | TradeWitness | Unsynced
"""What states are made of."""
_EVENTS: Final = frozenset(get_args(ConnectionEvent))


class Observe:
    """Line events out of everything that passes, and a `Progress` every `PROGRESS_MS` at most."""

    def __init__(self, monotonic_ms: Callable[[], int]) -> None:
        self._monotonic_ms = monotonic_ms
        self._due_ms = 0
        self._has_caught_up = False

    def __call__(self, others: list[Validated], items: list[Validated]) -> list[Observation]:
        """The observations of one poll, or part of one, `others` being those of its items that are no batches. Behind
        the end of the input there is no progress.
        """
        out: list[Observation] = []
        for item in others:
            kind = type(item)
            if kind is Flush:
                self._has_caught_up = True
            elif kind in _EVENTS:
                out.append(item)  # type: ignore[arg-type]
        local = self._monotonic_ms()
        if local >= self._due_ms and not ends(items):
            self._due_ms = local + PROGRESS_MS
            newest = max((item.events[-1].event_time for item in items if type(item) is Batch), default=0)
            out.append(Progress(self._has_caught_up, newest))
            self._has_caught_up = False
        return out


def ends(items: list[Validated]) -> bool:
    """Whether the input ends with these."""
    last = items[-1]
    return type(last) is Flush and last.final


class BookSyncs:
    """Of the views of books only whether they are right, when that changes."""

    def __init__(self) -> None:
        self._synced: dict[str, bool] = {}

    def __call__(self, items: list[tuple[str, BookResult | Removed]]) -> list[Unsynced]:
        """The changes in these views."""
        out = []
        for _, item in items:
            if type(item) is BookView:
                if self._synced.get(item.symbol) is not item.synced:
                    self._synced[item.symbol] = item.synced
                    out.append(Unsynced(item.symbol, is_unsynced=not item.synced))
            elif type(item) is Removed:
                for symbol in item.symbols:
                    self._synced.pop(symbol, None)
        return out
