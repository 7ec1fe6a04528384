"""Decimals as whole numbers: values of exchanges have few decimals, and sums of whole units are exact.

A sum is exact below 2**53 units (9e15), the limit of whole numbers in float64.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")


WHOLE: Final = 2.0**53
"""Largest number up to which float64 holds every whole number."""
MOST: Final = 12
"""Most decimals of a price or quantity of an exchange."""
SAMPLE: Final = 256
"""Values that are checked before all of them."""

Floats: TypeAlias = "npt.NDArray[np.float64]"


def decimals_of(values: Floats, least: int = 0) -> int:
    """Fewest decimals, at least `least`, that represent every value exactly; at most `MOST`, and as many as float64
    can hold.
    """
    if not values.size:
        return least
    highest = float(np.abs(values).max())
    places = _fitting(values[:SAMPLE], least, highest)  # a sample nearly always needs as many as all values
    return _fitting(values, places, highest)


def to_units(values: Floats, places: int) -> Floats:
    """The values in units of the last of `places` decimals: whole numbers."""
    return np.rint(values * 10.0**places)


def _fitting(values: Floats, places: int, highest: float) -> int:
    while places < MOST and highest * 10.0 ** (places + 1) < WHOLE and not _is_exact(values, places):
        places += 1
    return places


def _is_exact(values: Floats, places: int) -> bool:
    # Dividing two whole numbers that float64 holds rounds once, as parsing the decimal text does.
    return bool((to_units(values, places) / 10.0**places == values).all())
