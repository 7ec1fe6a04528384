"""Decimals of SBE: a whole number, the mantissa, times a power of ten.

Dividing two whole numbers is rounded once, to the nearest float, so a value is the one that its text gives.
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

MOST_EXPONENT: Final = 18
"""Farthest power of ten from zero: decimals of the exchange have at most 18 places. The schema's -128 is no number."""
PRICE_BOUND: Final = 10**12
"""As of the JSON streams: prices are below it."""
QUANTITY_BOUND: Final = 10**24
"""As of the JSON streams: quantities are below it."""


class Scale(NamedTuple):
    """A power of ten."""

    up: int
    """What a mantissa is multiplied with; 1 unless the exponent is positive."""
    down: int
    """What it is divided by then."""
    price_end: int
    """The first multiplied mantissa that is no price any more."""
    quantity_end: int
    """The same for quantities."""


def _scale(exponent: int) -> Scale:
    up, down = 10 ** max(exponent, 0), 10 ** max(-exponent, 0)
    return Scale(up, down, PRICE_BOUND * down, QUANTITY_BOUND * down)


SCALES: Final[Mapping[int, Scale]] = {
    exponent: _scale(exponent) for exponent in range(-MOST_EXPONENT, MOST_EXPONENT + 1)
}
"""By exponent."""


def float_of(mantissa: int, exponent: int) -> float:
    """The value, rounded once; `KeyError` for an exponent beyond the bound."""
    scale = SCALES[exponent]
    return mantissa * scale.up / scale.down


def multiplied(rows: Iterator[tuple[int, ...]], *factors: int) -> Iterator[tuple[int, ...]]:
    """The rows with each number multiplied by the factor of its place."""
    return (tuple(value * factor for value, factor in zip(row, factors, strict=True)) for row in rows)
