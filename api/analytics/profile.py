"""The volume profile: exact volume by price.

`VolumeByPrice` sums trades by price in whole units of the last decimal, without rounding; `profile` groups prices into
rows of equally many ticks and finds

- the point of control (POC), the row with the most volume; among equals the one nearest to the middle of the range,
  then the lower;
- the value area, from its low (VAL) to its high (VAH): it begins as the POC, and grows by the two rows above or the two
  below, whichever have more volume together (those above when equal, a single one at the edge), until it has the
  requested share of the volume. That is the Market Profile rule of the CBOT as TradingView documents it for its charts
  (https://www.tradingview.com/support/solutions/43000502040, "Calculating Value Area"); equal sums and the edge
  are not defined there. With `step=1` single rows are compared and added, so that no row is added before a larger
  neighbour.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from msgspec import Struct

from api.analytics.decimals import Floats, decimals_of, to_units
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import polars as pl
else:
    np = late_module("numpy")
    pl = late_module("polars")

MOST_ROWS: Final = 10_000
NARROW: Final = 1 << 18
"""Range of a frame's prices, in ticks, up to which counting in an array is fastest."""

Step = Literal[1, 2]


class ProfileRow(Struct, frozen=True, gc=False):
    """Prices from `low` to `high`, both included, and the volumes that takers bought and sold, in the base currency."""

    low: float
    high: float
    buy_volume: float
    sell_volume: float
    volume: float
    trades: int


class VolumeProfile(Struct, frozen=True):
    """Rows from the lowest price to the highest, including empty ones; their volumes add up to `volume`.

    `poc` is the middle of the row with the most volume; `vah` and `val` are the highest and lowest price of the value
    area. `tick` is the finest price step, and a row has `row_ticks` of them.
    """

    rows: list[ProfileRow]
    poc: float
    vah: float
    val: float
    volume: float
    buy_volume: float
    sell_volume: float
    trades: int
    value_area: float
    step: Step
    tick: float
    row_ticks: int


class Collecting(Struct, frozen=True):
    """Too few trades for a profile so far. `wait_s` estimates the time until there are enough at the rate so far; it is
    null while there is no rate.
    """

    trades: int
    min_trades: int
    trades_per_s: float
    wait_s: float | None


class _Counted(NamedTuple):
    """Volumes and trades by price, in whole units, as float64."""

    ticks: Floats
    buys: Floats
    sells: Floats
    trades: Floats


class VolumeByPrice:
    """Sums trades by price and side, frame by frame: memory grows with the prices, not with the trades."""

    def __init__(self) -> None:
        self._price_places = 0
        self._volume_places = 0
        self._parts: list[_Counted] = []
        self.trades = 0
        self.first_time: int | None = None
        """Time of the oldest trade, ms UTC; None without trades."""
        self.last_time: int | None = None

    def add(self, trades: pl.DataFrame) -> None:
        """Takes a frame with the columns `time price quantity buyer_is_maker`; no trade may come twice."""
        if not trades.height:
            return
        prices, quantities = trades["price"].to_numpy(), trades["quantity"].to_numpy()
        self._refine(decimals_of(prices, self._price_places), decimals_of(quantities, self._volume_places))
        volumes = to_units(quantities, self._volume_places)
        self._parts.append(_count(to_units(prices, self._price_places), volumes, trades["buyer_is_maker"].to_numpy()))
        self.trades += trades.height
        times = trades["time"].to_numpy()
        first, last = int(times.min()), int(times.max())
        self.first_time = first if self.first_time is None else min(first, self.first_time)
        self.last_time = last if self.last_time is None else max(last, self.last_time)

    def _refine(self, price_places: int, volume_places: int) -> None:
        """Converts the sums so far to finer units."""
        price, volume = 10.0 ** (price_places - self._price_places), 10.0 ** (volume_places - self._volume_places)
        if price > 1 or volume > 1:
            self._parts = [
                _Counted(part.ticks * price, part.buys * volume, part.sells * volume, part.trades)
                for part in self._parts
            ]
        self._price_places, self._volume_places = price_places, volume_places

    def collecting(self, min_trades: int) -> Collecting | None:
        """Progress towards `min_trades`; None when they are reached."""
        if self.trades >= min_trades:
            return None
        span_s = ((self.last_time or 0) - (self.first_time or 0)) / 1_000
        rate = self.trades / span_s if span_s else 0.0
        wait_s = round((min_trades - self.trades) / rate, 1) if rate else None
        return Collecting(self.trades, min_trades, round(rate, 3), wait_s)

    def profile(
        self, *, bins: int = 100, tick: float | None = None, value_area: float = 0.7, step: Step = 2
    ) -> VolumeProfile:
        """The profile in at most `bins` rows from the lowest price on; with `tick` in rows of that height, which begin
        at its multiples. `value_area` is the share of the volume, up to four decimals. `ValueError` without
        trades, and for a tick that is not positive or would make more than `MOST_ROWS` rows.
        """
        if not self._parts:
            raise ValueError("there are no trades to make a profile of")
        places = self._price_places if tick is None else decimals_of(np.array([tick]), self._price_places)
        counted = _Counted(*(np.concatenate(columns) for columns in zip(*self._parts, strict=True)))
        ticks = np.rint(counted.ticks * 10.0 ** (places - self._price_places)).astype(np.int64)
        base, width, count = _grid(int(ticks.min()), int(ticks.max()), bins, tick, places)
        index = (ticks - base) // width
        buys, sells, trades = (_sums(index, column, count) for column in counted[1:])
        poc, low, high = value_area_of((buys + sells).tolist(), value_area, step)
        unit, scale = 10.0**places, 10.0**self._volume_places
        lows = (base + width * np.arange(count)) / unit
        highs = (base + width * np.arange(1, count + 1) - 1) / unit
        columns = (lows, highs, buys / scale, sells / scale, (buys + sells) / scale, trades.astype(np.int64))
        rows = [ProfileRow(*row) for row in zip(*(column.tolist() for column in columns), strict=True)]
        return VolumeProfile(
            rows,
            poc=(2 * base + width * (2 * poc + 1) - 1) / 2 / unit,
            vah=rows[high].high,
            val=rows[low].low,
            volume=float((buys + sells).sum() / scale),
            buy_volume=float(buys.sum() / scale),
            sell_volume=float(sells.sum() / scale),
            trades=self.trades,
            value_area=value_area,
            step=step,
            tick=1 / unit,
            row_ticks=width,
        )


