"""Makes bars of trades, frame by frame. Sums are exact and rounded once, so no cut into frames changes a digit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import fsum
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from msgspec import Struct

from flows.model.exact_sums import Floats, Places, fold, split_sums
from flows.model.ohlcv import VOLUMES
from flows.model.printed import DECIMALS, printed
from flows.modules.late import late_module
from sinks.bars.missing import MissingIds
from sinks.bars.rule import BarRule, Periods

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
else:
    np = late_module("numpy")

BarRow: TypeAlias = tuple[int, int, float, float, float, float, float, float, int, float, float, int, int, bool]
"""Values of a bar in the order of `BAR_SCHEMA` (`frame.py`)."""
NO_ID: Final = -1
MOST_PARTS: Final = 64
"""Parts of a sum of an open bar; with one more they are added up into as few as are exact."""

_SLACK: Final = 10.0**-DECIMALS
_UNIT: Final = 2.0**-52


class Bar(Struct):
    """Trades of a bar, added up."""

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float
    trades: int
    first_id: int
    last_id: int
    ids: tuple[int, int]
    """Ids of its first and last stored trade."""
    sums: list[list[float]]
    """Parts of each of `VOLUMES`."""

    def add(self, other: Bar, *, by_id: bool) -> None:
        """Adds what came later. `by_id`: open and close are those of the lowest and highest id, whatever came first."""
        (first, last), (their_first, their_last) = self.ids, other.ids
        if by_id and their_first < first:
            self.open, self.first_id, first = other.open, other.first_id, their_first
        if not by_id or their_last > last:
            self.close, self.last_id, last = other.close, other.last_id, their_last
        self.ids = first, last
        self.close_time = other.close_time
        self.high, self.low = max(self.high, other.high), min(self.low, other.low)
        self.trades += other.trades
        for mine, theirs in zip(self.sums, other.sums, strict=True):
            mine.extend(theirs)
            if len(mine) > MOST_PARTS:
                mine[:] = fold(mine)

    def row(self, *, is_closed: bool) -> BarRow:
        """Its values as they are shown."""
        volume, quote_volume, bought, quote_bought = (printed(fsum(parts)) for parts in self.sums)
        return (
            self.open_time, self.close_time, self.open, self.high, self.low, self.close, volume, quote_volume,
            self.trades, bought, quote_bought, self.first_id, self.last_id, is_closed,
        )  # fmt: skip


class BarMaker:
    """Bars of one instrument. A bar of time has all trades of its period; the others have trades one after another in
    the order of time and id, and a trade is in one bar only: what it has beyond the size stays in it.
    """

    def __init__(self, rule: BarRule, *, start_ms: int, end_ms: int, last: tuple[int, float] | None = None) -> None:
        """Bars of time open in `[start_ms, end_ms)`, the first one at `start_ms`. `last` is the last trade before it,
        its id and price: periods behind it without trades are flat.
        """
        self._rule = rule
        self._end_ms = end_ms
        self._open: Bar | None = None
        self._counted = 0
        """Stored trades of the open bar, where they are counted."""
        self._flat_from = start_ms
        """Where the period behind the last bar of time begins."""
        self._last = last

    def take(self, trades: pl.DataFrame, missing: MissingIds) -> Iterator[BarRow]:
        """The bars that later trades have closed. `trades` are those of the market, in the order of time and id;
        `missing` has followed their ids.
        """
        if not trades.height:
            return
        periods = self._rule.periods
        by_id = periods is not None
        columns = {name: trades[name].to_numpy() for name in trades.columns if name != "fill"}
        starts, is_last_closed = self._cuts(columns) if periods is None else (_by_period(columns, periods), False)
        for place, bar in enumerate(self._bars(columns, starts)):
            if self._open is not None and (self._open.open_time != bar.open_time if by_id else place):
                yield from self._close(missing)
            if self._open is None:
                self._open = bar
            else:
                self._open.add(bar, by_id=by_id)
        if is_last_closed:
            yield from self._close(missing)

    def end(self, missing: MissingIds) -> Iterator[BarRow]:
        """The trades have ended: the bar that is still open."""
        if self._open is not None:
            yield from self._close(missing, is_closed=False)

    def _close(self, missing: MissingIds, *, is_closed: bool = True) -> Iterator[BarRow]:
        bar, self._open = self._open, None
        if bar is None:
            return
        if self._rule.periods is None:
            yield bar.row(is_closed=is_closed)
            return
        yield from self._flats(bar, missing)
        if bar.open_time < self._end_ms:
            yield bar.row(is_closed=is_closed)
        self._flat_from = bar.close_time + 1
        self._last = bar.ids[1], bar.close

    def _flats(self, bar: Bar, missing: MissingIds) -> Iterator[BarRow]:
        """The periods before a bar in which nothing was traded; none where trades are missing."""
        if self._last is None or self._rule.periods is None:
            return
        id_, price = self._last
        if self._flat_from >= bar.open_time or missing.are_between(id_, bar.ids[0]):
            return
        length = self._rule.periods.length_ms
        for begin in range(self._flat_from, min(bar.open_time, self._end_ms), length):
            yield begin, begin + length - 1, price, price, price, price, 0.0, 0.0, 0, 0.0, 0.0, NO_ID, NO_ID, True

    # --- where bars begin ---

    def _cuts(self, columns: dict[str, Any]) -> tuple[Places, bool]:
        """Where in the frame bars begin, or go on, and whether the last one ends with the frame."""
        count = len(columns["id"])
        if self._rule.kind == "tick":
            size = int(self._rule.size)
            counted = self._counted
            ends = np.arange(size - counted, count + 1, size)
            self._counted = (counted + count) % size
        else:
            values = columns["quantity"] if self._rule.kind == "volume" else columns["price"] * columns["quantity"]
            place = VOLUMES.index("volume" if self._rule.kind == "volume" else "quote_volume")
            carried = self._open.sums[place] if self._open is not None else []
            ends = np.array(reached(values, self._rule.size, carried), dtype=np.int64)
        is_last_closed = bool(ends.size) and int(ends[-1]) == count
        starts = np.concatenate(([0], ends[:-1] if is_last_closed else ends)).astype(np.int64)
        return starts, is_last_closed

    def _bars(self, columns: Mapping[str, Any], starts: Places) -> Iterator[Bar]:
        price, quantity, time = columns["price"], columns["quantity"], columns["time"]
        ids, first_id, last_id = columns["id"], columns["first_id"], columns["last_id"]
        is_bought = ~columns["buyer_is_maker"]
        ends = np.append(starts[1:], len(ids)) - 1
        value = price * quantity
        summed = [split_sums(column, starts) for column in (quantity, value, quantity * is_bought, value * is_bought)]
        sums = zip(*([list(each) for each in _rows(parts)] for parts in summed), strict=True)
        periods = self._rule.periods
        begins = columns["begin"][starts] if periods else time[starts]
        ended = begins + periods.length_ms - 1 if periods else time[ends]
        numbers = _rows((ids[starts], ids[ends]))
        values = _rows(
            (
                begins, ended, price[starts], np.maximum.reduceat(price, starts), np.minimum.reduceat(price, starts),
                price[ends], np.add.reduceat(last_id - first_id + 1, starts), first_id[starts], last_id[ends],
            )
        )  # fmt: skip
        for row, pair, parts in zip(values, numbers, sums, strict=True):
            yield Bar(*(*row, pair, list(parts)))


def reached(values: Floats, size: float, carried: Sequence[float]) -> list[int]:
    """How many values are used up each time that their sum, begun anew after each time, reaches `size` as it is
    printed. The first sum begins with the parts `carried`, which are below it.

    A quick sum says where that is about, exact ones where it is.
    """
    found: list[int] = []
    quick = np.cumsum(values)
    parts, begin, base = list(carried), 0, 0.0
    doubt = _SLACK + (len(values) + 2) * _UNIT * (float(quick[-1]) + fsum(carried) + size)
    while True:
        wanted = base + size - fsum(parts)
        low = max(int(np.searchsorted(quick, wanted - doubt)), begin)
        high = min(max(int(np.searchsorted(quick, wanted + doubt)), low), len(values) - 1)
        if low >= len(values) or printed(fsum(parts + values[begin : high + 1].tolist())) < size:
            return found
        while low < high:
            middle = (low + high) // 2
            if printed(fsum(parts + values[begin : middle + 1].tolist())) < size:
                low = middle + 1
            else:
                high = middle
        found.append(low + 1)
        parts, begin, base = [], low + 1, float(quick[low])


def _by_period(columns: dict[str, Any], periods: Periods) -> Places:
    """Adds the begin of each trade's period; where in the frame the periods begin. Within a period ids rise."""
    begins = columns["time"] - (columns["time"] - periods.offset_ms) % periods.length_ms
    ids = columns["id"]
    if (ids[1:] < ids[:-1]).any():
        order = np.lexsort((ids, begins))
        columns |= {name: column[order] for name, column in columns.items()}
        begins = begins[order]
    columns["begin"] = begins
    return np.flatnonzero(np.diff(begins, prepend=begins[0] - 1))


def _rows(columns: Sequence[npt.NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    return zip(*(column.tolist() for column in columns), strict=True)
