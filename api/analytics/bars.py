"""Candles as arrays, which is what indicators are made of."""

from collections.abc import Sequence
from operator import attrgetter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from flows.model import Candle

Floats = npt.NDArray[np.float64]

_FIELDS = attrgetter("open_time", "high", "low", "close", "volume", "quote_volume")


class Bars(NamedTuple):
    """Candles of one series, oldest first, the forming one included: a column of float64 each, times in ms UTC."""

    open_time: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> "Bars":
        """From the model."""
        if not candles:
            return cls(*(np.empty(0) for _ in cls._fields))
        return cls(*np.array([_FIELDS(candle) for candle in candles], dtype=np.float64).T.copy())

    def scaled(self) -> tuple["Bars", float]:
        """The same with prices multiplied by a power of two, which changes no digit, and that factor. TA-Lib takes
        anything below 1e-14 for zero; the variance of a coin at 0.000009 is, unless it is scaled.
        """
        if not self.close.size:
            return self, 1.0
        factor = float(2.0 ** (20 - np.frexp(self.close.max())[1]))
        prices = {name: getattr(self, name) * factor for name in ("high", "low", "close", "quote_volume")}
        return self._replace(**prices), factor
