"""Footprints: what takers sold at the bid and bought at the ask, by price and candle.

Volumes are exact sums of the trades' quantities, rounded once; prices are those of the trades, or multiples of `tick`
with its decimals. The delta of a candle is what was bought less what was sold, the cumulative delta the sum of these.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from math import fsum
from typing import TYPE_CHECKING, Final, NamedTuple

from msgspec import Struct

from api.analytics.decimals import Floats, decimals_of, to_units
from flows.model.exact_sums import Places, fold, grouped_sums, printed_sums, split_sums
from flows.model.printed import printed
from flows.modules.late import late_module
from sinks.bars.maker import BarRow
from sinks.bars.rule import BarRule, Periods

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
else:
    np = late_module("numpy")

MOST_KEYS: Final = 2.0**62
MOST_PLACES: Final = 1 << 18
PLACES_A_ROW: Final = 8
"""Levels of periods, empty ones too, that are counted at once, and so many more for each row."""


class FootprintLevel(Struct, frozen=True, gc=False):
    """Volumes at a price, in the base currency: `bid` was sold by takers, `ask` was bought."""

    price: float
    bid: float
    ask: float


class FootprintCandle(Struct, frozen=True, gc=False):
    """A candle with its volume by price, lowest price first. `cumulative_delta` is that of all candles up to it. Not
    `is_closed`: no later trade is stored.
    """

    open_time: int
    close_time: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    trades: int
    delta: float
    cumulative_delta: float
    is_closed: bool
    levels: list[FootprintLevel]


class _Sold(NamedTuple):
    """The levels of a period, and parts of its delta."""

    levels: list[FootprintLevel]
    delta: list[float]


class _Rows(NamedTuple):
    """Volumes by period, level and side; a level is a price in ticks, and of it there may be many rows."""

    begins: Places
    levels: Places
    is_ask: Places
    volumes: Floats

    def part(self, places: Places | slice) -> _Rows:
        """Some of the rows."""
        return _Rows(self.begins[places], self.levels[places], self.is_ask[places], self.volumes[places])


class FootprintMaker:
    """Sums the volumes of trades by period and price, frame by frame: memory grows with the prices of a period."""

    def __init__(self, rule: BarRule, *, tick: float | None = None) -> None:
        """`rule` is of time; `tick` is above 0, without one every price is a level."""
        self._periods = rule.periods or Periods(1)
        self._tick = tick
        self._places = 0 if tick is None else decimals_of(np.array([tick]))
        self._open: _Rows | None = None
        self._closed: dict[int, _Sold] = {}
        self._cumulative: list[float] = []

    def begin(self, cumulative_delta: float) -> None:
        """The cumulative delta of what comes before."""
        self._cumulative = [cumulative_delta]

    def take(self, trades: pl.DataFrame) -> None:
        """Takes later trades, in the order of time."""
        if not trades.height:
            return
        time = trades["time"].to_numpy()
        begins = time - (time - self._periods.offset_ms) % self._periods.length_ms
        is_ask = (~trades["buyer_is_maker"].to_numpy()).astype(np.int64)
        rows = _Rows(begins, self._levels(trades["price"].to_numpy()), is_ask, trades["quantity"].to_numpy())
        if self._open is not None:
            rows = _Rows(*(np.concatenate(pair) for pair in zip(self._open, rows, strict=True)))
        self._sum(rows, is_over=False)

    def candles(self, bars: Iterable[BarRow]) -> Iterator[FootprintCandle]:
        """The footprints of bars of these periods, each of which is over, or the last one of all."""
        for bar in bars:
            opened, closes, first, high, low, last, volume, _, trades, *_, is_closed = bar
            if trades and opened not in self._closed and self._open is not None:
                self._sum(self._open, is_over=True)
            sold = self._closed.pop(opened, None) if trades else None
            levels, delta = sold or ([], [])
            self._cumulative = fold([*self._cumulative, *delta])
            deltas = printed(fsum(delta)), printed(fsum(self._cumulative))
            yield FootprintCandle(opened, closes, first, high, low, last, volume, trades, *deltas, is_closed, levels)

    def _levels(self, prices: Floats) -> Places:
        places = decimals_of(prices, self._places)
        if self._tick is None:
            if self._open is not None and places > self._places:
                self._open = self._open._replace(levels=self._open.levels * 10 ** (places - self._places))
            self._places = places
            return to_units(prices, places).astype(np.int64)
        levels: Places = to_units(prices, places).astype(np.int64) // round(self._tick * 10**places)
        return levels

    def _sum(self, rows: _Rows, *, is_over: bool) -> None:
        """Sums rows; those of the newest period stay open unless it is over."""
        summed, parts = _counted(rows) or _sorted(rows)
        first_open = len(summed.begins) if is_over else int(np.searchsorted(summed.begins, summed.begins[-1]))
        closed, still = slice(0, first_open), slice(first_open, None)
        if first_open:
            self._close(summed.part(closed), [part[closed] for part in parts])
        pending = [summed.part(still)._replace(volumes=part[still]) for part in parts]
        self._open = None if is_over else _Rows(*(np.concatenate(columns) for columns in zip(*pending, strict=True)))

    def _close(self, rows: _Rows, parts: list[Floats]) -> None:
        """Each row is all of a level and side."""
        volumes = printed_sums(parts)
        is_new = np.ones(len(volumes), dtype=bool)
        is_new[1:] = (np.diff(rows.begins) != 0) | (np.diff(rows.levels) != 0)
        places = np.flatnonzero(is_new)
        level_of = np.cumsum(is_new) - 1
        sides = np.zeros((2, len(places)))
        sides[rows.is_ask, level_of] = volumes
        prices = self._prices(rows.levels[places])
        levels = [*map(FootprintLevel, prices.tolist(), sides[0].tolist(), sides[1].tolist())]
        begins = rows.begins[places]
        firsts = np.flatnonzero(np.diff(begins, prepend=begins[0] - 1))
        ends = [*firsts[1:].tolist(), len(levels)]
        deltas = _deltas(rows, parts)
        for begin, first, end in zip(begins[firsts].tolist(), firsts.tolist(), ends, strict=True):
            self._closed[begin] = _Sold(levels[first:end], deltas[begin])

    def _prices(self, levels: Places) -> Floats:
        unit = 10.0**self._places
        return levels / unit if self._tick is None else levels * round(self._tick * unit) / unit


def _deltas(rows: _Rows, parts: list[Floats]) -> Mapping[int, list[float]]:
    """Parts of the delta of each period."""
    starts = np.flatnonzero(np.diff(rows.begins, prepend=rows.begins[0] - 1))
    signs = 2.0 * rows.is_ask - 1.0
    signed = [each for part in parts for each in split_sums(part * signs, starts)]
    sums = map(list, zip(*(each.tolist() for each in signed), strict=True))
    return dict(zip(rows.begins[starts].tolist(), sums, strict=True))


def _counted(rows: _Rows) -> tuple[_Rows, list[Floats]] | None:
    """A row for each period, level and side, in this order, and parts of its volume: by a place for each level between
    the lowest and the highest one of a period. None where most places would be empty, or the periods are in disorder.
    """
    begins, levels, is_ask, volumes = rows
    steps = np.diff(begins)
    if (steps < 0).any():
        return None
    starts = np.concatenate(([0], np.flatnonzero(steps) + 1))
    lowest = np.minimum.reduceat(levels, starts)
    widths = np.maximum.reduceat(levels, starts) - lowest + 1
    most = MOST_PLACES + PLACES_A_ROW * len(begins)
    if float(widths.sum(dtype=np.float64)) > most or widths.min() <= 0:
        return None
    ends = np.cumsum(widths)
    bases = ends - widths - lowest
    places = (levels + np.repeat(bases, np.diff(starts, append=len(begins)))) * 2 + is_ask
    count = 2 * int(ends[-1])
    used = np.flatnonzero(np.bincount(places, minlength=count))
    periods = np.searchsorted(2 * ends, used, side="right")
    parts = [part[used] for part in grouped_sums(volumes, places, count)]
    return _Rows(begins[starts][periods], (used >> 1) - bases[periods], used & 1, parts[0]), parts


def _sorted(rows: _Rows) -> tuple[_Rows, list[Floats]]:
    """The same, by sorting."""
    rows = rows.part(_order(rows))
    is_new = np.ones(len(rows.begins), dtype=bool)
    is_new[1:] = np.any([np.diff(column) != 0 for column in rows[:3]], axis=0)
    starts = np.flatnonzero(is_new)
    return rows.part(starts), split_sums(rows.volumes, starts)


def _order(rows: _Rows) -> Places:
    """The rows by period, level and side."""
    begins, levels, is_ask, _ = rows
    ranks = np.cumsum(np.diff(begins, prepend=begins[0]) != 0)
    lowest = levels.min()
    width = int(levels.max() - lowest) + 1
    is_sorted = bool((begins[1:] >= begins[:-1]).all())
    if not is_sorted or 2.0 * width * (float(ranks[-1]) + 1) > MOST_KEYS:
        return np.lexsort((is_ask, levels, begins))
    return np.argsort((ranks * width + (levels - lowest)) * 2 + is_ask)
