from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import BookView
from flows.model.printed import DECIMALS, MOST_DECIMALS, change_of, decimals_of, difference, middle, printed

CENTS = st.integers(1, 10**8)
SUMS = st.one_of(
    st.floats(),
    st.integers(0, 10**17).map(lambda units: units / 10**8),
    st.tuples(st.integers(0, 2**51), st.integers(-3, 3)).map(lambda one: (one[0] + 0.5) / 10**8 * (1 + one[1] / 2**52)),
)
"""Any, printed ones, and those about half a unit."""


def test_the_noise_of_binary_fractions_is_cut_off() -> None:
    assert 60010.0 - 56668.22 == 3341.779999999999
    assert change_of(56668.22, 60010.0)[0] == 3341.78
    assert change_of(0.0, 5.0) == (5.0, 0.0)


@given(SUMS)
def test_a_printed_figure_is_the_rounded_one_to_the_last_bit(value: float) -> None:
    assert printed(value).hex() == round(value, DECIMALS).hex()


@given(CENTS, CENTS)
def test_a_difference_is_the_number_that_would_be_printed(first: int, last: int) -> None:
    change, percent = change_of(first / 100, last / 100)
    assert change == (last - first) / 100
    exact = Fraction(100 * (last - first), first)
    assert abs(Fraction(percent) - exact) <= Fraction(1, 2 * 10**DECIMALS) + abs(exact) / 2**50


@given(st.decimals(0, 10**6, places=9), st.decimals(0, 10**6, places=9))
def test_a_difference_of_printed_prices_is_that_of_the_decimals(one: Decimal, other: Decimal) -> None:
    assert difference(float(one), float(other)) == float(one - other)


@given(st.decimals(0, 10**6, places=8), st.decimals(0, 10**6, places=8))
def test_the_middle_of_two_printed_prices_has_one_decimal_more(one: Decimal, other: Decimal) -> None:
    assert middle(float(one), float(other)) == float((one + other) / 2)


@pytest.mark.parametrize(
    ("value", "decimals"),
    [(0.0, 0), (5.0, 0), (0.1, 1), (60010.25, 2), (1e-07, 7), (9.857e-06, 9), (1.5e20, 0), (0.1 + 0.2, MOST_DECIMALS)],
)
def test_decimals_are_those_of_the_shortest_number(value: float, decimals: int) -> None:
    assert decimals_of(value) == decimals


def test_a_price_of_many_decimals_keeps_its_change() -> None:
    assert change_of(9.801e-06, 9.857e-06) == (5.6e-08, 0.57137027)


def test_the_figures_of_a_book_have_no_noise() -> None:
    book = BookView("kraken", "X-USD", True, bids=[(61837.62, 0.1)], asks=[(61837.63, 0.2)])
    assert (book.spread, book.mid, book.imbalance) == (0.01, 61837.625, -0.33333333)
