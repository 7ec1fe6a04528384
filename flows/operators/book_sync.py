"""How a snapshot and a stream of differences become one book, by the procedures that the exchanges publish.

Binance spot, "How to manage a local order book correctly": https://developers.binance.com/docs/binance-spot-api-docs
USD-M futures, the same: https://developers.binance.com/docs/derivatives/usds-margined-futures
The numbers in the code are the steps of those pages.
"""

from collections import deque
from typing import Protocol

from flows.model import BookDelta, BookSnapshot
from flows.operators.book import Book

MAX_WAITING = 1_000
"""Differences that wait for a snapshot; one more, and the oldest is dropped: the snapshot must be that much newer."""
RESTART_MS = 60_000
"""A known update id on a difference so much newer than the last one means that the venue counts anew."""


class Rules(Protocol):
    """What a venue's update ids say."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """Whether a snapshot of that id holds the difference already."""

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """Whether it may be the first one on top of a snapshot of that id."""

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """Whether nothing is missing between it and the difference that ended with that id."""


class SpotRules:
    """Ids rise by one from difference to difference."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 4: what ends at or before the snapshot is dropped."""
        return delta.last_update_id <= snapshot

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 5: the snapshot lies within the first difference, or right before it."""
        return delta.first_update_id <= snapshot + 1

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """Step 5: a first id beyond the next one is a gap."""
        return delta.first_update_id <= update_id + 1


class UsdmRules:
    """Ids jump; each difference names the one before it."""

    def is_in(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 4: what ends before the snapshot is dropped; what ends with it is not."""
        return delta.last_update_id < snapshot

    def joins(self, delta: BookDelta, snapshot: int) -> bool:
        """Step 5: the snapshot lies within the first difference. Between that and the one it names nothing happened, so
        a snapshot from in between will do as well.
        """
        previous = delta.previous_update_id
        return (delta.first_update_id if previous is None else previous) <= snapshot

    def follows(self, delta: BookDelta, update_id: int) -> bool:
        """Step 6: it names the last one, or an earlier one, as where two connections overlap that cut differently."""
        return delta.previous_update_id is not None and delta.previous_update_id <= update_id


RULES: dict[str, Rules] = {"binance": SpotRules(), "binance-usdm": UsdmRules()}
"""By venue."""


class BookSync:
    """Holds differences until there is a snapshot that fits; from then on `book` is the exchange's, until a difference
    shows that it is not. Then another one is needed.
    """

    def __init__(self, rules: Rules, *, depth: int) -> None:
        self._rules = rules
        self._depth = depth
        self._waiting: deque[BookDelta] = deque(maxlen=MAX_WAITING)
        self._joined = False
        self.book: Book | None = None

    @property
    def is_waiting(self) -> bool:
        """Whether there are differences and no book yet."""
        return self.book is None and bool(self._waiting)

    def take(self, delta: BookDelta) -> str:
        """Takes a difference, and says what is wrong: empty when nothing is."""
        book = self.book
        if book is None:
            self._hold(delta)
        elif not self._joined:
            return self._join(book, delta)
        elif delta.last_update_id <= book.update_id:  # a duplicate, or too late to matter
            if delta.event_time > book.event_time + RESTART_MS:
                return f"the venue's update ids went back from {book.update_id} to {delta.last_update_id}"
        elif self._rules.follows(delta, book.update_id):
            book.apply(delta)
        else:
            return f"the updates after {book.update_id} did not arrive, the next one is {delta.first_update_id}"
        return ""

    def take_snapshot(self, snapshot: BookSnapshot) -> str:
        """Puts a snapshot below the differences that wait, and says why that cannot be: empty when it can."""
        book = Book(snapshot, depth=self._depth)
        for delta in self._waiting:
            if self._joined:
                book.apply(delta)
            elif fault := self._join(book, delta):
                return fault
        self._waiting.clear()
        self.book = book
        return ""

    def _hold(self, delta: BookDelta) -> None:
        """Step 1. A hole makes those before it useless: the snapshot must be newer than the hole."""
        if self._waiting:
            newest = self._waiting[-1]
            if delta.last_update_id <= newest.last_update_id:
                if delta.event_time <= newest.event_time + RESTART_MS:
                    return
                self._waiting.clear()
            elif not self._rules.follows(delta, newest.last_update_id):
                self._waiting.clear()
        self._waiting.append(delta)

    def _join(self, book: Book, delta: BookDelta) -> str:
        """The first one on top of a snapshot."""
        if self._rules.is_in(delta, book.update_id):
            return ""
        if not self._rules.joins(delta, book.update_id):  # step 3
            return f"the snapshot of {book.update_id} is older than the first update, {delta.first_update_id}"
        self._joined = True
        book.apply(delta)
        return ""
