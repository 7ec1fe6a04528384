from hypothesis import given
from hypothesis import strategies as st

from flows.operators.trades.quarantine import (
    MOST_KEPT,
    MOST_SKIPPED,
    RESTART_MS,
    Quarantine,
    is_explained,
    largest_cluster,
)
from tests.fakes.trades import BEGIN, trade


@given(st.integers(0, 10**6), st.integers(0, 10**7))
def test_the_longer_nothing_came_the_more_may_be_missing(elapsed: int, skipped: int) -> None:
    far = trade(100 + skipped, elapsed)
    assert is_explained(far, 100, BEGIN) == (skipped <= MOST_SKIPPED + 20 * elapsed)


def test_a_known_id_long_after_is_not_explained_and_soon_after_is_a_duplicate() -> None:
    assert is_explained(trade(7, RESTART_MS), 100, BEGIN)
    assert not is_explained(trade(7, RESTART_MS + 1), 100, BEGIN)
    assert not is_explained(trade(7, 5), 10**10, BEGIN)


def test_of_ids_that_lie_far_apart_those_that_are_most_belong_together() -> None:
    near = [trade(5, 0), trade(7, 2), trade(6, 1)]
    assert largest_cluster([trade(2**53, 0), *near]) == sorted(near, key=lambda t: t.id)
    assert largest_cluster([trade(1, 0), trade(2**40, 1)]) == [trade(1, 0)]


def test_a_trade_waits_until_another_continues_it() -> None:
    quarantine = Quarantine()
    quarantine.put(trade(50, 0))
    quarantine.put(trade(90, 1))
    assert quarantine.continued_by(trade(70, 2)) == []
    assert quarantine.continued_by(trade(51, 2)) == [trade(50, 0)]
    assert quarantine.trades == (trade(90, 1),)


def test_a_chain_is_continued_as_a_whole() -> None:
    quarantine = Quarantine()
    for number in (50, 51, 52):
        quarantine.put(trade(number, number))
    assert quarantine.continued_by(trade(53, 53)) == [trade(n, n) for n in (50, 51, 52)]
    assert quarantine.trades == ()


def test_what_waits_is_bounded_and_the_oldest_is_given_back() -> None:
    quarantine = Quarantine()
    refused = [one for number in range(MOST_KEPT + 3) for one in quarantine.put(trade(number * 10, number))]
    assert refused == [trade(number * 10, number) for number in range(3)]
    assert len(quarantine.trades) == MOST_KEPT


def test_those_of_before_can_be_taken_and_newer_ones_wait_on() -> None:
    quarantine = Quarantine()
    quarantine.put(trade(50, 0))
    before = quarantine.trades
    quarantine.put(trade(90, 1))
    assert quarantine.take(before) == [trade(50, 0)]
    assert quarantine.trades == (trade(90, 1),)
