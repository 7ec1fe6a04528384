from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.operators.books.ladder import Ladder
from tests.fakes.examples import examples


def ladder(*levels: tuple[float, float], is_bids: bool = True, depth: int = 100) -> Ladder:
    return Ladder(list(levels), is_bids=is_bids, depth=depth)


def test_bids_begin_with_the_highest_and_asks_with_the_lowest() -> None:
    assert ladder((9.0, 1.0), (8.0, 2.0), (7.0, 3.0)).best(2) == [(9.0, 1.0), (8.0, 2.0)]
    assert ladder((7.0, 3.0), (8.0, 2.0), (9.0, 1.0), is_bids=False).best(2) == [(7.0, 3.0), (8.0, 2.0)]


def test_quantities_are_absolute_and_zero_removes_a_level() -> None:
    bids = ladder((9.0, 1.0), (8.0, 2.0))
    bids.change([(9.0, 0.0), (8.0, 5.0), (8.5, 4.0), (3.0, 0.0)])
    assert bids.best(5) == [(8.5, 4.0), (8.0, 5.0)]
    bids.change([(9.0, 7.0)])
    assert bids.best(1) == [(9.0, 7.0)]


def test_beyond_the_last_level_of_a_full_snapshot_nothing_is_known() -> None:
    bids = ladder((9.0, 1.0), (8.0, 2.0), depth=2)
    bids.change([(7.0, 1.0), (9.5, 1.0)])
    assert bids.best(5) == [(9.5, 1.0), (9.0, 1.0), (8.0, 2.0)]
    bids.change([(9.5, 0.0), (9.0, 0.0), (8.0, 0.0)])
    assert bids.best(5) == []
    assert not bids.is_whole


def test_a_snapshot_that_is_not_full_holds_the_whole_side() -> None:
    bids = ladder((9.0, 1.0), (8.0, 2.0), depth=3)
    bids.change([(7.0, 1.0), (9.0, 0.0), (8.0, 0.0)])
    assert bids.best(5) == [(7.0, 1.0)]
    assert bids.is_whole
    assert not bids.nears_end(7.0)


@pytest.mark.parametrize(("is_bids", "far", "near"), [(True, 8.6, 8.4), (False, 8.4, 8.6)])
def test_half_the_way_to_the_end_is_too_near(is_bids: bool, far: float, near: float) -> None:
    side = ladder(*[(9.0, 1.0), (8.0, 2.0)][:: 1 if is_bids else -1], is_bids=is_bids, depth=2)
    assert not side.nears_end(far)
    assert side.nears_end(near)


def test_what_has_drifted_away_is_let_go_of() -> None:
    asks = Ladder([(float(price), 1.0) for price in range(10)], is_bids=False, depth=10)
    for price in range(-1, -500, -1):
        asks.change([(float(price), 1.0)])
        assert asks.best(1) == [(float(price), 1.0)]
    assert len(asks) <= 41
    told = asks.best(30)
    assert told == [(float(price), 1.0) for price in range(-499, -499 + len(told))]
    assert len(told) >= 10


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(random=st.randoms(use_true_random=False), is_bids=st.booleans(), depth=st.sampled_from((5, 50, 300, 2_000)))
def test_the_best_levels_are_those_of_the_whole_book_as_far_as_they_are_told(
    random: Random, is_bids: bool, depth: int
) -> None:
    truth = {float(price): 1.0 for price in random.sample(range(1_000), 600)}
    best = sorted(truth.items(), reverse=is_bids)
    side = Ladder(best[:depth], is_bids=is_bids, depth=depth)
    middle = 500
    for _ in range(30):
        middle += random.randint(-40, 40)
        levels = [
            (float(max(0, middle + random.randint(-150, 150))), random.choice((0.0, 0.0, 1.0, 2.0)))
            for _ in range(random.randint(1, 60))
        ]
        side.change(levels)
        truth.update(levels)
        count = random.choice((1, 20, 700))
        told = side.best(count)
        assert told == sorted((level for level in truth.items() if level[1]), reverse=is_bids)[: len(told)]
        if side.is_whole:
            assert len(told) == min(count, sum(quantity > 0 for quantity in truth.values()))
