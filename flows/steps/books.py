"""Order books."""

from dataclasses import dataclass
from functools import partial
from typing import final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.bounds import VenueRules
from flows.clock import FeedClock
from flows.machine import QueryRunner, machine
from flows.model import BookResult, BookTicker, BookView, Incident, Rejected, Removed
from flows.operators.books.keeper import BookKeeper, BookPolicy, book_events
from flows.operators.books.line_keeper import LineBookKeeper
from flows.operators.parse import Validated
from flows.operators.status.observations import BookSyncs, Unsynced
from flows.settings import Books
from flows.steps.streams import pick, select


@final
@dataclass(frozen=True)
class BookStreams:
    """What is made of the differences of order books."""

    views: Stream[BookView | BookTicker]
    """The best levels, and the best bid and ask."""
    synced: Stream[Unsynced]
    incidents: Stream[Incident]
    rejected: Stream[Rejected]


def order_books(
    step_id: str,
    events: Stream[Validated],
    books: Books,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner | None,
) -> BookStreams | None:
    """The order book of each instrument; without a `runner` there is none, as its snapshot is queried."""
    return _order_books(step_id, events, books, clock, rules, runner) if runner else None


@operator
def _order_books(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    events: Stream[Validated],
    books: Books,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner,
) -> BookStreams:
    build = partial(order_book, books=books, rules=rules)
    results: KeyedStream[BookResult | Removed] = machine("book", events, build, clock, runner, by_key=book_events)
    rare: Stream[Incident | Rejected] = pick("rare", results, Incident, Rejected)
    return BookStreams(
        views=op.flat_map_batch("views", results, _views),
        synced=op.flat_map_batch("synced", results, BookSyncs()),
        incidents=select("incidents", rare, Incident),
        rejected=select("rejected", rare, Rejected),
    )


def order_book(key: str, _: object, *, books: Books, rules: VenueRules) -> BookKeeper | LineBookKeeper:
    """The order book of one instrument."""
    if rules.has_books_on_line:
        return LineBookKeeper(
            key,
            levels=books.levels,
            every_ms=books.every_ms,
            rules=rules,
            audit_ms=int(books.audit_s * 1_000),
            audit_least_share=books.audit_least_share,
        )
    policy = BookPolicy(
        levels=books.levels,
        every_ms=books.every_ms,
        depth=books.depth,
        first_depth=books.first_depth if books.levels <= books.first_depth else books.depth,
        audit_ms=int(books.audit_s * 1_000),
        audit_least_share=books.audit_least_share,
    )
    return BookKeeper(key, policy=policy, rules=rules)


def _views(items: list[tuple[str, BookResult | Removed]]) -> list[BookView | BookTicker]:
    return [value for _, value in items if isinstance(value, BookView | BookTicker)]
