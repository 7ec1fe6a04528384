"""Figures as they are printed: what is computed of printed numbers has no more decimals than they have. The owner of
this rule.

The last digits of a binary fraction are noise: 60010.0 - 56668.22 is 3341.779999999999.
"""

from typing import Final

DECIMALS: Final = 8
"""Sums of quantities, shares and percentages are rounded to so many decimals: venues print no more of them."""
MOST_DECIMALS: Final = 12
"""No venue prints more decimals of a price."""
_UNITS: Final = 10.0**DECIMALS
_ROUNDS: Final = 1.5 * 2.0**52
"""Added to a small float and taken away again, it leaves the nearest whole number."""
_SAFE: Final = 2.0**50
"""Up to so many units their number is known to an eighth."""
_NEAR: Final = 0.25


def printed(value: float) -> float:
    """A sum, share or percentage of printed numbers, with as many decimals as a venue prints at most.

    It is `round`, which goes by way of the decimal digits, in a third of the time: where the next unit is near, both
    give that, and the quotient of two whole numbers is the float next to it.
    """
    units = value * _UNITS
    whole = (units + _ROUNDS) - _ROUNDS
    if 0.0 < whole < _SAFE and -_NEAR < units - whole < _NEAR:
        return whole / _UNITS
    return round(value, DECIMALS)


def decimals_of(value: float) -> int:
    """Decimals of the shortest decimal number that is this float, as the venue has printed it."""
    digits, _, exponent = repr(value).partition("e")
    fraction = digits.partition(".")[2]
    return min(max(len(fraction.rstrip("0")) - int(exponent or 0), 0), MOST_DECIMALS)


def difference(minuend: float, subtrahend: float) -> float:
    """The difference of two printed prices, with the decimals of the one that has more."""
    return round(minuend - subtrahend, max(decimals_of(minuend), decimals_of(subtrahend)))


def middle(one: float, other: float) -> float:
    """The mean of two printed prices, which has one decimal more than they."""
    return round((one + other) / 2, max(decimals_of(one), decimals_of(other)) + 1)


def change_of(first: float, last: float) -> tuple[float, float]:
    """By how much a price has changed, and by how many percent of the first one, 0 where that is 0."""
    change = difference(last, first)
    return change, printed(100 * change / first) if first else 0.0
