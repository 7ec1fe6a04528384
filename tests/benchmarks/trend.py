"""What a figure does over time."""

import math
import statistics
from collections.abc import Sequence

from msgspec import Struct


class Slope(Struct, frozen=True):
    """The line that lies nearest to all points (least squares)."""

    each: float
    """What the figure rises by in a unit of time."""
    error: float
    """Standard error of that, as if the points scattered by chance."""


def slope(times: Sequence[float], values: Sequence[float]) -> Slope:
    """Of three points or more, at two times or more."""
    line = statistics.linear_regression(times, values)
    left = sum((y - line.slope * x - line.intercept) ** 2 for x, y in zip(times, values, strict=True))
    middle = statistics.fmean(times)
    spread = sum((x - middle) ** 2 for x in times)
    return Slope(line.slope, math.sqrt(left / (len(times) - 2) / spread))


def last_third_to_first(values: Sequence[float]) -> float:
    """How the median of the last third compares with that of the first; of three values or more."""
    third = len(values) // 3
    return statistics.median(values[-third:]) / statistics.median(values[:third])
