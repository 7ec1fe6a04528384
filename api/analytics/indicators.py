"""Technical indicators by TA-Lib, over closed candles and the forming one.

A request names them with parameters in the order of `INDICATORS`, where the last ones may be left out: `rsi`, `ema:50`,
`bbands:20:2.5`. Values are null where they are not defined: during the warm-up, and where the formula divides by zero.

`warm_up` candles precede the first value. Recursive averages (EMA, and RSI, ATR, MACD that use it) begin in TA-Lib with
the simple average, which still has weight then; after `memory` candles that weight is below `FELT`. So a value hardly
depends on the begin of the series if `memory` candles precede it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from api.analytics.bars import Bars, Floats
from flows.model import DAY_MS
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import talib
else:
    np = late_module("numpy")
    talib = late_module("talib")

DIGITS: Final = 14
"""Significant digits of a value; what follows is the noise of binary fractions."""
FELT: Final = 1e-10
"""Weight below which the begin of an average is neglected."""
LONGEST: Final = 500
"""Largest period."""


class Parameter(NamedTuple):
    """A number that an indicator takes, from `least` to `most`; `whole` ones are periods in candles."""

    name: str
    default: float
    least: float = 2
    most: float = LONGEST
    whole: bool = True


class Indicator(NamedTuple):
    """How an indicator is computed: `compute` returns one column for each output, NaN where not defined."""

    about: str
    outputs: tuple[str, ...]
    parameters: tuple[Parameter, ...]
    compute: Callable[..., Sequence[Floats]]
    warm_up: Callable[..., int]
    memory: Callable[..., int]
    is_price: bool = False
    """The outputs are prices, in the quote currency."""
    rising: tuple[str, ...] = ()
    """Parameters each of which must be less than the next one."""


class Wanted(NamedTuple):
    """An indicator with all its parameters."""

    name: str
    values: tuple[float, ...]

    @property
    def label(self) -> str:
        """As a request names it, in full: `macd:12:26:9`."""
        return ":".join([self.name, *(f"{value:g}" for value in self.values)])

    @property
    def warm_up(self) -> int:
        """Candles before the first value."""
        return INDICATORS[self.name].warm_up(*self.values)

    @property
    def memory(self) -> int:
        """Candles that should precede a value; for `vwap` a day of minutes."""
        return INDICATORS[self.name].memory(*self.values)


class IndicatorSeries(Struct, frozen=True):
    """An indicator's values, one for each candle, oldest first."""

    name: str
    label: str
    parameters: dict[str, float]
    warm_up: int
    memory: int
    values: dict[str, list[float | None]]


def compute(bars: Bars, wanted: Wanted, last: int | None = None) -> IndicatorSeries:
    """The values for the `last` candles, or for all; the candles before them are the warm-up."""
    indicator = INDICATORS[wanted.name]
    scaled, factor = bars.scaled()
    columns = indicator.compute(scaled, *wanted.values) if bars.close.size else [bars.close] * len(indicator.outputs)
    unit = 1 / factor if indicator.is_price else 1.0
    begin = 0 if last is None else max(0, bars.close.size - last)
    return IndicatorSeries(
        wanted.name,
        wanted.label,
        {parameter.name: value for parameter, value in zip(indicator.parameters, wanted.values, strict=True)},
        wanted.warm_up,
        wanted.memory,
        {
            name: _nulls(_rounded(column[begin:] * unit))
            for name, column in zip(indicator.outputs, columns, strict=True)
        },
    )


def parse_wanted(text: str) -> Wanted:
    """The indicator of a name such as `macd:12:26`; `ValueError` for an unknown name or a wrong parameter."""
    name, *given = text.lower().split(":")
    if name not in INDICATORS:
        raise ValueError(f"{name!r} is no indicator; there are {', '.join(INDICATORS)}")
    parameters = INDICATORS[name].parameters
    if len(given) > len(parameters):
        names = ":".join([name, *(parameter.name for parameter in parameters)])
        raise ValueError(f"{text!r} has too many parameters: write {names}")
    values = tuple(_value(name, *pair) for pair in zip(parameters, given, strict=False))
    wanted = Wanted(name, values + tuple(parameter.default for parameter in parameters[len(given) :]))
    _check_rising(wanted)
    return wanted


