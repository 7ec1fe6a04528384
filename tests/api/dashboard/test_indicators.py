"""Indicators in the page's own script, against those of the REST API."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.analytics.bars import Bars
from api.analytics.indicators import INDICATORS, compute, parse_wanted
from flows.model import Candle
from tests.fakes.candles import candle
from tests.fakes.node import printed

PLAY = """
const { INDICATORS, compute, parseLabel, settleOf } = await import(process.argv[1]);
const { candles, labels } = JSON.parse(process.argv[2]);
const of = (label) => ({ values: compute(parseLabel(label), candles), settle: settleOf(parseLabel(label)) });
const found = labels.map(of);
console.log(JSON.stringify({ found, names: Object.keys(INDICATORS) }));
"""
LABELS = [
    "sma:5", "ema", "ema:3", "wma:7", "bbands", "bbands:5:1.5", "macd", "macd:3:6:2", "rsi", "rsi:2", "stoch",
    "stoch:5:1:1", "atr", "atr:3", "obv", "vwap",
]  # fmt: skip
FIGURES = ("open", "high", "low", "close", "volume", "quote_volume", "taker_buy_volume")
OWN = {"delta", "cvd"}
"""Of the page alone."""
CLOSE_BY = 1e-6
"""TA-Lib sums over a sliding window, the page anew for each candle."""

prices = st.floats(90.0, 110.0).map(lambda value: round(value, 2))


@st.composite
def walks(draw: st.DrawFn) -> list[Candle]:
    """Candles that go up and down, with flat stretches."""
    found: list[Candle] = []
    for minute in range(draw(st.integers(1, 90))):
        before = found[-1].close if found else 100.0
        close = draw(st.one_of(st.just(before), prices))
        high, low = max(before, close), min(before, close)
        wick = draw(st.sampled_from([0.0, 0.25]))
        volume = draw(st.integers(0, 50)) / 4
        found.append(candle(minute, open=before, high=high + wick, low=low - wick, close=close, volume=volume))
    return found


def of_page(candles: list[Candle], labels: list[str]) -> Any:
    """What the page computes."""
    figures = [{name: getattr(one, name) for name in FIGURES} | {"time": one.open_time} for one in candles]
    return json.loads(printed(PLAY, "chart/indicators.js", json.dumps({"candles": figures, "labels": labels})))


@given(walks())
def test_they_are_those_of_the_interface(candles: list[Candle]) -> None:
    found = of_page(candles, LABELS)
    assert set(found["names"]) - OWN == set(INDICATORS)
    bars = Bars.of(candles)
    for label, page in zip(LABELS, found["found"], strict=True):
        wanted = compute(bars, parse_wanted(label)).values
        assert set(page["values"]) == set(wanted)
        for output, column in wanted.items():
            assert len(column) == len(page["values"][output])
            for ours, theirs in zip(page["values"][output], column, strict=True):
                assert (ours is None) == (theirs is None), (label, output, page["values"][output], column)
                assert ours is None or math.isclose(ours, theirs or 0.0, abs_tol=CLOSE_BY), (label, output)


def test_what_is_shown_hardly_depends_on_where_the_candles_begin() -> None:
    walk = [candle(minute, close=100 + 10 * math.sin(minute / 7), high=111.0, low=89.0) for minute in range(800)]
    labels = [label for label in LABELS if label not in {"obv", "vwap"}]
    whole, part = of_page(walk, labels)["found"], of_page(walk[300:], labels)["found"]
    for label, one, other in zip(labels, whole, part, strict=True):
        for output, column in other["values"].items():
            shown = column[one["settle"] :]
            assert None not in shown
            same = zip(shown, one["values"][output][300 + one["settle"] :], strict=True)
            assert max(abs(ours - theirs) for ours, theirs in same) < 0.05, label


def test_the_cumulative_delta_begins_with_the_day() -> None:
    bought = [3.0, 0.0, 2.5, 4.0, 1.0]
    walk = [
        candle(minute, volume=4.0, taker_buy_volume=each) for minute, each in zip(range(-2, 3), bought, strict=True)
    ]
    delta, sums = (one["values"] for one in of_page(walk, ["delta", "cvd"])["found"])
    assert delta == {"delta": [2.0, -4.0, 1.0, 4.0, -2.0]}
    assert sums == {"cvd": [None, None, 1.0, 5.0, 3.0]}  # of the day before the begin is not there


@pytest.mark.parametrize("label", ["cvd:1", "sma:1", "sma:2.5", "ema:501", "rsi:x", "obv:3", "bbands:20:11", ""])
def test_a_wrong_label_is_none(label: str) -> None:
    play = "const { parseLabel } = await import(process.argv[1]); console.log(parseLabel(process.argv[2]));"
    assert printed(play, "chart/indicators.js", label) == "null"
