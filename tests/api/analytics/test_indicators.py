import csv
import json
from typing import Any

import numpy as np
import pytest

from api.analytics.bars import Bars
from api.analytics.indicators import INDICATORS, IndicatorSeries, Wanted, compute, parse_wanted
from flows.model import Candle
from tests.fakes.candle_runs import closing_at, wandering
from tests.fakes.candles import candle
from tests.fakes.recordings import recording

DAY_OF_MINUTES = 1_440


def reference_bars() -> Bars:
    with (recording("indicators") / "quotes" / "default.csv").open() as file:
        rows = list(csv.DictReader(file))
    high, low, close, volume = (
        np.array([float(row[name]) for row in rows], dtype=np.float64) for name in ("high", "low", "close", "volume")
    )
    return Bars(np.arange(len(rows), dtype=np.float64) * 86_400_000, high, low, close, volume, close * volume)


def reference(name: str) -> list[dict[str, Any]]:
    path = recording("indicators") / "results" / f"{name}.standard.json"
    rows: list[dict[str, Any]] = json.loads(path.read_text())
    return rows


def values_of(candles: list[Candle], text: str, last: int | None = None) -> dict[str, list[float | None]]:
    return compute(Bars.of(candles), parse_wanted(text), last).values


@pytest.mark.parametrize(
    ("text", "name", "fields"),
    [
        ("sma:20", "sma", {"sma": "sma"}),
        ("ema:20", "ema", {"ema": "ema"}),
        ("wma:14", "wma", {"wma": "wma"}),
        ("rsi:14", "rsi", {"rsi": "rsi"}),
        ("macd:12:26:9", "macd", {"macd": "macd", "signal": "signal", "histogram": "histogram"}),
        ("bbands:20:2", "bb", {"upper": "upperBand", "middle": "sma", "lower": "lowerBand"}),
        ("atr:14", "atr", {"atr": "atr"}),
        ("stoch:14:3:3", "stoch", {"d": "d"}),
        ("obv", "obv", {"obv": "obv"}),
    ],
)
def test_equals_the_reference_in_every_place(text: str, name: str, fields: dict[str, str]) -> None:
    series = compute(reference_bars(), parse_wanted(text))

    rows = reference(name)
    for output, field in fields.items():
        expected = [row[field] for row in rows]
        assert [value is None for value in series.values[output]] == [value is None for value in expected]
        found = [value for value in series.values[output] if value is not None]
        assert found == pytest.approx([value for value in expected if value is not None], abs=1e-9, rel=1e-15)


@pytest.mark.parametrize("name", list(INDICATORS))
def test_values_begin_after_the_warm_up(name: str) -> None:
    series = compute(Bars.of(wandering(60)), parse_wanted(name))

    for values in series.values.values():
        assert len(values) == 60
        assert None not in values[series.warm_up :]
    assert any(values[: series.warm_up] == [None] * series.warm_up for values in series.values.values())


@pytest.mark.parametrize("name", list(INDICATORS))
def test_the_last_values_are_the_end_of_all(name: str) -> None:
    candles = wandering(60)

    last = values_of(candles, name, last=7)

    assert last == {output: values[-7:] for output, values in values_of(candles, name).items()}
    assert values_of(candles, name, last=99) == values_of(candles, name)


@pytest.mark.parametrize("name", list(INDICATORS))
@pytest.mark.parametrize("count", [0, 1, 2])
def test_hardly_any_candles_give_nulls_and_no_error(name: str, count: int) -> None:
    series = compute(Bars.of(wandering(count)), parse_wanted(name))

    assert all(len(values) == count for values in series.values.values())


@pytest.mark.parametrize("name", [name for name in INDICATORS if name not in {"obv", "vwap"}])
def test_a_value_does_not_depend_on_what_lies_beyond_its_memory(name: str) -> None:
    candles = wandering(1_200)
    memory = parse_wanted(name).memory

    short, complete = values_of(candles[-memory - 1 :], name, last=1), values_of(candles, name, last=1)

    for output, values in complete.items():
        assert short[output] == pytest.approx(values, rel=1e-9, abs=1e-9)


