from hypothesis import given
from hypothesis import strategies as st

from flows.clock import FeedClock, Now


def test_before_the_first_observation_no_deadline_has_passed() -> None:
    assert FeedClock(lambda: 77).now() == Now(0, 77)


def test_time_goes_on_with_the_monotonic_clock() -> None:
    local = [100]
    clock = FeedClock(lambda: local[0])
    clock.observe(5_000)
    local[0] = 130
    assert clock.now() == Now(5_030, 130)


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**4))))
def test_it_never_runs_backwards_and_is_never_behind_what_was_seen(steps: list[tuple[int, int]]) -> None:
    local, clock_local = 0, [0]
    clock = FeedClock(lambda: clock_local[0])
    before = 0
    for seen, step in steps:
        local += step
        clock_local[0] = local
        clock.observe(seen)
        now = clock.now().feed
        assert now >= max(before, seen)
        before = now
