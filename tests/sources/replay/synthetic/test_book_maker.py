from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.synthetic.book_maker import Ladder


def ladder(seed: int, *, chained: bool = True) -> Ladder:
    return Ladder(Random(seed), ticks=10_000, order_lots=50.0, update_id=1_000, chained=chained)


@pytest.mark.parametrize("chained", [True, False])
@given(seed=st.integers(0, 2**32), fairs=st.lists(st.floats(9_000, 11_000), min_size=1, max_size=12))
def test_diffs_carry_the_book_and_chain(seed: int, fairs: list[float], *, chained: bool) -> None:
    book = ladder(seed, chained=chained)
    sides = {True: dict(book.bids.levels()), False: dict(book.asks.levels())}
    previous = 1_000 if chained else None
    last_id = book.last_diff_id
    for turn, fair in enumerate(fairs):
        book.follow(fair)
        for order in range(5):
            top = book.top()
            assert top.bid < top.ask
            price, got = book.take(buy=bool(order % 2), lots=40 + turn)
            assert price == (top.ask if order % 2 else top.bid)
            assert 0 < got <= (top.ask_lots if order % 2 else top.bid_lots)
        diff = book.take_diff()
        assert diff is not None
        assert diff.previous_id == last_id
        assert diff.first_id <= diff.last_id
        assert diff.first_id == last_id + 1 if chained else diff.first_id > last_id
        last_id = diff.last_id
        for is_bid, changes in ((True, diff.bids), (False, diff.asks)):
            for tick, lots in changes:
                if lots:
                    sides[is_bid][tick] = lots
                else:
                    sides[is_bid].pop(tick, None)
        assert sides == {True: dict(book.bids.levels()), False: dict(book.asks.levels())}
        top = book.top()
        assert (top.bid, top.ask) == (max(sides[True]), min(sides[False]))
    assert previous is None or last_id > previous


def test_the_top_follows_the_fair_price() -> None:
    book = ladder(1)
    for fair in (10_400.5, 9_600.2):
        book.follow(fair)
        assert (book.top().bid, book.top().ask) == (int(fair), int(fair) + 1)


def test_sides_are_bounded() -> None:
    book = ladder(3)
    for step in range(400):
        book.follow(10_000 + step * 5)
    assert max(len(book.bids), len(book.asks)) <= 1_500
    assert min(len(book.bids), len(book.asks)) >= 100


def test_no_change_no_diff() -> None:
    assert ladder(1).take_diff() is None
