"""What a file says against itself: rows that hide fills are holes that are named, times out of order make no `final`
candle.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import WITHDRAWN_FILL, AggregateTrade, Gap, Incident
from flows.operators.trades.position import Position, WithdrawnTrades
from sources.archive.disorder import JITTER_MS, disorders
from tests.fakes.imports import import_folder

DAY = 1_729_987_200_000
SYMBOL = "BTCUSDT"
NAME = f"{SYMBOL}-aggTrades-2024-10-27.csv"
HOUR_MS = 3_600_000
STEP_MS = 120_000
Row = list[Any]


def rows_of_a_day() -> list[Row]:
    """Rows of the archive: `id price quantity first_id last_id time buyer_is_maker best`."""
    chance = random.Random(3)
    rows: list[Row] = []
    fill = 5_000
    for number in range(24 * HOUR_MS // STEP_MS):
        fills = chance.randint(1, 3)
        values = round(100 + chance.random() * 10, 2), round(chance.random() * 3 + 0.01, 4)
        time = DAY + number * STEP_MS + chance.randrange(1_000)
        rows.append([1_000 + number, *values, fill, fill + fills - 1, time, "True", "True"])
        fill += fills
    return rows


def imported(folder: Path, rows: list[Row]) -> tuple[dict[int, tuple[str, int]], list[Incident]]:
    """Status and number of trades of each hour, and the incidents."""
    (folder / NAME).write_text("".join(",".join(map(str, row)) + "\n" for row in rows))
    sink, _ = import_folder(folder, SYMBOL, ("1h",))
    return {(c.open_time - DAY) // HOUR_MS: (c.status, c.trades) for c in sink.of("1h")}, sink.incidents


def true_hours(rows: list[Row]) -> dict[int, int]:
    hours: dict[int, int] = {}
    for row in rows:
        hour = (row[5] - DAY) // HOUR_MS
        hours[hour] = hours.get(hour, 0) + row[4] - row[3] + 1
    return hours


ZEROED: dict[str, Callable[[Row], list[Any]]] = {
    "fills as they were": lambda row: [row[0], 0, 0, row[3], row[4]],
    "the exchange's form": lambda row: [row[0], 0, 0, -1, -1],
    "no fills": lambda row: [row[0], 0, 0, row[3], row[3] - 1],
}


@pytest.mark.parametrize("form", ZEROED)
def test_rows_that_hide_fills_are_a_named_hole(form: str, tmp_path: Path) -> None:
    rows = rows_of_a_day()
    false = [[*ZEROED[form](row), *row[5:]] if 200 <= place < 250 else row for place, row in enumerate(rows)]

    hours, incidents = imported(tmp_path, false)

    true = true_hours(rows)
    wrong = {hour for hour, (status, trades) in hours.items() if status == "final" and trades != true[hour]}
    assert wrong == set()
    assert {hour for hour, (status, _) in hours.items() if status == "partial"} == {6, 8}
    assert 7 not in hours
    named = [(one.first_id, one.last_id) for one in incidents if one.kind == "gap"]
    assert named == [(1_200, 1_249)]


@pytest.mark.parametrize("form", [lambda _: (-1, -1), lambda fill: (fill, fill - 1)])
@pytest.mark.parametrize("places", [(200,), (200, 201, 202), (0,), (719,)])
def test_trades_that_were_taken_back_are_no_hole(
    form: Callable[[int], tuple[int, int]], places: tuple[int, ...], tmp_path: Path
) -> None:
    rows = rows_of_a_day()
    lacking = 0
    told: list[Row] = []
    for place, (number, price, quantity, first, last, *rest) in enumerate(rows):
        if place in places:
            told.append([number, 0, 0, *form(first - lacking), *rest])
            lacking += last - first + 1
        else:
            told.append([number, price, quantity, first - lacking, last - lacking, *rest])

    hours, incidents = imported(tmp_path, told)

    assert [one for one in incidents if one.kind in ("gap", "reject")] == []
    assert {status for status, _ in hours.values()} <= {"final", "unproven"}


def row(number: int, first: int, last: int, *, taken_back: bool = False) -> AggregateTrade:
    price = 0.0 if taken_back else 100.0
    fill = WITHDRAWN_FILL if taken_back else "MARKET"
    time = DAY + number * 1_000
    return AggregateTrade(SYMBOL, number, time, price, price, False, time, fill=fill, first_id=first, last_id=last)


@given(st.integers(1, 5), st.integers(-3, 3), st.booleans())
def test_only_fills_that_follow_each_other_show_that_trades_were_taken_back(
    count: int, jump: int, follow: bool
) -> None:
    position = Position()
    withdrawn = WithdrawnTrades("binance", SYMBOL, position, fills_follow=follow)
    for trade in (row(1, 10, 12), *(row(2 + n, -1, -1, taken_back=True) for n in range(count))):
        assert not withdrawn.hides_before(trade)
        withdrawn.take(trade)
        position.advance(trade)
    behind = row(2 + count, 13 + jump, 20)

    assert withdrawn.hides_before(behind) == (follow and jump != 0)
    gap, incident = cast("tuple[Gap, Incident]", withdrawn.lost(behind.time))
    assert gap == Gap("binance", SYMBOL, 2, 1 + count, DAY + 1_000, behind.time)
    assert (incident.kind, incident.first_id, incident.last_id) == ("gap", 2, 1 + count)
    assert withdrawn.lost(behind.time) == []


# --- times ---


@pytest.mark.parametrize("late_ms", [61_000, 600_000, 3_600_000])
@pytest.mark.parametrize("block", [(300, 400), (0, 100), (640, 690)])
def test_candles_of_times_out_of_order_are_not_final(block: tuple[int, int], late_ms: int, tmp_path: Path) -> None:
    rows = rows_of_a_day()
    late = [late_ms if block[0] <= place < block[1] else 0 for place in range(len(rows))]
    # Less than a step back is no disorder: there is nothing to see.
    told = [[*row[:5], row[5] + 2 * by, *row[6:]] for row, by in zip(rows, late, strict=True)]

    hours, _ = imported(tmp_path, told)

    true, said = true_hours(rows), true_hours(told)
    final = {hour for hour, (status, _) in hours.items() if status in ("final", "repaired")}
    assert {hour for hour in final if true.get(hour, 0) != said.get(hour, 0)} == set()
    assert final >= set(range((block[1] + 2 * late_ms // STEP_MS) // 30 + 2, 23))


def test_times_in_order_are_in_no_doubt(tmp_path: Path) -> None:
    hours, incidents = imported(tmp_path, rows_of_a_day())

    assert {status for hour, (status, _) in hours.items() if 0 < hour < 23} == {"final"}
    assert incidents == []


def test_a_block_of_late_times_may_begin_with_the_file() -> None:
    times = [DAY + after for after in (154_000, 175_000, 185_000, 232_000, 302_000, 274_000)]

    assert disorders([pl.DataFrame({"time": times})], DAY) == ((DAY, DAY + 302_000),)


@given(st.lists(st.integers(0, 100_000), min_size=4, max_size=60), st.data())
def test_a_block_of_late_times_is_inside_the_stretch_that_shows_it(steps: list[int], data: st.DataObject) -> None:
    times = [DAY + sum(steps[: place + 1]) for place in range(len(steps))]
    begin = data.draw(st.integers(0, len(times) - 2))
    end = data.draw(st.integers(begin + 1, len(times) - 1))
    late = data.draw(st.integers(1, 500_000))
    told = [time + late * (begin <= place < end) for place, time in enumerate(times)]
    size = data.draw(st.integers(1, len(times)))
    blocks = [pl.DataFrame({"time": told[place : place + size]}) for place in range(0, len(told), size)]

    found = disorders(blocks, DAY)

    if told[end - 1] - told[end] > JITTER_MS:
        assert any(first <= told[begin] and told[end - 1] <= last for first, last in found)
    else:
        assert found == ()
