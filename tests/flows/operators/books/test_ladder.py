from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.operators.books.ladder import Ladder
from flows.operators.books.plain_ladder import Ladder as PlainLadder
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


@st.composite
def changes(draw: st.DrawFn, prices: st.SearchStrategy[float]) -> list[tuple[str, object]]:
    """Calls of a ladder, in any order."""
    levels = st.lists(st.tuples(prices, st.sampled_from((0.0, 0.0, 1.0, 2.5))), max_size=12)
    return draw(
        st.lists(
            st.tuples(st.just("change"), levels)
            | st.tuples(st.just("best"), st.integers(1, 40))
            | st.tuples(st.just("cut"), st.integers(1, 30))
            | st.tuples(st.just("nears_end"), prices),
            max_size=30,
        )
    )


@pytest.mark.skipif(Ladder is PlainLadder, reason="nothing is compiled here")
@given(st.data(), st.booleans(), st.integers(1, 12), st.integers(0, 60))
def test_compiled_and_plain_ladders_are_the_same(data: st.DataObject, is_bids: bool, depth: int, size: int) -> None:
    prices = st.integers(1, 90).map(lambda number: number / 4)
    snapshot = sorted((price / 4, 1.0) for price in data.draw(st.sets(st.integers(1, 90), max_size=size)))
    snapshot += data.draw(st.lists(st.tuples(prices, st.just(3.0)), max_size=2))  # twice, or out of order
    ladders = [kind(snapshot[:: -1 if is_bids else 1], is_bids=is_bids, depth=depth) for kind in (Ladder, PlainLadder)]
    for name, argument in data.draw(changes(prices)):
        if name == "cut" and not len(ladders[1]):
            continue
        both = [(getattr(one, name)(argument), len(one), one.is_whole) for one in ladders]
        assert both[0] == both[1], (name, argument)


@pytest.mark.skipif(Ladder is PlainLadder, reason="nothing is compiled here")
@pytest.mark.parametrize("levels", [[(1.0,)], [[1.0, 2.0]], [("a", 1.0)], [(float("nan"), 1.0)], [None], ((1.0, 1.0),)])
def test_what_is_no_level_is_refused(levels: Any) -> None:
    with pytest.raises((TypeError, ValueError)):
        Ladder(levels, is_bids=True, depth=5)
    asks = ladder((1.0, 2.0), is_bids=False)
    with pytest.raises((TypeError, ValueError)):
        asks.change(levels)
    assert asks.best(2) == [(1.0, 2.0)]
