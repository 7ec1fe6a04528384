"""Bars against a recount that goes from trade to trade, in fractions."""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import groupby, pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.model import Trade
from flows.operators.candles.bucket import Bucket
from sinks.bars.frame import BAR_SCHEMA, bar_frame
from sinks.bars.maker import BarMaker, BarRow, reached
from sinks.bars.missing import Gap, MissingIds
from sinks.bars.rule import BarRule, Periods, rule_of
from tests.fakes.trades import BEGIN, cut, trade, trade_runs
from tests.fakes.verified import TRADES_SCHEMA, rows_of

LATER = BEGIN + 10**12


def frame_of(trades: Sequence[Trade]) -> pl.DataFrame:
    return pl.DataFrame(rows_of(list(trades)), schema=TRADES_SCHEMA)


def made(rule: BarRule, batches: Sequence[Sequence[Trade]], *, start: int = 0, last: Any = None) -> list[BarRow]:
    maker, missing = BarMaker(rule, start_ms=start, end_ms=LATER, last=last), MissingIds()
    rows: list[BarRow] = []
    for batch in batches:
        frame = frame_of(batch)
        missing.add(frame["id"].to_numpy(), frame["time"].to_numpy())
        rows += maker.take(frame, missing)
    return [*rows, *maker.end(missing)]


def printed(values: Sequence[float]) -> float:
    return round(float(sum(map(Fraction, values))), 8)


def counted(trades: Sequence[Trade], times: tuple[int, int], *, is_closed: bool) -> BarRow:
    """The bar of these trades, in the order of their ids."""
    prices = [trade.price for trade in trades]
    bought = [trade for trade in trades if not trade.buyer_is_maker]
    quantities = [[one.quantity for one in side] for side in (trades, bought)]
    values = [[one.price * one.quantity for one in side] for side in (trades, bought)]
    sums = [printed(side) for pair in zip(quantities, values, strict=True) for side in pair]
    return (
        *times, prices[0], max(prices), min(prices), prices[-1], *sums[:2],
        sum(trade.last_id - trade.first_id + 1 for trade in trades), *sums[2:], trades[0].first_id, trades[-1].last_id,
        is_closed,
    )  # type: ignore[return-value]  # fmt: skip


@given(st.data(), trade_runs(), st.sampled_from(("1s", "7s", "1m", "7m", "4h", "1w")))
def test_bars_of_time_are_those_of_a_recount(data: st.DataObject, trades: list[Trade], size: str) -> None:
    rule = rule_of("time", size)
    rows = made(rule, data.draw(cut(trades)))

    periods = rule.periods or Periods(0)
    length = periods.length_ms
    wanted = [
        counted(list(group), (begin, begin + length - 1), is_closed=True)
        for begin, group in groupby(trades, lambda trade: periods.begin_of(trade.time))
    ]
    wanted[-1] = (*wanted[-1][:-1], False)
    assert [row for row in rows if row[8]] == wanted
    assert [row[0] for row in rows] == list(range(wanted[0][0], wanted[-1][1], length))
    for before, flat in pairwise(rows):
        if not flat[8]:
            assert flat[2:] == (*[before[5]] * 4, 0.0, 0.0, 0, 0.0, 0.0, -1, -1, True)


@given(st.data(), trade_runs())
def test_minutes_are_the_candles_of_the_flow(data: st.DataObject, trades: list[Trade]) -> None:
    rows = made(rule_of("time", "1m"), data.draw(cut(trades)))

    for begin, group in groupby(trades, lambda trade: trade.time - trade.time % 60_000):
        bucket = Bucket(begin, 0.0)
        bucket.add_trades(list(group))
        [row] = [row for row in rows if row[0] == begin]
        assert (row[0], *row[2:13]) == bucket.figures


def reference(trades: Sequence[Trade], kind: str, size: float) -> Iterator[BarRow]:
    bar: list[Trade] = []
    for each in trades:
        bar.append(each)
        sizes = {
            "tick": len(bar),
            "volume": printed([one.quantity for one in bar]),
            "dollar": printed([one.price * one.quantity for one in bar]),
        }
        if sizes[kind] >= size:
            yield counted(bar, (bar[0].time, bar[-1].time), is_closed=True)
            bar = []
    if bar:
        yield counted(bar, (bar[0].time, bar[-1].time), is_closed=False)


@given(
    st.data(),
    trade_runs(),
    st.sampled_from(
        [("tick", "1"), ("tick", "7"), ("volume", "15000"), ("volume", "0.00001"), ("dollar", "300000000")]
    ),
)
def test_other_bars_are_those_of_a_recount(data: st.DataObject, trades: list[Trade], rule: tuple[Any, str]) -> None:
    kind, size = rule
    assert made(rule_of(kind, size), data.draw(cut(trades))) == list(reference(trades, kind, float(size)))


