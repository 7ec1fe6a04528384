"""Candles as arrays, the input of indicators."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from flows.model import Candle
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")

Floats: TypeAlias = "npt.NDArray[np.float64]"


class Bars(NamedTuple):
    """Candles of one series, oldest first, including the forming one: one float64 array a field, times in ms UTC."""

    open_time: Floats
    high: Floats
    low: Floats
    close: Floats
    volume: Floats
    quote_volume: Floats

    @classmethod
    def of(cls, candles: Sequence[Candle]) -> Bars:
        """The columns of candles of the model."""
        if not candles:
            return cls(*(np.empty(0) for _ in cls._fields))
        return cls(*np.array([_values_of(candle) for candle in candles], dtype=np.float64).T.copy())

    def scaled(self) -> tuple[Bars, float]:
        """Bars with prices multiplied by a power of two, which is exact, and that factor. TA-Lib treats values below
        1e-14 as zero, such as the variance of a coin at 0.000009.
        """
        if not self.close.size:
            return self, 1.0
        factor = float(2.0 ** (20 - np.frexp(self.close.max())[1]))
        prices = {name: getattr(self, name) * factor for name in ("high", "low", "close", "quote_volume")}
        return self._replace(**prices), factor


_values_of = attrgetter(*Bars._fields)
