from typing import Any

import pytest
from hypothesis import given
from msgspec import structs

from flows.bounds import BACK_MS
from flows.model import AggregateTrade, Trade
from flows.operators.trades.continuity import times_of_aggregates, times_of_fills
from tests.fakes.candles import kline_of_ones
from tests.fakes.trades import BEGIN, trade, trade_runs

FILLS = [trade(5, 10), trade(6, 10), trade(7, 25)]
KLINE = kline_of_ones()


def aggregate(number: int, first: int, last: int, time: int) -> AggregateTrade:
    return AggregateTrade(
        symbol="BTCUSDT", id=number, time=BEGIN + time, price=1.0, quantity=1.0, buyer_is_maker=False,
        event_time=BEGIN + time, first_id=first, last_id=last,
    )  # fmt: skip


RUN = [aggregate(5, 100, 102, 10), aggregate(6, 103, 103, 30), aggregate(7, 104, 109, 20)]


def times(run: list[Any], *, fill: int = 100, time: int = BEGIN, follow: bool = True) -> tuple[int, int] | None:
    return times_of_aggregates(run, (5, fill, time), fills_follow=follow)


def test_a_run_that_continues_gives_its_least_and_largest_time() -> None:
    assert times(RUN) == (BEGIN + 10, BEGIN + 30)
    assert times(RUN, fill=-1) == (BEGIN + 10, BEGIN + 30)
    assert times_of_fills(FILLS, (5, -1, BEGIN)) == (BEGIN + 10, BEGIN + 25)


@pytest.mark.parametrize(
    ("place", "changes"),
    [
        (0, {"id": 6}),
        (1, {"id": 5}),
        (2, {"id": 2**53}),
        (1, {"time": BEGIN - BACK_MS - 1}),
        (1, {"time": BEGIN + 3_600_000}),
        (0, {"first_id": 99}),
        (1, {"first_id": 104, "last_id": 104}),
        (1, {"last_id": 102}),
        (2, {"last_id": 104 + 10**6}),
        (2, {"last_id": 2**60}),
    ],
)
def test_one_that_does_not_continue_is_found_wherever_it_stands(place: int, changes: dict[str, int]) -> None:
    assert times([*RUN[:place], structs.replace(RUN[place], **changes), *RUN[place + 1 :]]) is None


def test_where_fills_may_be_missing_they_must_rise_all_the_same() -> None:
    with_a_hole = [
        RUN[0],
        structs.replace(RUN[1], first_id=110, last_id=111),
        structs.replace(RUN[2], first_id=112, last_id=112),
    ]
    assert times(with_a_hole) is None
    assert times(with_a_hole, follow=False) == (BEGIN + 10, BEGIN + 30)
    assert times([RUN[0], structs.replace(RUN[1], first_id=102)], follow=False) is None


@pytest.mark.parametrize("odd", [KLINE, RUN[0], structs.replace(FILLS[1], price=0.0), structs.replace(FILLS[1], id=9)])
def test_something_else_among_fills_is_found(odd: Any) -> None:
    assert times_of_fills([FILLS[0], odd, FILLS[2]], (5, -1, BEGIN)) is None


def test_a_fill_off_the_market_has_no_price_and_continues() -> None:
    fund = Trade("BTCUSDT", 6, BEGIN + 10, 0.0, 0.0, buyer_is_maker=True, event_time=BEGIN + 10, fill="NA")
    assert times_of_fills([FILLS[0], fund, FILLS[2]], (5, -1, BEGIN)) is not None


def test_something_else_among_aggregates_is_found() -> None:
    assert times([RUN[0], KLINE, RUN[2]]) is None


@given(trade_runs())
def test_every_run_of_a_market_continues(run: list[Any]) -> None:
    found = times_of_aggregates(run, (run[0].id, run[0].first_id, run[0].time), fills_follow=True)
    assert found == (min(t.time for t in run), max(t.time for t in run))
