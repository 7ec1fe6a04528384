"""Amounts of accounts: decimals of eight places, exact in every sum."""

from decimal import ROUND_DOWN, Context, Decimal
from typing import Final

UNIT: Final = Decimal("1E-8")
"""The smallest amount."""
ZERO: Final = Decimal(0)
MOST: Final = Decimal(10**15)
"""The largest amount, price or balance; sums of such numbers are exact in Python's usual context."""

_WIDE = Context(prec=100)
"""Holds every product of two amounts and a third."""


def checked(value: Decimal, what: str) -> Decimal:
    """An amount from outside; `ValueError` for one that is not finite, too large, or finer than `UNIT`."""
    if not value.is_finite() or not -MOST <= value <= MOST:
        raise ValueError(f"{what} is out of bounds: at most {MOST}")
    if value != value.quantize(UNIT):
        raise ValueError(f"{what} has more than eight decimals")
    return value


def positive(value: Decimal, what: str) -> Decimal:
    """The same for an amount that must be above zero."""
    if checked(value, what) <= 0:
        raise ValueError(f"{what} must be above zero")
    return value


def product(one: Decimal, other: Decimal) -> Decimal:
    """The product, cut to eight decimals; it may be larger than `MOST`."""
    return _WIDE.multiply(one, other).quantize(UNIT, ROUND_DOWN, _WIDE)


def share(value: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """`value * part / whole`, cut to eight decimals; all of `value` where `part` is the whole."""
    return _WIDE.divide(_WIDE.multiply(value, part), whole).quantize(UNIT, ROUND_DOWN, _WIDE)


def text(value: Decimal) -> str:
    """An amount with eight decimals, as the exchange prints it."""
    return f"{value + ZERO:.8f}"  # the sum takes the sign from a zero


def plain(value: Decimal) -> str:
    """An amount without zeros at its end."""
    return f"{(value + ZERO).normalize():f}"