def test_the_price_of_a_coin_may_be_tiny() -> None:
    ordinary, tiny = wandering(60, price=100.0), wandering(60, price=100.0 * 2**-24)

    for name, indicator in INDICATORS.items():
        unit = 2.0**24 if indicator.is_price else 1.0
        for output, values in values_of(tiny, name).items():
            other = values_of(ordinary, name)[output]
            assert [value is None for value in values] == [value is None for value in other], name
            scaled = [value * unit for value in values if value is not None]
            assert scaled == pytest.approx([value for value in other if value is not None], rel=1e-13), name


def test_a_price_that_never_moved_has_no_relative_strength_and_no_place_in_its_range() -> None:
    flat = closing_at([5.0] * 40)

    assert set(values_of(flat, "rsi")["rsi"]) == {None}
    assert values_of(flat, "stoch") == {"k": [None] * 40, "d": [None] * 40}
    assert values_of(flat, "atr", last=1) == {"atr": [0.0]}
    assert values_of(flat, "bbands", last=1) == {"upper": [5.0], "middle": [5.0], "lower": [5.0]}


def test_a_flat_stretch_is_undefined_only_while_it_is_felt() -> None:
    prices = [100.0 + minute % 3 for minute in range(20)]
    candles = closing_at([*prices, *[100.0] * 14, *prices])

    stoch = values_of(candles, "stoch:14:3:3")

    undefined = [minute for minute, value in enumerate(stoch["k"]) if value is None and minute > 17]
    assert undefined == list(range(33, 37))
    assert [minute for minute, value in enumerate(stoch["d"]) if value is None and minute > 17] == list(range(33, 39))


def test_vwap_is_what_was_paid_since_midnight() -> None:
    candles = wandering(DAY_OF_MINUTES + 60)

    vwap = values_of(candles, "vwap")["vwap"]

    for minute in (0, 700, DAY_OF_MINUTES - 1, DAY_OF_MINUTES, DAY_OF_MINUTES + 59):
        day = candles[minute // DAY_OF_MINUTES * DAY_OF_MINUTES : minute + 1]
        paid, volume = sum(c.quote_volume for c in day), sum(c.volume for c in day)
        assert vwap[minute] == pytest.approx(paid / volume, rel=1e-12)


def test_vwap_of_a_day_whose_begin_is_missing_or_that_had_no_volume_is_null() -> None:
    candles = wandering(DAY_OF_MINUTES + 2)[5:]
    assert values_of(candles, "vwap")["vwap"][: DAY_OF_MINUTES - 5] == [None] * (DAY_OF_MINUTES - 5)
    assert None not in values_of(candles, "vwap")["vwap"][DAY_OF_MINUTES - 5 :]

    assert values_of([candle(0, volume=0.0, quote_volume=0.0)], "vwap") == {"vwap": [None]}


def test_names_carry_parameters_in_their_order() -> None:
    assert parse_wanted("RSI") == Wanted("rsi", (14,))
    assert parse_wanted("macd:5") == Wanted("macd", (5, 26, 9))
    assert parse_wanted("bbands:10:2.5").label == "bbands:10:2.5"
    assert parse_wanted("obv").label == "obv"


def test_the_answer_names_what_it_was_made_with() -> None:
    series = compute(Bars.of(wandering(3)), parse_wanted("macd:5:8"))

    assert series == IndicatorSeries(
        "macd",
        "macd:5:8:9",
        {"fast": 5, "slow": 8, "signal": 9},
        15,
        parse_wanted("macd:5:8").memory,
        {"macd": [None] * 3, "signal": [None] * 3, "histogram": [None] * 3},
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("rsx", "'rsx' is no indicator; there are sma, ema"),
        ("rsi:14:2", "write rsi:period"),
        ("macd:26:12", "fast is 26, must be less than slow, 12"),
        ("macd:26", "fast is 26, must be less than slow, 26"),
        ("rsi:1", "period is '1', must be a whole number from 2 to 500"),
        ("rsi:501", "from 2 to 500"),
        ("rsi:14.5", "whole number"),
        ("rsi:nan", "whole number"),
        ("rsi:inf", "whole number"),
        ("rsi:", "whole number"),
        ("bbands:20:0", "width is '0', must be a number from 0.1 to 10"),
    ],
)
def test_a_wrong_name_is_an_error_that_states_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_wanted(text)


def test_what_is_said_has_no_noise_of_binary_fractions() -> None:
    closes = [60042.1, 60042.3, 60042.5, 60042.02]
    assert values_of(closing_at(closes), "sma:4", last=1) == {"sma": [60042.23]}
