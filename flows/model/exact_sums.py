"""Exact sums of floats: as parts that together are the sum without rounding. The owner of this rule.

A sum is rounded once, when it is printed (`flows/model/printed.py`): so it does not depend on how its values were cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from math import frexp, fsum, inf, isfinite, ldexp
from typing import TYPE_CHECKING, Final, TypeAlias

from flows.model.printed import DECIMALS, printed
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")

Floats: TypeAlias = "npt.NDArray[np.float64]"
Places: TypeAlias = "npt.NDArray[np.int64]"

_UNITS: Final = 10.0**DECIMALS
_NEAR: Final = 0.25
_SAFE: Final = 2.0**46


def fold(values: Iterable[float]) -> list[float]:
    """The fewest parts of a sum, mostly two: the sum, what its rounding lost, what the rounding of that lost, and so
    on. A sum that is not finite, as of a volume that the venue does not report, is its only part.
    """
    left = list(values)
    parts = []
    while part := fsum(left):
        parts.append(part)
        if not isfinite(part):
            break
        left.append(-part)
    return parts


def split_sums(values: Floats, starts: Places) -> list[Floats]:
    """Parts of the exact sum of each run of `values` that begins at one of `starts`; the values are finite."""
    return [np.add.reduceat(part, starts) for part in _addends(values)]


def grouped_sums(values: Floats, groups: Places, count: int) -> list[Floats]:
    """Parts of the exact sum of the `values` of each of `count` groups, which are numbered from 0; the values are
    finite, and in any order.
    """
    return [
        np.bincount(groups, weights=part, minlength=count).astype(np.float64, copy=False) for part in _addends(values)
    ]


def _addends(values: Floats) -> Iterator[Floats]:
    """The values in parts. Those of a part are multiples of a unit, small enough for each sum of them to be a float64
    without rounding, in whatever order they are added; what is left of the values comes next.
    """
    most = float(np.abs(values).max())
    is_first = True
    while 0 < most < inf or is_first:
        exponent = frexp(most)[1] + int(values.size).bit_length()
        shift = ldexp(1.5, min(exponent, 1_000))
        part = (values + shift) - shift
        yield part
        is_first = False
        values = values - part
        most = float(np.abs(values).max())


def printed_sums(parts: Sequence[Floats]) -> Floats:
    """The sums of these parts, each rounded once to the decimals that venues print."""
    total = np.sum(parts[::-1], axis=0)  # wrong by a few of its last places
    units = total * _UNITS
    near = np.rint(units)
    sums: Floats = near / _UNITS
    # Where the next unit is far, and the last places are small against one, the exact sum has the same next unit.
    for place in np.flatnonzero((np.abs(units - near) > _NEAR) | (np.abs(near) > _SAFE)).tolist():
        sums[place] = printed(fsum(float(part[place]) for part in parts))
    return sums
