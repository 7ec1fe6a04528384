"""A book without checksums is compared with REST, at the same time of the venue."""

from typing import Any

import pytest

from flows.bounds import VenueRules
from flows.clock import Now
from flows.model import BookSnapshot, BookView, Incident, Level, LineDelta, LineSnapshot
from flows.operators.books.line_audit import LONGEST_MS, MOST_AHEAD_MS
from flows.operators.books.line_keeper import LineBookKeeper
from flows.queries import BookQuery, QueryError, RenewQuery

RULES = VenueRules(book_line="books", has_books_on_line=True)
PERIOD = 60_000
BIDS: list[Level] = [(100.0 - n, 1.0) for n in range(50)]
ASKS: list[Level] = [(101.0 + n, 1.0) for n in range(50)]


class Kept:
    """A keeper whose book began at id 1,000."""

    def __init__(self) -> None:
        self.keeper = LineBookKeeper("coinbase:BTC-USD", levels=2, every_ms=0, rules=RULES, audit_ms=PERIOD)
        self.local = 0
        self.take(LineSnapshot("BTC-USD", 1_000, BIDS, ASKS, 1))

    def take(self, event: LineSnapshot | LineDelta) -> list[Any]:
        return [*self.keeper.on_events([event], Now(0, self.local))]  # type: ignore[arg-type]

    def change(self, order: int, *bids: Level) -> list[Any]:
        return self.take(LineDelta("BTC-USD", 1, order, order, [*bids], []))

    def query(self) -> BookQuery:
        due = self.keeper.due_in(Now(0, self.local))
        assert due is not None
        assert due <= PERIOD
        self.local += due
        [query] = [item for item in self.keeper.on_timer(Now(0, self.local)) if isinstance(item, BookQuery)]
        assert query.checks
        return query

    def answer(self, query: BookQuery, order: int, bids: list[Level]) -> list[Any]:
        return self.answer_at(query, order, bids, 1)

    def answer_at(self, query: BookQuery, order: int, bids: list[Level], time: int) -> list[Any]:
        snapshot = BookSnapshot("BTC-USD", order, bids, ASKS, time)
        return [*self.keeper.on_answer(query, snapshot, Now(0, self.local))]


def test_a_book_whose_time_never_comes_ends_the_audit_without_a_result() -> None:
    kept = Kept()
    query = kept.query()
    assert kept.answer(query, 10**18, []) == []
    assert kept.keeper.due_in(Now(0, kept.local)) == LONGEST_MS
    kept.change(2_000, (100.0, 2.0))
    kept.local += LONGEST_MS
    assert [item for item in kept.keeper.on_timer(Now(0, kept.local)) if isinstance(item, BookQuery)] == []
    assert kept.query() == query
    assert falls(kept.answer(query, 2_000, [(100.0, 2.0), *BIDS[1:]])) == []
    assert kept.query() == query


@pytest.mark.parametrize(("ahead_ms", "is_refused"), [(MOST_AHEAD_MS, False), (MOST_AHEAD_MS + 1, True)])
def test_a_book_ahead_of_the_exchanges_time_is_no_witness(ahead_ms: int, is_refused: bool) -> None:
    kept = Kept()
    query = kept.query()
    out = kept.answer_at(query, 2_000, [], ahead_ms)
    assert [item.kind for item in out if isinstance(item, Incident)] == ["reject"] * is_refused
    if is_refused:
        assert falls(kept.change(2_000, (100.0, 2.0))) == []
        assert kept.query() == query
    else:
        [fall] = falls(kept.change(2_000, (100.0, 2.0)))
        assert fall.startswith("audit: ")


def falls(out: list[Any]) -> list[str]:
    return [item.cause for item in out if isinstance(item, Incident)]


def test_a_book_that_is_the_exchanges_stays_and_the_next_audit_follows() -> None:
    kept = Kept()
    query = kept.query()
    kept.change(2_000, (100.0, 2.0))
    kept.change(3_000, (99.0, 0.0))
    assert falls(kept.answer(query, 2_000, [(100.0, 2.0), *BIDS[1:]])) == []
    assert kept.query() == query


@pytest.mark.parametrize("is_newer", [False, True])
def test_a_book_that_lacks_levels_of_the_exchange_falls(is_newer: bool) -> None:
    kept = Kept()
    query = kept.query()
    wrong = [(price, 7.0) for price, _ in BIDS[:20]] + BIDS[20:]
    kept.change(2_000, (100.0, 2.0))
    out = kept.answer(query, 5_000 if is_newer else 1_500, wrong)
    if is_newer:
        assert falls(out) == [], "the book is not there yet"
        assert falls(kept.change(4_000, (100.0, 2.0))) == []
        out = kept.change(5_000, (100.0, 2.0))
    share = "80.0%" if is_newer else "81.0%"  # the change behind the book of REST made one of its levels right
    assert falls(out) == [f"audit: {share} of the best 100 levels were the exchange's"]
    assert [item.kinds for item in out if isinstance(item, RenewQuery)] == [("depth",)]
    assert [item.synced for item in out if isinstance(item, BookView)] == [False]


@pytest.mark.parametrize("answer", ["older", "error"])
def test_an_answer_that_proves_nothing_changes_nothing(answer: str) -> None:
    kept = Kept()
    query = kept.query()
    if answer == "older":
        assert kept.answer(query, 999, []) == []
    else:
        assert kept.keeper.on_answer(query, QueryError("busy"), Now(0, kept.local)) == []
    assert kept.change(2_000, (100.0, 2.0))
    assert kept.query() == query
