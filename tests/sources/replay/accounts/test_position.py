from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.accounts.position import Position, filled
from tests.fakes.examples import examples

D = Decimal
FILL = st.tuples(
    st.decimals(min_value=D("-5"), max_value=D(5), places=3).filter(bool),
    st.decimals(min_value=D("0.01"), max_value=D(100_000), places=2),
    st.decimals(min_value=D(-1), max_value=D(1), places=8),
)


def after(*fills: tuple[str, str], fee: str = "0") -> tuple[Position, list[Decimal]]:
    position, gains = Position(), []
    for number, (quantity, price) in enumerate(fills):
        position, realized = filled(position, D(quantity), D(price), fee=D(fee), at_ms=number)
        gains.append(realized)
    return position, gains


def test_a_position_grows_at_the_average_price_and_is_closed_in_parts() -> None:
    position, gains = after(("0.01", "90000"), ("0.03", "94000"), ("-0.02", "95000"))
    assert (position.amount, position.entry_price, position.cost) == (D("0.02"), D(93_000), D(1_860))
    assert gains == [0, 0, D(40)]
    assert (position.realized, position.unrealized(D(92_000))) == (D(40), D(-20))
    closed, gains = after(("0.01", "90000"), ("-0.01", "91000"))
    assert (closed.amount, closed.cost, closed.entry_price, gains[1]) == (D(0), D(0), D(0), D(10))


def test_a_short_position_gains_when_the_price_falls() -> None:
    position, gains = after(("-2", "100"), ("0.5", "90"))
    assert (position.amount, position.entry_price, gains) == (D("-1.5"), D(100), [0, D(5)])
    assert (position.unrealized(D(80)), position.value(D(80))) == (D(30), D(-120))


def test_what_goes_beyond_closing_is_a_new_position_with_its_part_of_the_fee() -> None:
    position, gains = after(("1", "100"), ("-3", "110"), fee="0.3")
    assert (position.amount, position.entry_price, gains[1]) == (D(-2), D(110), D(10))
    assert (position.fees, position.break_even_price) == (D("0.2"), D("109.9"))


def test_a_position_that_is_too_large_is_refused() -> None:
    with pytest.raises(ValueError, match="the value is out of bounds"):
        filled(Position(), D(10**15), D(10**15), fee=D(0), at_ms=0)


@settings(max_examples=examples(60))
@given(st.lists(FILL, max_size=25), st.decimals(min_value=D("0.01"), max_value=D(100_000), places=2))
def test_gains_are_a_recount_of_all_fills(fills: list[tuple[Decimal, Decimal, Decimal]], mark: Decimal) -> None:
    position, gained = Position(), D(0)
    for number, (quantity, price, fee) in enumerate(fills):
        position, realized = filled(position, quantity, price, fee=fee, at_ms=number)
        gained += realized
        assert position.cost >= 0
        assert (position.cost == 0) == (position.amount == 0)
    amount = sum((quantity for quantity, _, _ in fills), D(0))
    paid = sum((quantity * price for quantity, price, _ in fills), D(0))
    assert (position.amount, position.realized) == (amount, gained)
    assert gained + position.unrealized(mark) == amount * mark - paid
