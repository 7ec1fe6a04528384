"""Step `order_books` where a book's snapshot comes by its stream: the venue's book, or marked as not being it.

    stream ─▶ snapshot ─▶ changes, each checked where the venue sends a checksum ─▶ best bid and ask, best levels
      ▲                      │
      └── subscribed anew ◀──┴── a checksum that differs, a crossed book, changes without a snapshot, an audit

Without checksums the book is compared with REST from time to time. A book is shown only while it is right: not between
a fault and the next snapshot.
"""

from typing import Final

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    BookInput,
    BookSnapshot,
    BookTicker,
    Disconnected,
    Incident,
    Instrument,
    LineDelta,
    LineSnapshot,
)
from flows.operators.books.audit import AUDITED_LEVELS
from flows.operators.books.display import BookDisplay
from flows.operators.books.line_audit import LineAudit
from flows.operators.books.line_book import LineBook
from flows.operators.books.results import Results
from flows.operators.delay import doubled_ms
from flows.queries import BookQuery, Query, QueryError, RenewQuery

RENEW_MIN_MS: Final = 10_000
"""Least local time from one renewal of the stream to the next; doubles while no book stays right."""
RENEW_MAX_MS: Final = 120_000
STEADY_MS: Final = 60_000
"""A book that was right for so long was not the last one's successor in failure: the next fault renews at once."""


