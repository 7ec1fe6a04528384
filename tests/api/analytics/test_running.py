import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.analytics.bars import Bars
from api.analytics.indicators import INDICATORS, compute, parse_wanted
from api.analytics.running import ENDLESS, RunningIndicators
from flows.model import Candle
from tests.fakes.candle_runs import wandering

WANTED = [parse_wanted(name) for name in INDICATORS if name not in ENDLESS]


def batch_values(candles: list[Candle]) -> dict[str, dict[str, float | None]]:
    series = [compute(Bars.of(candles), one, last=1) for one in WANTED]
    return {one.label: {name: values[0] for name, values in one.values.items()} for one in series}


def assert_equal(found: dict[str, dict[str, float | None]], expected: dict[str, dict[str, float | None]]) -> None:
    assert found.keys() == expected.keys()
    for label, values in expected.items():
        for output, value in values.items():
            assert (found[label][output] is None) == (value is None), label
            assert found[label][output] == (value and pytest.approx(value, rel=1e-9, abs=1e-9)), label


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 60))
def test_candle_by_candle_equals_the_whole_series(seed: int, count: int) -> None:
    candles = wandering(count, seed=seed)
    running = RunningIndicators(WANTED)

    for number, candle in enumerate(candles, 1):
        assert_equal(running.on_candle(candle), batch_values(candles[:number]))


def test_so_it_is_when_the_series_is_longer_than_the_memory() -> None:
    candles = wandering(2_500)
    running = RunningIndicators(WANTED)

    for number, candle in enumerate(candles, 1):
        found = running.on_candle(candle)
        if number % 97 == 0:
            assert_equal(found, batch_values(candles[:number]))


def test_versions_of_a_forming_candle_leave_no_trace() -> None:
    *closed, last = wandering(40)
    running, undisturbed = RunningIndicators(WANTED), RunningIndicators(WANTED)
    for candle in closed:
        running.on_candle(candle)
        undisturbed.on_candle(candle)
    for close in (last.low, last.high):
        running.on_candle(msgspec.structs.replace(last, close=close, is_closed=False, status="forming"))

    assert running.on_candle(last) == undisturbed.on_candle(last)


def test_an_older_candle_is_refused() -> None:
    running = RunningIndicators(WANTED)
    first, second = wandering(2)
    running.on_candle(second)

    with pytest.raises(ValueError, match="came after"):
        running.on_candle(first)


def test_what_never_forgets_cannot_be_followed() -> None:
    with pytest.raises(ValueError, match="obv depends on every candle"):
        RunningIndicators([parse_wanted("obv")])
