"""Indicators candle by candle: the newest values, as those of the whole series would be."""

from collections.abc import Sequence
from typing import Final

from api.analytics.bars import Bars
from api.analytics.indicators import Wanted, compute
from flows.model import Candle

ENDLESS: Final = ("obv",)
"""Indicators whose value depends on every candle since the first."""


class RunningIndicators:
    """Holds as many candles of one series as its indicators remember, so memory is bounded, and values equal those of
    the whole series to about 1e-9 as long as the price moves.
    """

    def __init__(self, wanted: Sequence[Wanted]) -> None:
        """`ValueError` for an indicator that never forgets."""
        for one in wanted:
            if one.name in ENDLESS:
                raise ValueError(f"{one.name} depends on every candle since the first, so it cannot be followed")
        self._wanted = tuple(wanted)
        self._memory = 1 + max((one.memory for one in wanted), default=0)
        self._candles: list[Candle] = []

    def on_candle(self, candle: Candle) -> dict[str, dict[str, float | None]]:
        """The values with this candle as the newest, by label and output. Another version of the newest candle takes
        its place; `ValueError` for one that is older.
        """
        candles = self._candles
        if candles and candle.open_time < candles[-1].open_time:
            raise ValueError(f"a candle of {candle.open_time} came after one of {candles[-1].open_time}")
        if candles and candle.open_time == candles[-1].open_time:
            candles[-1] = candle
        else:
            candles.append(candle)
            del candles[: -self._memory]
        bars = Bars.of(candles)
        series = [compute(bars, one, last=1) for one in self._wanted]
        return {one.label: {name: values[0] for name, values in one.values.items()} for one in series}