def profile_of(
    trades: pl.DataFrame, *, bins: int = 100, tick: float | None = None, value_area: float = 0.7, step: Step = 2
) -> VolumeProfile:
    """The profile of one frame; see `VolumeByPrice`."""
    counted = VolumeByPrice()
    counted.add(trades)
    return counted.profile(bins=bins, tick=tick, value_area=value_area, step=step)


def _count(ticks: Floats, volumes: Floats, sold: npt.NDArray[np.bool_]) -> _Counted:
    lowest = ticks.min()
    if ticks.max() - lowest < NARROW:
        index = (ticks - lowest).astype(np.int64)
        levels = lowest + np.arange(index.max() + 1)
    else:
        levels, index = np.unique(ticks, return_inverse=True)
    buys, sells = _sums(index, np.where(sold, 0.0, volumes)), _sums(index, np.where(sold, volumes, 0.0))
    trades = _sums(index, np.ones_like(volumes))
    traded = np.flatnonzero(trades)
    return _Counted(levels[traded], buys[traded], sells[traded], trades[traded])


def _sums(index: npt.NDArray[np.int64], values: Floats, count: int = 0) -> Floats:
    return np.asarray(np.bincount(index, values, count), dtype=np.float64)


def _grid(lowest: int, highest: int, bins: int, tick: float | None, places: int) -> tuple[int, int, int]:
    """First tick of the first row, ticks of a row, and number of rows."""
    if tick is None:
        width = max(1, math.ceil((highest - lowest + 1) / bins))
        return lowest, width, (highest - lowest) // width + 1
    width = round(tick * 10**places)
    if width < 1:
        raise ValueError(f"tick {tick:g} must be a price above zero with at most {places} decimals")
    base = lowest // width * width
    count = (highest - base) // width + 1
    if count > MOST_ROWS:
        raise ValueError(f"rows of {tick:g} would be {count}, more than {MOST_ROWS}: take a larger tick")
    return base, width, count


def value_area_of(volumes: Sequence[float], share: float, step: Step) -> tuple[int, int, int]:
    """Indexes of the point of control, and of the lowest and highest row of the value area."""
    rows = [int(volume) for volume in volumes]
    middle = (len(rows) - 1) / 2
    poc = min(range(len(rows)), key=lambda row: (-rows[row], abs(row - middle), row))
    wanted = Fraction(round(share * 10_000), 10_000) * sum(rows)
    low = high = poc
    inside = rows[poc]
    while inside < wanted:
        above, below = sum(rows[high + 1 : high + 1 + step]), sum(rows[max(low - step, 0) : low])
        if low == 0 or (above >= below and high < len(rows) - 1):
            high = min(high + step, len(rows) - 1)
            inside += above
        else:
            low = max(low - step, 0)
            inside += below
    return poc, low, high
