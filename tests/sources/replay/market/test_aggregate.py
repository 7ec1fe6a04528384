from itertools import groupby, pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.market.aggregate import AGGREGATE, PIECE, TRADE, aggregates_of, pieces_of, roll_up, trades_of

pytestmark = pytest.mark.slow


def trades_frame(rows: list[tuple[int, int, int, bool]]) -> pl.DataFrame:
    """Trades from `(time, price, quantity, maker)`; ids count from 100."""
    return pl.DataFrame(
        [(100 + i, t, t + 1, t + 1, i, p, q, m) for i, (t, p, q, m) in enumerate(rows)], schema=TRADE, orient="row"
    )


steps = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 3), st.integers(1, 10**12), st.booleans()), min_size=1, max_size=40
)


@st.composite
def trades(draw: st.DrawFn) -> list[tuple[int, int, int, bool]]:
    time, rows = 0, []
    for step, price, quantity, maker in draw(steps):
        time += step
        rows.append((time, price, quantity, maker))
    return rows


@given(trades())
def test_aggregates_merge_runs_of_one_price_side_and_time(rows: list[tuple[int, int, int, bool]]) -> None:
    merged = aggregates_of(trades_frame(rows))
    expected, first = [], 100
    for (time, price, maker), run in groupby(rows, key=lambda row: (row[0], row[1], row[3])):
        fills = list(run)
        expected.append((time, price, sum(q for _, _, q, _ in fills), maker, first, first + len(fills) - 1))
        first += len(fills)
    assert merged.columns == list(AGGREGATE)
    assert merged.select("time", "price", "quantity", "maker", "first_id", "last_id").rows() == expected
    assert merged["id"].to_list() == list(range(1, len(expected) + 1))


def test_no_trades_no_aggregates() -> None:
    assert aggregates_of(trades_frame([])).schema == pl.Schema(AGGREGATE)


@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 10**12)), min_size=1, max_size=20))
def test_shares_sum_up_to_the_aggregate_and_differ_by_a_lot_at_most(shapes: list[tuple[int, int]]) -> None:
    rows, first = [], 500
    for index, (count, extra) in enumerate(shapes):
        rows.append((index, index, index, index, index, 7, count + extra, False, first, first + count - 1))
        first += count
    aggregates = pl.DataFrame(rows, schema=AGGREGATE, orient="row")
    singles = trades_of(aggregates)
    assert singles["id"].to_list() == list(range(500, first))
    for row in aggregates.iter_rows(named=True):
        shares = singles.filter(pl.col("id").is_between(row["first_id"], row["last_id"]))["quantity"].to_list()
        assert sum(shares) == row["quantity"]
        assert shares == sorted(shares, reverse=True)
        assert shares[0] - shares[-1] <= 1
        assert shares[-1] >= 1


def recount(rows: list[tuple[int, int, int, bool]], length: int) -> list[tuple[Any, ...]]:
    klines = []
    for period, run in groupby(enumerate(rows), key=lambda item: item[1][0] // length * length):
        ids, fills = zip(*run, strict=True)
        prices = [price for _, price, _, _ in fills]
        taken = [(q, p * q) for _, p, q, maker in fills if not maker]
        klines.append(
            (
                period,
                prices[0],
                max(prices),
                min(prices),
                prices[-1],
                sum(q for _, _, q, _ in fills),
                sum(p * q for _, p, q, _ in fills),
                len(fills),
                sum(q for q, _ in taken),
                sum(quote for _, quote in taken),
                100 + ids[0],
                100 + ids[-1],
            )
        )
    return klines


@given(trades())
def test_klines_equal_a_recount(rows: list[tuple[int, int, int, bool]]) -> None:
    spread = [(time * 400, price, quantity, maker) for time, price, quantity, maker in rows]
    klines = roll_up(pieces_of(trades_frame(spread)), "1s")
    assert klines.schema == pl.Schema(PIECE)
    assert klines.rows() == recount(spread, 1_000)


@given(trades())
def test_longer_klines_are_the_same_from_trades_and_from_shorter_ones(rows: list[tuple[int, int, int, bool]]) -> None:
    spread = [(time * 40_000, price, quantity, maker) for time, price, quantity, maker in rows]
    pieces = pieces_of(trades_frame(spread))
    assert roll_up(roll_up(pieces, "1m"), "5m").rows() == roll_up(pieces, "5m").rows()


@given(trades())
def test_aggregates_make_the_klines_of_their_trades(rows: list[tuple[int, int, int, bool]]) -> None:
    frame = trades_frame([(time * 400, *rest) for time, *rest in rows])  # type: ignore[misc]
    assert roll_up(pieces_of(aggregates_of(frame)), "1s").rows() == roll_up(pieces_of(frame), "1s").rows()


def test_ids_of_aggregates_of_a_stretch_follow_each_other() -> None:
    merged = aggregates_of(trades_frame([(0, 1, 1, True), (0, 1, 2, True), (0, 2, 1, True), (5, 2, 1, True)]))
    assert all(after == before + 1 for before, after in pairwise(merged["id"].to_list()))
    assert merged["quantity"].to_list() == [3, 1, 1]
