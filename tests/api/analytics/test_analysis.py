import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.analysis import LEAN, LEAST, NEEDED, STRONG, Weights, analyse, analyse_timeframe
from api.analytics.bars import Bars
from api.analytics.indicators import compute, parse_wanted
from flows.model import Candle
from tests.fakes.candle_runs import closing_at, wandering

WEIGHTS = Weights({"1m": 1.0, "1h": 3.0})


def newest(candles: list[Candle], text: str, output: str) -> float:
    value = compute(Bars.of(candles), parse_wanted(text)).values[output][-1]
    assert value is not None
    return value


def with_buyers(candles: list[Candle], share: float) -> list[Candle]:
    return [msgspec.structs.replace(candle, taker_buy_volume=candle.volume * share) for candle in candles]


def clipped(value: float) -> float:
    return min(max(value, -1.0), 1.0)


def test_the_scores_of_a_timeframe_are_those_of_the_formula() -> None:
    candles = with_buyers(wandering(300), 0.55)
    atr = newest(candles, "atr:14", "atr")

    result = analyse_timeframe("1m", candles, WEIGHTS)

    trend = clipped((newest(candles, "ema:20", "ema") - newest(candles, "ema:50", "ema")) / atr)
    rsi, histogram = newest(candles, "rsi:14", "rsi"), newest(candles, "macd:12:26:9", "histogram")
    momentum = (clipped((rsi - 50) / 20) + clipped(2 * histogram / atr)) / 2
    ranges = [value for value in compute(Bars.of(candles), parse_wanted("atr:14"), 100).values["atr"] if value]
    assert result.trend == pytest.approx(trend)
    assert result.momentum == pytest.approx(momentum)
    assert result.volume == pytest.approx(0.5)
    assert result.volatility == pytest.approx(atr / (sum(ranges) / len(ranges)))
    assert result.score == pytest.approx(0.5 * trend + 0.3 * momentum + 0.2 * 0.5)
    assert [reason.partition(" ")[2].split()[0] for reason in result.reasons] == [
        "trend",
        "momentum",
        "volume",
        "volatility",
    ]


def test_the_score_is_the_weighted_mean_and_the_confidence_its_factors() -> None:
    rising, falling = wandering(NEEDED, drift=0.002), wandering(NEEDED, drift=-0.002, timeframe="1h")

    analysis = analyse({"1m": rising, "1h": falling}, WEIGHTS)

    up, down = analysis.timeframes
    assert up.score is not None
    assert down.score is not None
    assert up.score > 0 > down.score
    assert analysis.score == pytest.approx((up.score + 3 * down.score) / 4)
    assert analysis.agreement == pytest.approx(abs(up.score + 3 * down.score) / (up.score - 3 * down.score))
    assert analysis.data == 1.0
    assert analysis.confidence == pytest.approx(analysis.agreement * analysis.calm)
    assert analysis.signal in {"down", "neutral"}


@pytest.mark.parametrize(("drift", "share", "signal"), [(0.005, 0.65, "strong up"), (-0.005, 0.35, "strong down")])
def test_what_points_one_way_everywhere_is_a_strong_signal(drift: float, share: float, signal: str) -> None:
    series = {
        timeframe: with_buyers(wandering(NEEDED, drift=drift, timeframe=timeframe), share)
        for timeframe in WEIGHTS.timeframes
    }

    analysis = analyse(series, WEIGHTS)

    assert (analysis.signal, analysis.agreement) == (signal, 1.0)
    assert analysis.reasons[0].startswith(f"{signal}: the mean score is")


def test_thin_data_lowers_the_confidence_and_says_so() -> None:
    rich = {timeframe: wandering(NEEDED, timeframe=timeframe, drift=0.002) for timeframe in ("1m", "1h")}
    thin = {**rich, "1h": rich["1h"][-100:]}
    empty = {"1m": rich["1m"]}

    full, lower, lowest = (analyse(series, WEIGHTS) for series in (rich, thin, empty))

    assert (full.data, lower.data, lowest.data) == (1.0, (1 + 3 * 100 / NEEDED) / 4, 0.25)
    assert "1h has 100 of 250 candles" in lower.reasons[2]
    assert lower.timeframes[1].reasons[-1] == "1h: 100 of 250 candles, which lowers the confidence"
    assert lowest.timeframes[1].reasons == [f"1h: 0 candles are too few, a score needs {LEAST}"]
    assert lowest.timeframes[1].score is None


def test_without_candles_there_is_no_signal_and_no_confidence() -> None:
    analysis = analyse({}, WEIGHTS)

    assert (analysis.signal, analysis.score, analysis.confidence) == ("neutral", None, 0.0)
    assert analysis.reasons[0] == "no timeframe has candles enough for a score"
    assert analyse({}, Weights({})).confidence == 0.0


def test_a_price_that_never_moved_says_nothing_but_its_volume() -> None:
    flat = with_buyers(closing_at([5.0] * LEAST), 0.5)

    result = analyse_timeframe("1m", flat, WEIGHTS)

    assert (result.trend, result.momentum, result.volume, result.volatility) == (None, None, 0.0, None)
    assert result.score == 0.0
    assert analyse({"1m": flat, "1h": flat}, WEIGHTS).confidence == 0.0


def test_an_exchange_that_does_not_state_what_takers_bought_leaves_the_volume_out() -> None:
    candles = with_buyers(wandering(300), 0.55)
    candles[-2] = msgspec.structs.replace(candles[-2], taker_buy_volume=float("nan"))

    result = analyse_timeframe("1m", candles, WEIGHTS)

    assert result.volume is None
    assert result.trend is not None
    assert result.momentum is not None
    assert result.score == pytest.approx((0.5 * result.trend + 0.3 * result.momentum) / 0.8)
    unknown = "1m: volume unknown, as the last 20 candles have no trades or do not state what takers bought"
    assert unknown in result.reasons


def test_a_timeframe_without_weight_is_left_out() -> None:
    analysis = analyse({"1m": wandering(60)}, Weights({"1m": 0.0, "1h": 1.0}))

    assert [result.timeframe for result in analysis.timeframes] == ["1h"]


def test_wild_prices_take_from_the_confidence() -> None:
    calm = wandering(NEEDED - 20)
    last = calm[-1]
    wild = [
        msgspec.structs.replace(last, open_time=last.open_time + number * 60_000, high=1.5 * last.high)
        for number in range(1, 21)
    ]

    analysis = analyse({"1m": [*calm, *wild]}, Weights({"1m": 1.0}))

    assert analysis.calm < 0.5
    assert "unusual volatility lowers the confidence" in analysis.reasons[-1]


@settings(deadline=None)
@given(st.integers(0, 1_000), st.integers(0, 300), st.floats(-0.01, 0.01), st.floats(0, 1))
def test_scores_and_confidence_stay_in_their_bounds(seed: int, count: int, drift: float, share: float) -> None:
    candles = with_buyers(wandering(count, seed=seed, drift=drift), share)

    analysis = analyse({"1m": candles, "1h": candles[::2]}, WEIGHTS)

    for value in (analysis.confidence, analysis.agreement, analysis.data, analysis.calm):
        assert 0 <= value <= 1 + 1e-12
    score = analysis.score or 0.0
    assert -1 <= score <= 1
    expected = "neutral" if abs(score) < LEAN else ("up" if score > 0 else "down")
    assert analysis.signal == (f"strong {expected}" if abs(score) >= STRONG else expected)
