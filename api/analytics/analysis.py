"""Analysis of several timeframes: the common indicators combined, with confidence and reasons.

It is arithmetic on the past, not a forecast. Every score lies between -1 (down) and +1 (up).

For one timeframe, with `clip` to that range, at the newest candle:

- trend       = clip((EMA20 - EMA50) / ATR14)
- momentum    = mean of clip((RSI14 - 50) / 20) and clip(2 * MACD histogram / ATR14)
- volume      = clip(5 * (2 * taker buys / volume - 1)) of the last 20 candles; none while the exchange's own are among
                them and do not state what takers bought
- volatility  = ATR14 / mean ATR14 of the last 100 candles; it has no direction: above 1 it lowers the confidence
- score       = mean of trend, momentum and volume by `Weights`

Over the timeframes, by their weights:

- score       = mean of the timeframes' scores
- agreement   = |mean of the scores| / mean of |score|: 1 when all point the same way
- data        = mean of min(1, candles / `NEEDED`), 0 for a timeframe without a score
- calm        = mean of min(1, 1 / volatility)
- confidence  = agreement * data * calm
- signal      = `up` from `LEAN` on, `strong up` from `STRONG` on, likewise down; else `neutral`
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from api.analytics.bars import Bars, Floats
from api.analytics.indicators import compute, parse_wanted
from flows.model import Candle
from flows.model.printed import printed
from flows.modules.late import late_module
from flows.texts import counted

if TYPE_CHECKING:
    import numpy as np
else:
    np = late_module("numpy")

NEEDED: Final = 250
"""Candles after which the averages hardly depend on the first one."""
LEAST: Final = 52
"""Candles below which there is no score: the slowest average has no value."""
LEAN, STRONG = 0.2, 0.6  # least |score| of a signal, and of a strong one
VOLUME_CANDLES: Final = 20
USUAL_CANDLES: Final = 100

Signal = Literal["strong down", "down", "neutral", "up", "strong up"]


class Weights(Struct, frozen=True):
    """Weights, each relative to the others of its kind; 0 leaves its part out."""

    timeframes: Mapping[str, float]
    trend: float = 0.5
    momentum: float = 0.3
    volume: float = 0.2


class TimeframeAnalysis(Struct, frozen=True):
    """Analysis of one timeframe. Scores are null where there are too few candles, or the formula divides by zero."""

    timeframe: str
    candles: int
    weight: float
    score: float | None
    trend: float | None
    momentum: float | None
    volume: float | None
    volatility: float | None
    reasons: list[str]


class Analysis(Struct, frozen=True):
    """All timeframes together; `score` is null, and the signal neutral, where none has a score."""

    signal: Signal
    score: float | None
    confidence: float
    agreement: float
    data: float
    calm: float
    timeframes: list[TimeframeAnalysis]
    reasons: list[str]


def analyse(series: Mapping[str, Sequence[Candle]], weights: Weights) -> Analysis:
    """Analyses the timeframes that have a weight; candles are oldest first, including the forming one."""
    results = [
        analyse_timeframe(timeframe, series.get(timeframe, ()), weights)
        for timeframe, weight in weights.timeframes.items()
        if weight > 0
    ]
    total = sum(result.weight for result in results)
    scored = [(result.weight, result.score) for result in results if result.score is not None]
    score, strength = _mean(scored), _mean([(weight, abs(one)) for weight, one in scored])
    calm = _mean([(one.weight, min(1.0, 1 / one.volatility)) for one in results if one.volatility])
    agreement = abs(score) / strength if score is not None and strength else 0.0
    complete = [one.weight * min(1.0, one.candles / NEEDED) for one in results if one.score is not None]
    data = sum(complete) / total if total else 0.0
    signal = _signal(score or 0.0)
    return Analysis(
        signal,
        _printed(score),
        printed(agreement * data * (calm or 0.0)),
        printed(agreement),
        printed(data),
        printed(calm or 0.0),
        results,
        _reasons(signal, score, agreement, data, calm or 0.0, results),
    )


def analyse_timeframe(timeframe: str, candles: Sequence[Candle], weights: Weights) -> TimeframeAnalysis:
    """The analysis of one timeframe; without scores below `LEAST` candles."""
    weight, count = weights.timeframes[timeframe], len(candles)
    if count < LEAST:
        reason = f"{timeframe}: {counted(count, 'candle is', 'candles are')} too few, a score needs {LEAST}"
        return TimeframeAnalysis(timeframe, count, weight, None, None, None, None, None, [reason])
    bars = Bars.of(candles)
    fast, slow, atr, strength = (_newest(bars, name) for name in ("ema:20", "ema:50", "atr:14", "rsi:14"))
    histogram = _newest(bars, "macd", "histogram")
    trend = _clip((fast - slow) / atr) if fast is not None and slow is not None and atr else None
    parts = [
        None if strength is None else _clip((strength - 50) / 20),
        _clip(2 * histogram / atr) if histogram is not None and atr else None,
    ]
    momentum = _mean([(1.0, part) for part in parts if part is not None])
    bought = _bought(candles[-VOLUME_CANDLES:])
    volume = None if bought is None else _clip(5 * (2 * bought - 1))
    volatility = _volatility(bars)
    weighted = ((weights.trend, trend), (weights.momentum, momentum), (weights.volume, volume))
    score = _mean([(part, one) for part, one in weighted if one is not None])
    reasons = [
        _reason(trend, f"{timeframe}: trend {{:+.2f}}, EMA20 {_g(fast)} against EMA50 {_g(slow)}, ATR14 {_g(atr)}"),
        _reason(momentum, f"{timeframe}: momentum {{:+.2f}}, RSI14 {_g(strength)}, MACD histogram {_g(histogram)}"),
        f"{timeframe}: volume {_volume_text(volume, bought)}",
        _reason(volatility, f"{timeframe}: volatility {{:.2f}} of the usual"),
    ]
    if count < NEEDED:
        reasons.append(f"{timeframe}: {count} of {NEEDED} candles, which lowers the confidence")
    return TimeframeAnalysis(
        timeframe,
        count,
        weight,
        _printed(score),
        _printed(trend),
        _printed(momentum),
        _printed(volume),
        _printed(volatility),
        [one for one in reasons if one],
    )


def _newest(bars: Bars, text: str, output: str | None = None) -> float | None:
    values = compute(bars, parse_wanted(text), last=1).values
    return values[output or next(iter(values))][0]


def _volatility(bars: Bars) -> float | None:
    ranges: list[float | None] = compute(bars, parse_wanted("atr:14"), last=USUAL_CANDLES).values["atr"]
    known: Floats = np.array([value for value in ranges if value is not None], dtype=np.float64)
    return float(known[-1] / known.mean()) if known.size and known.mean() > 0 else None


def _bought(candles: Sequence[Candle]) -> float | None:
    """The share of the volume that takers bought; None without a trade, and where the exchange's own candle among them
    does not state it.
    """
    volume = sum(candle.volume for candle in candles)
    bought = sum(candle.taker_buy_volume for candle in candles)
    return None if isnan(bought) or not volume else bought / volume


def _mean(weighted: Sequence[tuple[float, float]]) -> float | None:
    total = sum(weight for weight, _ in weighted)
    return sum(weight * value for weight, value in weighted) / total if total else None


def _printed(value: float | None) -> float | None:
    return None if value is None else printed(value)


def _clip(value: float) -> float:
    return max(-1.0, min(1.0, value))


def _signal(score: float) -> Signal:
    if abs(score) < LEAN:
        return "neutral"
    if abs(score) < STRONG:
        return "up" if score > 0 else "down"
    return "strong up" if score > 0 else "strong down"


def _reasons(
    signal: Signal,
    score: float | None,
    agreement: float,
    data: float,
    calm: float,
    results: Sequence[TimeframeAnalysis],
) -> list[str]:
    if score is None:
        return ["no timeframe has candles enough for a score", *(one.reasons[0] for one in results if one.reasons)]
    shown = ", ".join(f"{one.timeframe} {one.score:+.2f}" for one in results if one.score is not None)
    reasons = [f"{signal}: the mean score is {score:+.2f} ({shown})", f"the timeframes agree to {agreement:.0%}"]
    if data < 1:
        few = ", ".join(f"{one.timeframe} has {one.candles}" for one in results if one.candles < NEEDED)
        reasons.append(f"thin data lowers the confidence to {data:.0%} of what it were ({few} of {NEEDED} candles)")
    if calm < 1:
        reasons.append(f"unusual volatility lowers the confidence to {calm:.0%} of what it were")
    return reasons


def _reason(value: float | None, text: str) -> str:
    return "" if value is None else text.format(value)


def _volume_text(volume: float | None, bought: float | None) -> str:
    if volume is None or bought is None:
        return f"unknown, as the last {VOLUME_CANDLES} candles have no trades or do not state what takers bought"
    return f"{volume:+.2f}, takers bought {100 * bought:.1f} %"


def _g(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.6g}"
