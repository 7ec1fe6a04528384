import polars as pl
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.aggregate import TRADE, pieces_of, roll_up
from sources.replay.market.klines import Kline, RunningTotals, klines_of


def traded(*rows: tuple[int, int, int, bool]) -> pl.DataFrame:
    return pl.DataFrame([(i, t, t, t, i, p, q, m) for i, (t, p, q, m) in enumerate(rows)], schema=TRADE, orient="row")


moves = st.lists(
    st.tuples(st.integers(0, 700), st.integers(1, 9), st.integers(1, 99), st.booleans()), min_size=1, max_size=40
)


@given(moves)
def test_the_running_kline_at_any_trade_is_the_kline_of_the_trades_so_far(
    steps: list[tuple[int, int, int, bool]],
) -> None:
    time, rows = 0, []
    for step, *rest in steps:
        time += step
        rows.append((time, *rest))
    frame = traded(*rows)  # type: ignore[arg-type]
    totals = RunningTotals(frame)
    for row in range(totals.rows):
        assert totals.at("1s", row) == klines_of(roll_up(pieces_of(frame).head(row + 1), "1s"))[-1]


@given(moves, st.data())
def test_between_is_the_sum_of_single_trades(steps: list[tuple[int, int, int, bool]], data: st.DataObject) -> None:
    frame = traded(*sorted(steps))
    totals = RunningTotals(frame)
    first = data.draw(st.integers(0, totals.rows))
    end = data.draw(st.integers(first, totals.rows))
    expected = None
    for single in klines_of(pieces_of(frame.slice(first, end - first))):
        expected = single if expected is None else expected.then(single)
    assert totals.between(first, end) == expected


def test_rows_before_a_moment() -> None:
    totals = RunningTotals(traded((10, 1, 1, True), (10, 2, 1, True), (20, 3, 1, True)))
    assert [totals.rows_before(time) for time in (0, 10, 11, 20, 21)] == [0, 0, 2, 2, 3]
    assert totals.close(2) == 3


def test_nothing_traded() -> None:
    assert RunningTotals(traded()).between(0, 0) is None
    assert Kline.flat(60_000, 7) == (60_000, 7, 7, 7, 7, 0, 0, 0, 0, 0, -1, -1)
