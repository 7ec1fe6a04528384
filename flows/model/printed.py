"""Figures as they are printed: what is computed of printed numbers has no more decimals than they have."""

from typing import Final

DECIMALS: Final = 8
"""No venue prints more decimals of a price or a quantity. What is added or subtracted is rounded to them, as the last
digits of a binary fraction are noise: 60010.0 - 56668.22 is 3341.779999999999.
"""


def printed(value: float) -> float:
    """A sum, difference or mean of printed numbers, with as many decimals as a venue prints at most."""
    return round(value, DECIMALS)


def change_of(first: float, last: float) -> tuple[float, float]:
    """By how much a price has changed, and by how many percent of the first one, 0 where that is 0."""
    change = printed(last - first)
    return change, printed(100 * change / first) if first else 0.0