@given(
    st.lists(st.sampled_from([0.1, 0.2, 0.3, 0.7, 1e-8, 1e9]), min_size=1, max_size=80), st.sampled_from([1, 0.3, 2])
)
def test_a_sum_reaches_a_size_as_it_is_printed(values: list[float], size: float) -> None:
    found, begin = [], 0
    for end in range(1, len(values) + 1):
        if printed(values[begin:end]) >= size:
            found.append(end)
            begin = end
    assert reached(pl.Series(values).to_numpy(), size, []) == found


def test_periods_behind_missing_trades_are_not_flat() -> None:
    rows = made(rule_of("time", "1m"), [[trade(1, 0), trade(2, 180_000)], [trade(4, 360_000)]])
    assert [(row[0] - BEGIN) // 60_000 for row in rows] == [0, 1, 2, 3, 6]


def test_periods_before_the_first_trade_are_flat_where_the_trade_before_is_known() -> None:
    rows = made(rule_of("time", "1m"), [[trade(8, 150_000)]], start=BEGIN, last=(7, 5.0))
    assert [row[5] for row in rows] == [5.0, 5.0, 100.0]


def test_open_and_close_of_a_period_follow_the_ids_and_those_of_other_bars_the_time() -> None:
    trades = [trade(2, 10, 2.0), trade(1, 20, 1.0), trade(3, 30, 3.0)]
    [row] = made(rule_of("time", "1m"), [trades[:1], trades[1:]])
    assert (row[2], row[5], row[11], row[12]) == (1.0, 3.0, 1, 3)
    first, second = made(rule_of("tick", "2"), [trades])
    assert (first[2], first[5], first[11], first[12], second[2]) == (2.0, 1.0, 2, 1, 3.0)


def test_no_number_of_gaps_makes_a_flat_bar() -> None:
    maker, missing = BarMaker(rule_of("time", "1s"), start_ms=BEGIN, end_ms=LATER), MissingIds()
    frame = frame_of([trade(2 * number + 1, 2_000 * number) for number in range(3_000)])
    missing.add(frame["id"].to_numpy(), frame["time"].to_numpy())
    rows = [*maker.take(frame, missing), *maker.end(missing)]
    assert [row[0] for row in rows] == [BEGIN + 2_000 * number for number in range(3_000)]
    assert missing.within(BEGIN, LATER, most=2) == (
        2_999, 2_999, [Gap(2, 2, BEGIN, BEGIN + 2_000), Gap(4, 4, BEGIN + 2_000, BEGIN + 4_000)]
    )  # fmt: skip
    assert missing.within(BEGIN + 4_001, BEGIN + 6_000, most=9)[:2] == (1, 1)


def test_bars_open_before_the_end() -> None:
    maker, missing = BarMaker(rule_of("time", "1m"), start_ms=BEGIN, end_ms=BEGIN + 120_000), MissingIds()
    frame = frame_of([trade(1, 0), trade(2, 300_000)])
    missing.add(frame["id"].to_numpy(), frame["time"].to_numpy())
    rows = [*maker.take(frame, missing), *maker.end(missing)]
    assert [(row[0] - BEGIN, row[-1]) for row in rows] == [(0, True), (60_000, True)]
    assert bar_frame(rows).schema == BAR_SCHEMA


def test_weeks_begin_on_monday_and_other_lengths_in_1970() -> None:
    week, seven = rule_of("time", "1w").periods, rule_of("time", "7m").periods
    assert (week, seven) == (Periods(604_800_000, 345_600_000), Periods(420_000))
    assert week is not None
    assert week.begin_of(1_767_225_600_000) == 1_766_966_400_000  # Thursday, and Monday 2025-12-29
    assert week.next_begin(1_766_966_400_000) == 1_766_966_400_000
    assert week.next_begin(1_766_966_400_001) == 1_767_571_200_000


@pytest.mark.parametrize(
    ("kind", "size", "reason"),
    [
        ("time", "1y", "write a number and s, m, h, d or w"),
        ("time", "0m", "no length"),
        ("tick", "0", "from 1 to 10,000,000"),
        ("tick", "1.5", "no number of trades"),
        ("tick", "99999999999", "no number of trades"),
        ("volume", "0", "base currency"),
        ("volume", "1m", "base currency"),
        ("dollar", "0.000000001", "quote currency"),
    ],
)
def test_a_size_of_another_kind_is_refused(kind: Any, size: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        rule_of(kind, size)
