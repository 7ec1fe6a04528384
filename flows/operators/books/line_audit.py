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
MOST_AHEAD_MS: Final = 5_000
"""The book of REST may be so much ahead of the venue's time, as its messages have said it."""
LONGEST_MS: Final = 60_000
"""Longest local time from the answer of REST until the book is at its time; then an audit ends without a result."""
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
        """Time of the next audit, or of the end of one whose book has not come to the time of REST; None while there is
        no book, or REST is queried.
        """

    def schedule(self, now: Now) -> None:
        """There is a book: the next audit is at the next of this instrument's times."""
        self.stop()
        self.due = now.local + self._period_ms - (now.local - self._phase_ms) % self._period_ms

    def stop(self) -> None:
        """There is no book to compare."""
        self.due = self._changes = self._found = None

    def next_query(self, book: LineBook, now: Now) -> BookQuery | None:
        """Queries the book of REST when that is due; an audit that has not ended by then ends without a result."""
        if self.due is None or now.local < self.due:
            return None
        if self._found is not None:
            self.schedule(now)
            return None
        self.due, self._changes, self._since = None, [], book.order
        return BookQuery(self._symbol, QUERIED_LEVELS, checks=True)

    def take(self, delta: LineDelta) -> None:
        """Notes a change that the book has taken."""
        if self._changes is not None and len(self._changes) <= MOST_CHANGES:
            self._changes.append(delta)

    def take_answer(self, answer: BookSnapshot | QueryError, now: Now) -> str:
        """Takes the book of REST; gives why it is refused, empty when it is not. One from before the query cannot be
        brought forward; the next audit may.
        """
        if self._changes is None:
            return ""
        if isinstance(answer, QueryError) or answer.last_update_id < self._since:
            self.schedule(now)
        elif answer.event_time > now.feed + MOST_AHEAD_MS:
            self.schedule(now)
            return f"a book {answer.event_time - now.feed} ms ahead of the venue's time"
        else:
            self._found, self.due = answer, now.local + LONGEST_MS
        return ""

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
