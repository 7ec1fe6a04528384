"""Decimals as whole numbers: what an exchange prints has few decimals, and sums of whole units are exact.

A sum stays exact below 2**53 units (9e15), which is where float64 ends too.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

WHOLE: Final = 2.0**53
"""Largest number up to which float64 holds every whole one."""
MOST: Final = 12
"""Decimals of the finest price or quantity of an exchange."""
SAMPLE: Final = 256

Floats = npt.NDArray[np.float64]


def decimals_of(values: Floats, least: int = 0) -> int:
    """Fewest decimals, at least `least`, with which every value is written exactly; where `MOST` are not enough, or
    float64 has no more digits, as many as there can be.
    """
    if not values.size:
        return least
    highest = float(np.abs(values).max())
    places = _fitting(values[:SAMPLE], least, highest)  # what a few need is nearly always what all need
    return _fitting(values, places, highest)


def to_units(values: Floats, places: int) -> Floats:
    """The values in units of the last of so many decimals: whole numbers."""
    return np.rint(values * 10.0**places)


def _fitting(values: Floats, places: int, highest: float) -> int:
    while places < MOST and highest * 10.0 ** (places + 1) < WHOLE and not _is_exact(values, places):
        places += 1
    return places


def _is_exact(values: Floats, places: int) -> bool:
    # Dividing two whole numbers that float64 holds rounds once, as reading the decimal text does.
    return bool((to_units(values, places) / 10.0**places == values).all())
