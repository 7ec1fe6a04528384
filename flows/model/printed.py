"""Figures as they are printed: what is computed of printed numbers has no more decimals than they have. The owner of
this rule.

The last digits of a binary fraction are noise: 60010.0 - 56668.22 is 3341.779999999999.
"""

from typing import Final

DECIMALS: Final = 8
"""Sums of quantities, shares and percentages are rounded to so many decimals: venues print no more of them."""
MOST_DECIMALS: Final = 12
"""No venue prints more decimals of a price."""


def printed(value: float) -> float:
    """A sum, share or percentage of printed numbers, with as many decimals as a venue prints at most."""
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
