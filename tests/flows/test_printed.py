from hypothesis import given
from hypothesis import strategies as st

from flows.model.printed import change_of, printed

CENTS = st.integers(1, 10**8)


def test_the_noise_of_binary_fractions_is_cut_off() -> None:
    assert 60010.0 - 56668.22 == 3341.779999999999
    assert change_of(56668.22, 60010.0)[0] == 3341.78
    assert change_of(0.0, 5.0) == (5.0, 0.0)


@given(CENTS, CENTS)
def test_a_difference_is_the_number_that_would_be_printed(first: int, last: int) -> None:
    change, percent = change_of(first / 100, last / 100)
    assert change == (last - first) / 100
    assert percent == printed(100 * (last - first) / first)
