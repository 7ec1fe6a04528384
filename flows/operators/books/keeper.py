"""Step `order_books`: the order book of one instrument, the exchange's or marked as not being it.

    differences ─▶ wait ─▶ snapshot below them ─▶ in sync ─▶ best bid and ask, best levels
                    ▲                               │
                    └── a gap, a lost connection, a crossed book, a side of which nothing is known any more

A book in sync is compared from time to time with a fresh snapshot, which is brought forward by the same differences and
then takes its place: so what the exchange does not report any more goes, and the known part is in the middle again.
The same deepens a book that began with few levels, as soon as its price comes near the end of them.
"""

from typing import NamedTuple, TypeGuard
from zlib import crc32

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    BookDelta,
    BookInput,
    BookSnapshot,
    BookTicker,
    ConnectionEvent,
    Disconnected,
    Incident,
    Instrument,
    LineSnapshot,
    Removed,
    Silent,
    Speaking,
    TradesRefused,
)
from flows.operators.books.audit import AUDITED_LEVELS, Audit
from flows.operators.books.book import Book
from flows.operators.books.display import BookDisplay
from flows.operators.books.results import Results
from flows.operators.books.sync import BookSync
from flows.operators.delay import doubled_ms
from flows.operators.parse import Batch, InstrumentEvent, Validated
from flows.operators.refusals import rejected
from flows.queries import BookQuery, Query, QueryError, RenewQuery

RETRY_MIN_MS = 1_000
"""First delay before a snapshot is queried again; doubles with each failure."""
RETRY_MAX_MS = 60_000
"""Longest delay."""
STEADY_MS = 10_000
"""A book that was in sync for so long starts over at once when it must."""
DOUBT_MS = 1_000
"""A difference that does not follow is believed when none has come behind it for so long, local time."""


class BookPolicy(NamedTuple):
    """How books are kept and shown."""

    levels: int = 20
    """Levels a side that are shown."""
    every_ms: int = 100
    """Least time between two views of a book."""
    depth: int = 500
    """Levels a side of a snapshot; no more are kept."""
    first_depth: int | None = None
    """Levels a side of the snapshot that a book begins with, if not as many: what costs little is there soon."""
    audit_ms: int = 600_000
    """Time between two audits."""
    audit_least_share: float = 0.95
    """Less than this share of equal levels, and the book was wrong."""


def book_events(items: list[Validated]) -> list[tuple[str, BookInput]]:
    """What books are kept from, by instrument: differences, best bid and ask, lost connections, and ends of streams."""
    out: list[tuple[str, BookInput]] = []
    for item in items:
        if type(item) is Batch:
            if isinstance(item.events[0], BookDelta | BookTicker | LineSnapshot):
                out.append((item.key, item.events))  # type: ignore[arg-type] # the events of a batch are of one type
        elif type(item) is InstrumentEvent and _concerns(item.event):
            out.append((item.key, item.event))
    return out


def _concerns(event: ConnectionEvent | TradesRefused) -> TypeGuard[Disconnected | Removed | Silent | Speaking]:
    match event:
        case Removed():
            return "depth" in event.kinds or (event.is_gone and "bookTicker" in event.kinds)
        case Silent() | Speaking():
            return "depth" in event.kinds
    return type(event) is Disconnected


