"""What the soak's figures mean."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.benchmarks.trend import last_third_to_first, slope


@given(
    st.floats(-100, 100),
    st.floats(-100, 100),
    st.lists(st.integers(0, 1_000), min_size=3, max_size=30, unique=True),
)
def test_a_straight_line_is_found_without_error(rise: float, level: float, times: list[int]) -> None:
    found = slope(times, [level + rise * time for time in times])
    assert found.each == pytest.approx(rise, abs=1e-6)
    assert found.error == pytest.approx(0, abs=1e-6)


def test_the_error_is_that_of_the_textbook() -> None:
    found = slope([1, 2, 3, 4], [1, 3, 2, 4])
    assert found.each == pytest.approx(0.8)
    assert found.error == pytest.approx((0.9 / 5) ** 0.5)  # 1.8 left over, 2 degrees of freedom, 5 of spread


def test_the_last_third_is_compared_with_the_first() -> None:
    assert last_third_to_first([1, 2, 3, 50, 50, 50, 60, 4, 2]) == 2
