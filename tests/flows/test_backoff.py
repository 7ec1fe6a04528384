from hypothesis import given
from hypothesis import strategies as st

from flows.backoff import backoff_s


def test_doubles_up_to_the_longest() -> None:
    waits = [backoff_s(failures, min_s=2, max_s=64, jitter=lambda: 1.0) for failures in range(1, 9)]
    assert waits == [2, 4, 8, 16, 32, 64, 64, 64]


@given(st.integers(1, 10_000), st.floats(0, 1))
def test_jitter_stays_between_half_and_all(failures: int, luck: float) -> None:
    whole = backoff_s(failures, min_s=2, max_s=64, jitter=lambda: 1.0)
    assert whole / 2 <= backoff_s(failures, min_s=2, max_s=64, jitter=lambda: luck) <= whole