class BookKeeper:
    """Machine of one instrument. Takes book deltas, book tickers and connection events; gives `BookView`, `BookTicker`,
    `Incident` and `BookQuery`. Nothing is recovered: after a restart there is a new snapshot.

    `BookTicker` comes at each change of best bid or ask, from the venue's own or from the book, whichever is newer.
    """

    def __init__(self, key: str, *, policy: BookPolicy, rules: VenueRules = ANY_VENUE) -> None:
        self._venue, self._symbol = Instrument.of(key)
        self._rules = rules
        self._policy = policy
        self._first_depth = policy.first_depth or policy.depth
        self._sync = self._begun()
        # the phase is by symbol, so that not all are audited at once
        phase_ms = crc32(key.encode()) % policy.audit_ms
        self._audit = Audit(
            self._symbol, rules.book_ids, depth=policy.depth, period_ms=policy.audit_ms, phase_ms=phase_ms
        )
        self._is_queried = False
        self._query_at: int | None = None
        self._failures = 0
        self._synced_at = 0
        self._display = BookDisplay(self._venue, self._symbol, levels=policy.levels, every_ms=policy.every_ms)
        self._doubt_since: int | None = None
        self._is_silent = False
        self._time = 0

    # --- the machine's face ---

    def on_events(self, events: BookInput, now: Now) -> Results:
        """Takes one item of the step before."""
        out: Results = []
        match events:  # all of a list are of one type
            case [BookDelta(), *_]:
                self._take_deltas(events, now, out)  # type: ignore[arg-type]
            case [BookTicker(), *_]:
                for ticker in events:
                    self._display.best.take(ticker, now, out)  # type: ignore[arg-type]
            case Disconnected(line=line) if self._rules.book_line in ("", line):
                self._start_over(out)
                self._display.best.reset()
            case Silent():
                self._is_silent = True
                if self._sync.book is not None and self._audit.fresh is None:
                    out.append(self._audit.begin(now))
            case Speaking():
                self._is_silent = False
        return out

    def on_answer(self, query: Query, answer: BookSnapshot | QueryError, now: Now) -> Results:
        """A snapshot, or why there is none."""
        out: Results = []
        if not isinstance(query, BookQuery):
            return out  # the source renews the stream; there is nothing to do here
        if query.checks:
            self._take_fresh(answer, now, out)
        else:
            self._take_snapshot(answer, now, out)
        return out

    def on_timer(self, now: Now) -> Results:
        """Shows what has changed, queries what is due."""
        out: Results = []
        if self._query_at is not None and now.local >= self._query_at:
            self._query_at = None
            if self._sync.is_waiting:  # else the next difference queries
                self._query(out)
        if self._doubt_since is not None and now.local - self._doubt_since >= DOUBT_MS:
            self._doubt_since = None
            if fault := self._sync.give_up_doubt():
                self._fall(fault, now, out)
        book = self._sync.book
        if book is not None:
            audit_at = self._audit.due
            if audit_at is not None and now.local >= audit_at:
                out.append(self._audit.begin(now))
            if self._display.is_dirty:
                self._check(book, now, out)
        return out

    def on_end(self, now: Now) -> Results:
        """The input ends: the book as it is."""
        out: Results = []
        if self._sync.book is not None and self._display.is_dirty:
            self._display.hurry(now)
            self._check(self._sync.book, now, out)
        return [item for item in out if not isinstance(item, Query)]

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        waits = [] if self._doubt_since is None else [self._doubt_since + DOUBT_MS]
        if self._query_at is not None:
            waits.append(self._query_at)
        if self._sync.book is not None:
            if (audit_at := self._audit.due) is not None:
                waits.append(audit_at)
            if (shown_at := self._display.due) is not None:
                waits.append(shown_at)
        return max(0, min(waits) - now.local) if waits else None

    def snapshot(self) -> None:
        """Nothing: a book is rebuilt from a snapshot."""

    # --- differences ---

    def _take_deltas(self, deltas: list[BookDelta], now: Now, out: Results) -> None:
        self._time = deltas[-1].event_time
        before = self._sync.book.update_id if self._sync.book is not None else None
        for delta in deltas:
            fault = self._sync.take(delta)
            if fault:
                self._fall(fault, now, out)
                self._sync.take(delta)
            elif self._audit.fresh is not None:
                self._audit.take(delta, now)
                self._compare(out)
        if self._sync.is_in_doubt or self._doubt_since is not None or self._sync.refused:
            self._note_doubt(now, out)
        book = self._sync.book
        if book is not None and (book.update_id != before or self._display.is_dirty):
            self._display.is_dirty = True
            self._check(book, now, out)
        if book is None and not self._display.is_announced:
            self._display.withdraw(out)
        if self._sync.is_waiting and not self._is_queried and self._query_at is None:
            self._query(out)

    def _note_doubt(self, now: Now, out: Results) -> None:
        """Differences that nothing followed are refused; one that waits for a successor does not wait for ever."""
        sync = self._sync
        for delta in sync.refused:
            self._refuse(delta, "a difference of a book that nothing followed", out)
        sync.refused.clear()
        if not sync.is_in_doubt:
            self._doubt_since = None
        elif self._doubt_since is None:
            self._doubt_since = now.local

    def _refuse(self, event: BookDelta | BookTicker, reason: str, out: Results) -> None:
        out.append(rejected(self._venue, event, reason))

    def _check(self, book: Book, now: Now, out: Results) -> None:
        """Whether the book can be the exchange's; if so it may be shown."""
        count = self._display.levels(now)
        bids, asks = book.bids.best(count), book.asks.best(count)
        if bids and asks and bids[0][0] >= asks[0][0]:
            self._fall(f"the book is crossed: bid {bids[0][0]}, ask {asks[0][0]}", now, out)
            return
        if not (bids or book.bids.is_whole) or not (asks or book.asks.is_whole):
            self._begin_anew(now, out)  # the price has left the part that is known: nothing went wrong
            return
        self._display.show(book.update_id, book.event_time, bids, asks, now, out)
        nears_end = (bids and book.bids.nears_end(bids[0][0])) or (asks and book.asks.nears_end(asks[0][0]))
        if nears_end and self._audit.may_begin(now):
            out.append(self._audit.begin(now))

    # --- starting over ---

    def _begun(self) -> BookSync:
        return BookSync(self._rules.book_ids, depth=self._first_depth)

    def _fall(self, fault: str, now: Now, out: Results) -> None:
        """A book that was in sync is not any more."""
        out.append(self._incident(fault, "a new snapshot is fetched"))
        self._begin_anew(now, out)

    def _begin_anew(self, now: Now, out: Results) -> None:
        if now.local - self._synced_at >= STEADY_MS:
            self._failures = 0
        self._start_over(out)
        self._query_later(now)

    def _start_over(self, out: Results) -> None:
        if self._sync.book is not None:
            self._display.withdraw(out)
        refused = self._sync.refused  # what was found in this batch is not reported yet
        self._sync, self._doubt_since = self._begun(), None
        self._sync.refused = refused
        self._audit.stop()
        self._display.is_dirty = self._is_queried = False
        self._query_at = None

    def _query(self, out: Results) -> None:
        """Queries the first snapshot."""
        self._is_queried = True
        out.append(BookQuery(self._symbol, self._first_depth))

    def _query_later(self, now: Now) -> None:
        """At once the first time, then with a growing delay."""
        delay = doubled_ms(RETRY_MIN_MS, self._failures, longest_ms=RETRY_MAX_MS)
        self._failures += 1
        self._is_queried, self._query_at = False, now.local + delay

    def _take_snapshot(self, answer: BookSnapshot | QueryError, now: Now, out: Results) -> None:
        if not self._sync.is_waiting:
            self._is_queried = False  # it has a book, or the connection was lost: the next difference queries
            return
        if isinstance(answer, QueryError) or self._sync.take_snapshot(answer):
            self._failures = max(self._failures, 1)
            self._query_later(now)
            return
        book = self._sync.book
        assert book is not None  # noqa: S101 - the snapshot fits
        self._is_queried, self._query_at = False, None
        self._synced_at = now.local
        self._audit.schedule(now)
        self._display.hurry(now)
        self._check(book, now, out)

    # --- audit ---

    def _take_fresh(self, answer: BookSnapshot | QueryError, now: Now, out: Results) -> None:
        if not self._audit.take_snapshot(answer, now):
            return
        if self._is_silent and self._audit.shows_newer(self._sync.book):
            self._fall("its stream says nothing, and the exchange's book is another one", now, out)
            out.append(RenewQuery(self._symbol, ("depth",), "its book has moved on"))
        else:
            self._compare(out)

    def _compare(self, out: Results) -> None:
        """Ends the audit as soon as both books are at the same update id."""
        share = self._audit.compare(self._sync.book)
        if share is None:
            return
        self._sync, self._display.is_dirty = self._audit.take_fresh(self._sync), True
        if share < self._policy.audit_least_share:
            cause = f"audit: {share:.1%} of the best {AUDITED_LEVELS} levels were the exchange's"
            out.append(self._incident(cause, "the snapshot has taken its place"))

    def _incident(self, cause: str, outcome: str) -> Incident:
        return Incident("resync", self._venue, self._symbol, self._time, self._time, cause, outcome)