def _check_rising(wanted: Wanted) -> None:
    indicator = INDICATORS[wanted.name]
    values = {parameter.name: value for parameter, value in zip(indicator.parameters, wanted.values, strict=True)}
    for less, more in pairwise(indicator.rising):
        if values[less] >= values[more]:
            raise ValueError(f"{wanted.name}: {less} is {values[less]:g}, must be less than {more}, {values[more]:g}")


def _value(name: str, parameter: Parameter, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    whole, least, most = parameter.whole, parameter.least, parameter.most
    if not least <= value <= most or (whole and value != int(value)):
        kind = "whole number" if whole else "number"
        raise ValueError(f"{name}: {parameter.name} is {text!r}, must be a {kind} from {least:g} to {most:g}")
    return int(value) if whole else value


def _rounded(column: Floats) -> Floats:
    """To `DIGITS`; zeros and what is not finite stay."""
    with np.errstate(all="ignore"):
        unit = 10.0 ** (DIGITS - 1 - np.floor(np.log10(np.abs(column))))
        rounded: Floats = np.rint(column * unit) / unit
    return np.where(np.isfinite(rounded), rounded, column)


def _nulls(column: Floats) -> list[float | None]:
    return [value if math.isfinite(value) else None for value in column.tolist()]


# --- the formulas ----------------------------------------------------------------------------------------------------


def _sma(bars: Bars, period: int) -> Sequence[Floats]:
    return [talib.SMA(bars.close, period)]


def _ema(bars: Bars, period: int) -> Sequence[Floats]:
    return [talib.EMA(bars.close, period)]


def _wma(bars: Bars, period: int) -> Sequence[Floats]:
    return [talib.WMA(bars.close, period)]


def _bbands(bars: Bars, period: int, width: float) -> Sequence[Floats]:
    upper, middle, lower = talib.BBANDS(bars.close, period, width, width)
    return upper, middle, lower


def _macd(bars: Bars, fast: int, slow: int, signal: int) -> Sequence[Floats]:
    # talib.MACD begins the fast average late, so its first values differ from those of the two averages.
    macd = talib.EMA(bars.close, fast) - talib.EMA(bars.close, slow)
    line = talib.EMA(macd, signal) if np.isfinite(macd).any() else macd
    return macd, line, macd - line


def _rsi(bars: Bars, period: int) -> Sequence[Floats]:
    rsi = talib.RSI(bars.close, period)
    # A price that never moved has neither gains nor losses. TA-Lib returns 0, which means oversold.
    return [np.where(np.maximum.accumulate(bars.close != bars.close[0]), rsi, np.nan)]


def _stoch(bars: Bars, period: int, smooth: int, signal: int) -> Sequence[Floats]:
    prices = bars.high, bars.low, bars.close
    k, d = talib.STOCH(*prices, fastk_period=period, slowk_period=smooth, slowd_period=signal)
    # Not defined without a range. TA-Lib returns 0, the bottom.
    flat = talib.MAX(bars.high, period) == talib.MIN(bars.low, period)
    return np.where(_lately(flat, smooth), np.nan, k), np.where(_lately(flat, smooth + signal - 1), np.nan, d)


def _lately(flags: npt.NDArray[np.bool_], count: int) -> npt.NDArray[np.bool_]:
    """Where a flag is set at one of the last `count` candles, including the current one."""
    seen = np.cumsum(flags)
    return np.asarray(seen > np.concatenate([np.zeros(count, dtype=seen.dtype), seen])[: seen.size])


def _atr(bars: Bars, period: int) -> Sequence[Floats]:
    return [talib.ATR(bars.high, bars.low, bars.close, period)]


def _obv(bars: Bars) -> Sequence[Floats]:
    return [talib.OBV(bars.close, bars.volume) - bars.volume[0]]  # TA-Lib counts the first candle as rising


def _vwap(bars: Bars) -> Sequence[Floats]:
    """Quote volume by volume since midnight: prices that were paid, not an estimate from typical prices."""
    midnights = np.flatnonzero(np.diff(bars.open_time // DAY_MS)) + 1
    volume, quote = _running_sums(bars.volume, midnights), _running_sums(bars.quote_volume, midnights)
    known = volume > 0
    if bars.open_time[0] % DAY_MS:
        known[: midnights[0] if midnights.size else None] = False
    return [np.divide(quote, volume, out=np.full(volume.size, np.nan), where=known)]


def _running_sums(values: Floats, begins: npt.NDArray[np.int64]) -> Floats:
    """Running sums that restart at each of `begins`."""
    return np.concatenate([np.cumsum(part) for part in np.split(values, begins)])


def _span(period: int, *_: float) -> int:
    return period - 1


def _fading(weight: float) -> int:
    """Steps after which the first value of an average has a weight below `FELT`; `weight` is that of a new value."""
    return math.ceil(math.log(FELT) / math.log1p(-weight)) if weight < 1 else 0


def _ema_memory(period: int) -> int:
    return period - 1 + _fading(2 / (period + 1))


def _wilder_memory(period: int) -> int:
    return period + _fading(1 / period)


def _macd_warm_up(fast: int, slow: int, signal: int) -> int:
    return max(fast, slow) + signal - 2


def _macd_memory(fast: int, slow: int, signal: int) -> int:
    return _ema_memory(max(fast, slow)) + _ema_memory(signal)


def _stoch_span(period: int, smooth: int, signal: int) -> int:
    return period + smooth + signal - 3


def _none() -> int:
    return 0


def _minutes_of_a_day() -> int:
    return DAY_MS // 60_000 - 1


_PERIOD_20 = (Parameter("period", 20),)
_PERIOD_14 = (Parameter("period", 14),)
_BANDS = (Parameter("period", 20), Parameter("width", 2.0, 0.1, 10, whole=False))
_MACD = (Parameter("fast", 12), Parameter("slow", 26), Parameter("signal", 9))
_STOCH = (Parameter("period", 14), Parameter("smooth", 3, 1), Parameter("signal", 3, 1))

INDICATORS: Final[Mapping[str, Indicator]] = {
    "sma": Indicator("simple average of the close", ("sma",), _PERIOD_20, _sma, _span, _span, is_price=True),
    "ema": Indicator("exponential average of the close", ("ema",), _PERIOD_20, _ema, _span, _ema_memory, is_price=True),
    "wma": Indicator("linearly weighted average", ("wma",), _PERIOD_20, _wma, _span, _span, is_price=True),
    "bbands": Indicator(
        "Bollinger bands: `width` standard deviations (of the population) around the simple average",
        ("upper", "middle", "lower"),
        _BANDS,
        _bbands,
        _span,
        _span,
        is_price=True,
    ),
    "macd": Indicator(
        "fast less slow exponential average, its own average, and the difference of both",
        ("macd", "signal", "histogram"),
        _MACD,
        _macd,
        _macd_warm_up,
        _macd_memory,
        is_price=True,
        rising=("fast", "slow"),
    ),
    "rsi": Indicator("relative strength, 0 to 100", ("rsi",), _PERIOD_14, _rsi, lambda period: period, _wilder_memory),
    "stoch": Indicator(
        "where the close lies in the range of `period` candles, 0 to 100, and its average",
        ("k", "d"),
        _STOCH,
        _stoch,
        _stoch_span,
        _stoch_span,
    ),
    "atr": Indicator(
        "average true range", ("atr",), _PERIOD_14, _atr, lambda period: period, _wilder_memory, is_price=True
    ),
    "obv": Indicator(
        "volume of rising less that of falling candles, from the first candle that was read on",
        ("obv",),
        (),
        _obv,
        _none,
        _none,
    ),
    "vwap": Indicator(
        "mean price by volume since midnight UTC; null on a day whose begin is not known",
        ("vwap",),
        (),
        _vwap,
        _none,
        _minutes_of_a_day,
        is_price=True,
    ),
}
"""All indicators by name."""
