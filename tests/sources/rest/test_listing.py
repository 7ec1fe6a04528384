"""What a venue's list says beside name and status is taken where it is valid, and left out where it is not."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import ListedInstrument
from sources.rest.listing import decimals_of, listed

anything = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=40) | st.lists(st.integers())


@pytest.mark.parametrize(
    ("step", "decimals"),
    [
        *[("0.01000000", 2), ("1.00000000", 0), ("1", 0), ("0.00000001", 8), ("10", 0), ("0.5", 1), ("1e-8", None)],
        *[
            ("0.00000000", None),
            ("", None),
            (".", None),
            ("-0.01", None),
            ("\u0661.0", None),
            (0.01, None),
            ("0.1.1", None),
        ],
    ],
)
def test_the_decimals_of_a_step(step: object, decimals: int | None) -> None:
    assert decimals_of(step) == decimals


@given(anything, anything, anything, anything, anything)
def test_nothing_that_a_venue_says_raises(
    base: object, quote: object, price: object, quantity: object, step: object
) -> None:
    found = listed("v", "S", "TRADING", base=base, quote=quote, price_decimals=price, quantity_decimals=quantity)
    assert bool(found.base) == bool(found.quote)
    assert all(number is None or 0 <= number <= 30 for number in (found.price_decimals, found.quantity_decimals))
    assert decimals_of(step) is None or isinstance(step, str)


def test_a_name_that_can_be_none_is_no_asset() -> None:
    found = listed("v", "S", "a\nb", base="<b>", quote="USD", price_decimals=True, quantity_decimals=2)
    assert found == ListedInstrument("v", "S", found.status, "", "", None, 2)
    assert "\n" not in found.status
