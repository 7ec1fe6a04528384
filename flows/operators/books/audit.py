"""The audit of an order book: it is compared with a fresh snapshot, which then takes its place."""

from flows.bounds import BookIds
from flows.clock import Now
from flows.model import BookDelta, BookSnapshot
from flows.operators.books.book import Book
from flows.operators.books.sync import BookSync
from flows.queries import BookQuery, QueryError

AUDITED_LEVELS = 100
"""Levels a side that an audit compares."""
VOID_MS = 5_000
"""Least time until the next audit when the snapshot of the last one was of no use."""


class Audit:
    """A second book of the instrument, from a newer snapshot and the same differences. Times are local, ms."""

    def __init__(self, symbol: str, ids: BookIds, *, depth: int, period_ms: int, phase_ms: int) -> None:
        """Audits take place each `period_ms`, `phase_ms` after its begin; `depth` is that of their snapshots."""
        self._symbol = symbol
        self._ids = ids
        self._depth = depth
        self._period_ms = period_ms
        self._phase_ms = phase_ms
        self._due = 0
        self._void_until = 0
        self.fresh: BookSync | None = None
        """The second book; None while no audit is under way."""

    @property
    def due(self) -> int | None:
        """Time of the next audit; None while one is under way."""
        return self._due if self.fresh is None else None

    def may_begin(self, now: Now) -> bool:
        """Whether an audit that is not due yet may begin."""
        return self.fresh is None and now.local >= self._void_until

    def begin(self, now: Now) -> BookQuery:
        """Queries the snapshot."""
        self.fresh = BookSync(self._ids, depth=self._depth)
        self.schedule(now)
        return BookQuery(self._symbol, self._depth, checks=True)

    def schedule(self, now: Now) -> None:
        """The next audit is at the next of this symbol's times."""
        self._due = now.local + self._period_ms - (now.local - self._phase_ms) % self._period_ms

    def stop(self) -> None:
        """The book that is compared is no longer in sync: there is nothing to compare."""
        self.fresh = None

    def take_snapshot(self, answer: BookSnapshot | QueryError, now: Now) -> bool:
        """Takes the snapshot. False when there is none, or it is of no use, or no audit is under way."""
        if self.fresh is None:
            return False
        if isinstance(answer, QueryError) or self.fresh.take_snapshot(answer):
            self._void(now)
            return False
        return True

    def take(self, delta: BookDelta, now: Now) -> None:
        """Takes a difference that the book in sync has taken too."""
        if self.fresh is not None and self.fresh.take(delta):
            self._void(now)

    def _void(self, now: Now) -> None:
        """The snapshot proves nothing; that of the next audit may."""
        self.fresh, self._void_until = None, now.local + VOID_MS

    def shows_newer(self, book: Book | None) -> bool:
        """Whether the snapshot is newer than a book that no difference has reached, and differs from it."""
        new = self.fresh.book if self.fresh is not None else None
        if book is None or new is None or new.update_id <= book.update_id:
            return False
        return book.similarity(new, AUDITED_LEVELS) < 1.0

    def compare(self, book: Book | None) -> float | None:
        """The share of equal levels, once both books are at the same update id; None until then."""
        new = self.fresh.book if self.fresh is not None else None
        if book is None or new is None or book.update_id != new.update_id:
            return None
        return book.similarity(new, AUDITED_LEVELS)

    def take_fresh(self, old: BookSync) -> BookSync:
        """Ends the audit: the second book goes on in place of the `old` one."""
        fresh, self.fresh = self.fresh, None
        if fresh is None:
            return old
        fresh.refused = old.refused  # both had the same input: each difference is refused once
        return fresh
