"""Trades of a segment as the venues send them: by the order that made them."""

from typing import NamedTuple

import polars as pl


class TradeRow(NamedTuple):
    """A trade in whole numbers (see `decimals.py`)."""

    id: int
    time_ms: int
    price: int
    lots: int
    maker: bool
    """Whether the buyer is the maker."""


class TradeRows:
    """The trades of a segment by their index."""

    def __init__(self, trades: pl.DataFrame) -> None:
        self._rows = rows_of(trades)

    def __getitem__(self, index: int) -> TradeRow:
        return self._rows[index]

    def group_that_ends_at(self, index: int) -> list[TradeRow] | None:
        """The fills of an order (one time, one side) when its last one is at `index`; None for any other."""
        rows, last = self._rows, self._rows[index]
        if index + 1 < len(rows) and _is_one_order(last, rows[index + 1]):
            return None
        first = index
        while first and _is_one_order(rows[first - 1], last):
            first -= 1
        return rows[first : index + 1]


def rows_of(trades: pl.DataFrame) -> list[TradeRow]:
    """The rows of a frame of trades (`aggregate.py`)."""
    return [TradeRow(*row) for row in trades.select("id", "time", "price", "quantity", "maker").iter_rows()]


def _is_one_order(one: TradeRow, other: TradeRow) -> bool:
    return one.time_ms == other.time_ms and one.maker == other.maker
