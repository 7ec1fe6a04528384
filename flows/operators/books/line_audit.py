"""The audit of a book that comes by its stream without a checksum: it is compared with the venue's REST side.

The ids of changes and of the book of REST are times of one clock of the venue. So the book of REST is brought forward
by the changes behind its time, and compared when both books are at the same one.
"""

from typing import Final
from zlib import crc32

from flows.clock import Now
from flows.model import BookSnapshot, LineDelta, LineSnapshot
from flows.operators.books.audit import AUDITED_LEVELS
from flows.operators.books.line_book import LineBook
from flows.queries import BookQuery, QueryError

QUERIED_LEVELS: Final = 500
"""Levels a side of the book of REST: the compared ones are among them, whatever has changed since."""
MOST_CHANGES: Final = 100_000
"""Changes that are kept for the book of REST; with more, an audit ends without a result."""


class LineAudit:
    """Times are local, ms. An audit is under way from its query to its result."""

    def __init__(self, key: str, symbol: str, *, period_ms: int) -> None:
        """Audits take place each `period_ms`, those of different instruments at different times."""
        self._symbol = symbol
        self._period_ms = period_ms
        self._phase_ms = crc32(key.encode()) % period_ms
        self._changes: list[LineDelta] | None = None
        self._since = 0
        """Id of the book when they began."""
        self._found: BookSnapshot | None = None
        self.due: int | None = None
        """Time of the next audit; None while there is no book, or one is under way."""

    def schedule(self, now: Now) -> None:
        """There is a book: the next audit is at the next of this instrument's times."""
        self.stop()
        self.due = now.local + self._period_ms - (now.local - self._phase_ms) % self._period_ms

    def stop(self) -> None:
        """There is no book to compare."""
        self.due = self._changes = self._found = None

    def begin(self, book: LineBook) -> BookQuery:
        """Queries the book of REST."""
        self.due, self._changes, self._since = None, [], book.order
        return BookQuery(self._symbol, QUERIED_LEVELS, checks=True)

    def take(self, delta: LineDelta) -> None:
        """Notes a change that the book has taken."""
        if self._changes is not None and len(self._changes) <= MOST_CHANGES:
            self._changes.append(delta)

    def take_answer(self, answer: BookSnapshot | QueryError, now: Now) -> None:
        """Takes the book of REST. One from before the query cannot be brought forward; the next audit may."""
        if self._changes is None:
            return
        if isinstance(answer, QueryError) or answer.last_update_id < self._since:
            self.schedule(now)
        else:
            self._found = answer

    def compare(self, book: LineBook, now: Now) -> float | None:
        """The share of equal levels among the best `AUDITED_LEVELS` of both sides, once the book is at the time of the
        other one; None until then. With it the audit is over.
        """
        found, changes = self._found, self._changes
        if found is None or changes is None or book.order < found.last_update_id:
            return None
        self.schedule(now)
        if len(changes) > MOST_CHANGES:
            return None
        theirs = LineBook(LineSnapshot(self._symbol, found.last_update_id, found.bids, found.asks), None)
        for delta in changes:
            if delta.last_update_id > found.last_update_id:
                theirs.take(delta)
        pairs = ((book.bids, theirs.bids), (book.asks, theirs.asks))
        sides = [(ours.best(AUDITED_LEVELS), others.best(AUDITED_LEVELS)) for ours, others in pairs]
        most = sum(max(len(ours), len(others)) for ours, others in sides)
        return sum(len(set(ours) & set(others)) for ours, others in sides) / most if most else 1.0