class LineBookKeeper:
    """Machine of one instrument. Takes snapshots and changes of a stream, book tickers and lost connections; gives
    `BookView`, `BookTicker`, `Incident` and `RenewQuery`. Nothing is recovered: a new stream begins with a snapshot.

    `BookTicker` comes at each change of best bid or ask, from the venue's own or from the book, whichever is newer.
    """

    def __init__(
        self,
        key: str,
        *,
        levels: int,
        every_ms: int,
        rules: VenueRules = ANY_VENUE,
        audit_ms: int = 600_000,
        audit_least_share: float = 0.95,
    ) -> None:
        """At most `levels` a side are shown, every `every_ms`. Where the venue sends no checksums, an audit takes place
        each `audit_ms`, and a book with less than `audit_least_share` of equal levels was wrong.
        """
        self._venue, self._symbol = Instrument.of(key)
        self._rules = rules
        self._display = BookDisplay(self._venue, self._symbol, levels=levels, every_ms=every_ms)
        self._audit = None if rules.book_checksum else LineAudit(key, self._symbol, period_ms=audit_ms)
        self._audit_least_share = audit_least_share
        self._book: LineBook | None = None
        self._number = 0
        """Update id of the views: the order of the messages, and never the same twice."""
        self._time = 0
        self._right_since = 0
        self._renewals = 0
        self._renew_at: int | None = None
        """When the stream is to be subscribed anew, unless a snapshot comes before; local time."""
        self._cause = ""

    # --- the machine's face ---

    def on_events(self, events: BookInput, now: Now) -> Results:
        """Takes one item of the step before."""
        out: Results = []
        match events:  # all of a list are of one type
            case [LineSnapshot(), *_]:
                for snapshot in events:
                    self._take_snapshot(snapshot, now, out)  # type: ignore[arg-type]
                self._look(now, out)
            case [LineDelta(), *_]:
                self._take_deltas(events, now, out)  # type: ignore[arg-type]
            case [BookTicker(), *_]:
                for ticker in events:
                    self._display.best.take(ticker, now, out)  # type: ignore[arg-type]
            case Disconnected(line=line) if self._rules.book_line in ("", line):
                self._let_go(out)
                self._renew_at = None  # a new connection begins with a snapshot
                self._display.best.reset()
        return out

    def on_answer(self, query: Query, answer: BookSnapshot | QueryError | None, now: Now) -> Results:
        """The book of an audit. What follows a request to renew shows in the stream."""
        out: Results = []
        if isinstance(query, BookQuery) and self._audit is not None and answer is not None:
            if refusal := self._audit.take_answer(answer, now):
                cause, outcome = f"audit: REST gave {refusal}", "kept out of everything"
                out.append(Incident("reject", self._venue, self._symbol, self._time, now.feed, cause, outcome))
            self._compare(self._audit, now, out)
        return out

    def on_timer(self, now: Now) -> Results:
        """Shows what has changed; renews a stream that has brought no snapshot."""
        out: Results = []
        if self._renew_at is not None and now.local >= self._renew_at:
            self._renew(now, out)
        audit, book = self._audit, self._book
        query = None if audit is None or book is None else audit.next_query(book, now)
        if query is not None:
            out.append(query)
        if self._display.is_dirty:
            self._look(now, out)
        return out

    def on_end(self, now: Now) -> Results:
        """The input ends: the book as it is."""
        out: Results = []
        if self._display.is_dirty:
            self._display.hurry(now)
            self._look(now, out)
        return [item for item in out if not isinstance(item, Query)]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        audit_at = None if self._audit is None else self._audit.due
        waits = [at for at in (self._display.due, self._renew_at, audit_at) if at is not None]
        return max(0, min(waits) - now.local) if waits else None

    def snapshot(self) -> None:
        """Nothing: a book begins with the stream's snapshot."""

    # --- messages ---

    def _take_snapshot(self, snapshot: LineSnapshot, now: Now, out: Results) -> None:
        """Begins anew from a snapshot; one that is older than the book is of a connection that takes over later."""
        book, order = self._book, snapshot.last_update_id
        if book is not None and order and order < book.order:
            return
        book = LineBook(snapshot, self._rules.book_checksum)
        self._time = snapshot.event_time
        if fault := book.fault(snapshot.check):
            self._fall(fault, now, out)
            return
        if self._book is None:
            self._right_since = now.local
        self._book, self._renew_at = book, None
        if self._audit is not None and book.order:
            self._audit.schedule(now)
        self._display.hurry(now)
        self._number = max(self._number + 1, book.order)

    def _take_deltas(self, deltas: list[LineDelta], now: Now, out: Results) -> None:
        self._time = deltas[-1].event_time
        for delta in deltas:
            book = self._book
            if book is None:
                break  # until the snapshot comes, changes say nothing
            if fault := book.take(delta):
                self._fall(fault, now, out)
            elif self._audit is not None:
                self._audit.take(delta)
                self._compare(self._audit, now, out)
        if self._book is None:
            self._wait(now, out)
            return
        self._number = max(self._number + 1, self._book.order)
        self._display.is_dirty = True
        self._look(now, out)

    def _look(self, now: Now, out: Results) -> None:
        """Shows the book, unless it cannot be the venue's."""
        book = self._book
        if book is None:
            return
        count = self._display.levels(now)
        bids, asks = book.bids.best(count), book.asks.best(count)
        if bids and asks and bids[0][0] >= asks[0][0]:
            self._fall(f"the book is crossed: bid {bids[0][0]}, ask {asks[0][0]}", now, out)
            return
        self._display.show(self._number, book.event_time, bids, asks, now, out)

    def _compare(self, audit: LineAudit, now: Now, out: Results) -> None:
        """Ends the audit as soon as both books are at the same time."""
        share = None if self._book is None else audit.compare(self._book, now)
        if share is not None and share < self._audit_least_share:
            self._fall(f"audit: {share:.1%} of the best {AUDITED_LEVELS} levels were the exchange's", now, out)

    # --- faults ---

    def _wait(self, now: Now, out: Results) -> None:
        """Changes came, and no snapshot."""
        if not self._display.is_announced:
            self._display.withdraw(out)
        if self._renew_at is None:
            self._cause, self._renew_at = "changes of a book come without a snapshot", now.local + RENEW_MIN_MS

    def _fall(self, fault: str, now: Now, out: Results) -> None:
        """The book is not the venue's: it is withdrawn, and its stream is subscribed anew."""
        outcome = "its stream is subscribed anew"
        out.append(Incident("resync", self._venue, self._symbol, self._time, self._time, fault, outcome))
        if self._book is not None and now.local - self._right_since >= STEADY_MS:
            self._renewals, self._renew_at = 0, None
        self._let_go(out)
        self._cause = fault
        if self._renew_at is None and not self._renewals:
            self._renew(now, out)
        elif self._renew_at is None:
            self._renew_at = now.local + self._pause_ms

    def _let_go(self, out: Results) -> None:
        if self._book is not None or not self._display.is_announced:
            self._display.withdraw(out)
        self._book = None
        if self._audit is not None:
            self._audit.stop()

    def _renew(self, now: Now, out: Results) -> None:
        out.append(RenewQuery(self._symbol, ("depth",), self._cause))
        self._renewals += 1
        self._renew_at = now.local + self._pause_ms

    @property
    def _pause_ms(self) -> int:
        return doubled_ms(RENEW_MIN_MS, self._renewals, longest_ms=RENEW_MAX_MS)
