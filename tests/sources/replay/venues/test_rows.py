import polars as pl

from sources.replay.venues.rows import TradeRow, TradeRows

ROWS = [(1, 10, True), (2, 10, True), (3, 10, False), (4, 11, False), (5, 11, False)]


def test_the_fills_of_an_order_are_together_at_the_last_of_them() -> None:
    trades = pl.DataFrame(
        [(number, time, 100 + number, 7, maker) for number, time, maker in ROWS],
        schema=["id", "time", "price", "quantity", "maker"],
        orient="row",
    )
    rows = TradeRows(trades)
    groups = [rows.group_that_ends_at(index) or [] for index in range(5)]
    assert [[row.id for row in group] for group in groups] == [[], [1, 2], [3], [], [4, 5]]
    assert rows[1] == TradeRow(2, 10, 102, 7, True)
