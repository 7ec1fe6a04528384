import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.decimals import decimals_of, to_units

amounts = st.lists(st.integers(0, 10**9), min_size=1, max_size=400)


@settings(deadline=None)
@given(amounts, st.integers(0, 6))
def test_every_decimal_number_becomes_its_whole_units(units: list[int], places: int) -> None:
    values = np.array([unit / 10**places for unit in units])

    found = decimals_of(values)

    assert found <= places
    assert to_units(values, places).tolist() == units
    assert (to_units(values, found) / 10**found == values).all()


def test_as_few_decimals_as_will_do() -> None:
    assert decimals_of(np.array([100.0, 250.0])) == 0
    assert decimals_of(np.array([100.0, 0.25])) == 2
    assert decimals_of(np.array([100.0]), 3) == 3
    assert decimals_of(np.array([])) == 0


def test_one_fine_value_behind_many_coarse_ones_counts() -> None:
    assert decimals_of(np.array([1.0] * 5_000 + [0.00001])) == 5


def test_where_digits_end_there_are_no_more_decimals() -> None:
    assert decimals_of(np.array([1 / 3])) == 12
    assert decimals_of(np.array([1e12 / 3])) == 4
