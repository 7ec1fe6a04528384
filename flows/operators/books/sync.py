"""How a snapshot and a stream of differences become one book: differences wait, a snapshot is put below them, and from
then on each must follow the one before it. What follows what is the venue's rule (`BookIds`).
"""

from collections import deque

from flows.bounds import BookIds
from flows.model import BookDelta, BookSnapshot
from flows.operators.books.book import Book

MAX_WAITING = 1_000
"""Differences that wait for a snapshot; one more, and the oldest is dropped: the snapshot must be that much newer."""
RESTART_MS = 1_000
"""Known update ids on differences so much newer than the last one contradict it: one of them is wrong."""


class BookSync:
    """Holds differences until there is a snapshot that fits; from then on `book` is the exchange's, until differences
    show that it is not. Then another one is needed.

    One difference alone shows nothing: one that does not follow is held until the next one decides whether it is wrong
    or something is missing, and one with known ids is dropped. What is found to be wrong is in `refused`.
    """

    def __init__(self, ids: BookIds, *, depth: int) -> None:
        self._ids = ids
        self._depth = depth
        self._waiting: deque[BookDelta] = deque(maxlen=MAX_WAITING)
        self._joined = False
        self._suspect: BookDelta | None = None
        self._older: BookDelta | None = None
        self.book: Book | None = None
        self.refused: list[BookDelta] = []
        """Differences that nothing followed; the reader empties it."""

    @property
    def is_waiting(self) -> bool:
        """Whether there are differences and no book yet."""
        return self.book is None and bool(self._waiting)

    @property
    def is_in_doubt(self) -> bool:
        """Whether a difference is held that does not follow."""
        return self._suspect is not None

    def take(self, delta: BookDelta) -> str:
        """Takes a difference, and gives what is wrong: empty when nothing is."""
        known = self._known
        if known is None:
            self._waiting.append(delta)
            return ""
        if self._is_old(delta, known[0]):
            return self._take_older(delta, known)
        if self._follows(delta, known[0]):
            if self._suspect is not None:
                self.refused.append(self._suspect)
            self._suspect = self._older = None
            self._append(delta)
            return ""
        suspect, self._suspect = self._suspect, delta
        if suspect is None:
            return ""
        if self._continues(delta, suspect):
            return self._go_on(known[0], suspect, delta)
        self.refused.append(suspect)
        return ""

    def give_up_doubt(self) -> str:
        """Nothing has come behind the difference that does not follow: it is believed, and something is missing."""
        suspect, known = self._suspect, self._known
        self._suspect = None
        return "" if suspect is None or known is None else self._missing(known[0], suspect)

    @property
    def _known(self) -> tuple[int, int] | None:
        """Update id and event time of the newest difference; None before the first."""
        if self.book is not None:
            return self.book.update_id, self.book.event_time
        return (self._waiting[-1].last_update_id, self._waiting[-1].event_time) if self._waiting else None

    def _is_old(self, delta: BookDelta, known: int) -> bool:
        """Whether a difference is a duplicate, too late to matter, or in the snapshot already."""
        if self.book is not None and not self._joined:
            return self._ids.is_in(delta, known)
        return delta.last_update_id <= known

    def _follows(self, delta: BookDelta, known: int) -> bool:
        if self.book is not None and not self._joined:
            return self._ids.joins(delta, known)
        return self._ids.follows(delta, known)

    def _continues(self, delta: BookDelta, suspect: BookDelta) -> bool:
        """Whether one goes on from the one that is held; whatever lies before that one speaks against it."""
        return delta.last_update_id > suspect.last_update_id and self._ids.follows(delta, suspect.last_update_id)

    def _append(self, delta: BookDelta) -> None:
        if self.book is None:
            self._waiting.append(delta)
        else:
            self._joined = True
            self.book.apply(delta)

    def _go_on(self, known: int, suspect: BookDelta, delta: BookDelta) -> str:
        """Two differences follow each other, and not what is known: something is missing before them."""
        self._suspect = None
        if self.book is not None:
            return self._missing(known, suspect)
        self._waiting.clear()  # a gap makes those before it useless: the snapshot must be newer than the gap
        self._waiting.extend((suspect, delta))
        return ""

    def _take_older(self, delta: BookDelta, known: tuple[int, int]) -> str:
        """Ids that are known already, on a difference that is newer: when a second one has them too, the ids have begun
        anew, or those before were wrong.
        """
        if not known[1] or delta.event_time <= known[1] + RESTART_MS:
            return ""
        older, self._older = self._older, delta
        if older is None or delta.last_update_id <= older.last_update_id:
            return ""
        if self.book is not None:
            return f"the venue's update ids went back from {known[0]} to {delta.last_update_id}"
        if len(self._waiting) == 1:
            self.refused += self._waiting  # it was believed as the first one, and nothing followed it
        self._waiting.clear()
        self._waiting.append(delta)
        return ""

    def _missing(self, known: int, delta: BookDelta) -> str:
        return f"the updates after {known} did not arrive, the next one is {delta.first_update_id}"

    def take_snapshot(self, snapshot: BookSnapshot) -> str:
        """Puts a snapshot below the differences that wait, and gives why that cannot be: empty when it can."""
        book = Book(snapshot, depth=self._depth)
        for delta in self._waiting:
            if self._joined:
                book.apply(delta)
            elif fault := self._join(book, delta):
                return fault
        self._waiting.clear()
        self.book = book
        return ""

    def _join(self, book: Book, delta: BookDelta) -> str:
        """The first one on top of a snapshot."""
        if self._ids.is_in(delta, book.update_id):
            return ""
        if not self._ids.joins(delta, book.update_id):
            return f"the snapshot of {book.update_id} is older than the first update, {delta.first_update_id}"
        self._joined = True
        book.apply(delta)
        return ""
