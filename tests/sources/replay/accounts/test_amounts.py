from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.accounts.amounts import MOST, checked, plain, positive, product, share, text
from tests.fakes.examples import examples

AMOUNTS = st.decimals(min_value=-MOST, max_value=MOST, places=8, allow_nan=False)


@pytest.mark.parametrize("wrong", ["NaN", "sNaN", "Infinity", "1e999999999", "-1e16", "1e-9", "0.123456789"])
def test_what_is_no_amount(wrong: str) -> None:
    with pytest.raises(ValueError, match="amount"):
        checked(Decimal(wrong), "amount")


def test_an_amount_above_zero() -> None:
    assert positive(Decimal("0.00000001"), "amount") == Decimal("1E-8")
    with pytest.raises(ValueError, match="amount must be above zero"):
        positive(Decimal(0), "amount")


def test_products_are_cut_to_eight_decimals() -> None:
    assert product(Decimal("0.00000003"), Decimal("0.5")) == Decimal("0.00000001")
    assert product(Decimal("-0.00000003"), Decimal("0.5")) == Decimal("-0.00000001")
    assert product(MOST, MOST) == Decimal(10**30)


@settings(max_examples=examples(25))
@given(AMOUNTS)
def test_texts_are_exact(amount: Decimal) -> None:
    assert checked(amount, "amount") == amount == Decimal(text(amount)) == Decimal(plain(amount))
    assert share(amount, Decimal("0.37"), Decimal("0.37")) == amount


def test_a_zero_has_no_sign() -> None:
    assert (text(Decimal("-0")), plain(Decimal("-0.00")), plain(Decimal("1000.50"))) == ("0.00000000", "0", "1000.5")
