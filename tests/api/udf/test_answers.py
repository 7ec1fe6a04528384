"""Bars and marks of TradingView's protocol, of made-up candles and incidents."""

from math import nan

import pytest
from msgspec import to_builtins

from api.http.errors import Problem
from api.udf.answers import (
    MARKS_A_BAR,
    MARKS_MOST,
    RESOLUTIONS,
    columns_of,
    history_of,
    marks_of,
    timeframe_of,
    timescale_marks_of,
)
from tests.fakes.candles import BEGIN, candle, gap

MINUTE = 60_000
SECOND = BEGIN // 1_000


def test_a_resolution_is_minutes_or_days() -> None:
    assert [timeframe_of(one) for one in (*RESOLUTIONS, "d", "D", "1440")] == [
        "1m", "5m", "15m", "1h", "4h", "1d", "1d", "1d", "1d"
    ]  # fmt: skip
    for text in ("", "3", "1W", "S"):
        with pytest.raises(Problem, match="is none of 1, 5, 15, 60, 240, 1D"):
            timeframe_of(text)


def test_bars_are_columns_in_seconds() -> None:
    assert to_builtins(history_of([candle(0, close=101.0), candle(1, close=100.5, volume=nan)])) | {"v": None} == {
        "s": "ok",
        "t": [SECOND, SECOND + 60],
        "o": [100.0, 100.0],
        "h": [101.5, 101.5],
        "l": [99.25, 99.25],
        "c": [101.0, 100.5],
        "v": None,
    }


def test_without_bars_the_time_of_older_ones_is_named() -> None:
    assert to_builtins(history_of([], next_ms=BEGIN)) == {"s": "no_data", "nextTime": SECOND}
    assert to_builtins(history_of([])) == {"s": "no_data"}


def test_incidents_and_doubtful_bars_are_marked_at_the_begin_of_their_bar() -> None:
    candles = [
        candle(5),
        candle(6, revision=2, status="repaired"),
        candle(7, status="partial"),
        candle(8, is_closed=False, status="forming"),
    ]
    incident = gap(
        begin=BEGIN + 6 * MINUTE + 1_500, end=BEGIN + 6 * MINUTE + 4_000, cause="3 trades", outcome="repaired"
    )
    marks = marks_of([("one", incident)], candles, length_ms=5 * MINUTE)
    assert [(mark.time_s - SECOND, mark.label, mark.color) for mark in marks] == [
        (300, "G", "red"),
        (360, "R", "blue"),
        (420, "?", "red"),
    ]
    assert marks[0].text == "gap 00:06:01 to 00:06:04: 3 trades: repaired"
    columns = to_builtins(columns_of(marks))
    assert {name: len(values) for name, values in columns.items()} == dict.fromkeys(columns, 3)
    assert [one.tooltip for one in timescale_marks_of(marks)] == [[mark.text] for mark in marks]


def test_a_bar_has_no_more_marks_than_are_drawn() -> None:
    many = [(f"{number:04}", gap(begin=BEGIN + number)) for number in range(3 * MARKS_A_BAR)]
    assert [mark.id for mark in marks_of(many, [], length_ms=MINUTE)] == [f"{n:04}" for n in range(MARKS_A_BAR)]
    spread = [(f"{number:04}", gap(begin=BEGIN + number * MINUTE)) for number in range(2 * MARKS_MOST)]
    assert len(marks_of(spread, [], length_ms=MINUTE)) == MARKS_MOST
