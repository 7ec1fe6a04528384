from collections.abc import Sequence
from zlib import crc32

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Struct

from flows.model import BookCheck, Level, LineDelta, LineSnapshot
from flows.operators.books.line_book import LineBook

SYMBOL = "BTC-USD"


class Joined(Struct, frozen=True):
    """A checksum like a venue's, of the best three levels."""

    levels: int = 3

    def of(self, bids: Sequence[str], asks: Sequence[str]) -> int:
        return crc32("|".join((*bids, *asks)).encode())


CHECKSUM = Joined()


def texts(levels: list[Level]) -> list[str]:
    return [f"{price}x{quantity}" for price, quantity in levels]


def check(bids: list[Level], asks: list[Level], *, best: tuple[list[Level], list[Level]] | None = None) -> BookCheck:
    """A check with the texts of a message, and the checksum of the book after it."""
    best_bids, best_asks = best or (bids, asks)
    return BookCheck(CHECKSUM.of(texts(best_bids[:3]), texts(best_asks[:3])), texts(bids), texts(asks))


def snapshot(bids: list[Level], asks: list[Level], *, depth: int = 0, at: int = 0) -> LineSnapshot:
    return LineSnapshot(SYMBOL, at, bids, asks, at // 1_000, depth, check(bids, asks))


def delta(bids: list[Level], asks: list[Level], *, at: int = 0, proof: BookCheck | None = None) -> LineDelta:
    return LineDelta(SYMBOL, at // 1_000, at, at, bids, asks, check=proof)


def test_changes_are_checked_against_the_whole_book_after_them() -> None:
    book = LineBook(snapshot([(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0)], at=5), CHECKSUM)
    changed: list[Level] = [(9.5, 4.0)]
    right = check(changed, [], best=([(9.5, 4.0), (9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0)]))
    assert book.take(delta(changed, [], at=6, proof=right)) == ""
    wrong = check([(9.0, 0.0)], [], best=([(9.5, 4.0)], [(10.0, 1.0)]))
    assert book.take(delta([(9.0, 0.0)], [], at=7, proof=wrong)).startswith("the book's checksum is")


def test_a_snapshot_is_checked_too() -> None:
    whole = snapshot([(9.0, 1.0)], [(10.0, 1.0)])
    assert LineBook(whole, CHECKSUM).fault(whole.check) == ""
    assert LineBook(whole, CHECKSUM).fault(BookCheck(1, [], [])) != ""
    assert LineBook(whole, None).fault(BookCheck(1, [], [])) == ""


def test_what_is_pushed_out_of_the_depth_does_not_come_back() -> None:
    book = LineBook(snapshot([(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0), (11.0, 1.0)], depth=2), CHECKSUM)
    book.take(delta([(9.5, 1.0)], [(9.8, 1.0)]))
    book.take(delta([(9.5, 0.0)], [(9.8, 0.0)]))
    assert book.bids.best(5) == [(9.0, 1.0)]
    assert book.asks.best(5) == [(10.0, 1.0)]
    book.take(delta([(8.0, 3.0)], [(11.0, 3.0)]))
    assert book.bids.best(5) == [(9.0, 1.0), (8.0, 3.0)]
    assert book.asks.best(5) == [(10.0, 1.0), (11.0, 3.0)]


def test_an_older_message_and_the_same_one_again_change_nothing() -> None:
    book = LineBook(snapshot([(9.0, 1.0)], [(10.0, 1.0)], at=100), None)
    first, second = delta([(9.0, 2.0)], [], at=200), delta([(9.0, 3.0)], [], at=200)
    for message in (first, second, first, second, delta([(9.0, 7.0)], [], at=150)):
        book.take(message)
    assert book.bids.best(1) == [(9.0, 3.0)]
    assert book.order == 200


def test_messages_without_an_order_are_taken_as_they_come() -> None:
    book = LineBook(snapshot([(9.0, 1.0)], [(10.0, 1.0)]), None)
    for quantity in (2.0, 3.0, 2.0):
        book.take(delta([(9.0, quantity)], []))
    assert book.bids.best(1) == [(9.0, 2.0)]


LEVELS = st.lists(st.tuples(st.integers(1, 40).map(float), st.integers(0, 3).map(float)), max_size=6)


@given(st.lists(LEVELS, max_size=30), st.sampled_from([2, 5, 10, 40]))
def test_the_book_is_the_one_of_a_plain_list_cut_after_each_message(changes: list[list[Level]], depth: int) -> None:
    plain: dict[float, float] = {}
    book = LineBook(snapshot([], [], depth=depth), CHECKSUM)
    for levels in changes:
        for price, quantity in levels:
            plain.pop(price, None)
            if quantity:
                plain[price] = quantity
        plain = dict(sorted(plain.items(), reverse=True)[:depth])
        best = [*plain.items()]
        assert book.take(delta(levels, [], proof=check(levels, [], best=(best, [])))) == ""
        assert book.bids.best(depth) == best
