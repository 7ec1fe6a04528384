"""Liquidity vacuums: prices that hardly traded although their neighbours did, so a move through them meets little.

A row's relative volume is its volume divided by the mean of the `2 * width + 1` rows around it, itself included; at the
ends of the profile the first or last rows of that number. A row is thin when that is at most the `percentile`-th
percentile (linear between two values) of all rows' relative volumes, and below `THIN` in any case. Thin rows side by
side are one zone. A zone that reaches the lowest or highest row does not count: beyond it nothing is known.

`fill` is the zone's mean volume a row, divided by that of the `width` rows on either side: 0 where nothing traded.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from math import fsum
from operator import itemgetter
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from api.analytics.profile import ProfileRow
from flows.model import Level
from flows.model.printed import difference, printed
from flows.modules.late import late_module

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
else:
    np = late_module("numpy")

PERCENTILE: Final = 20.0
WIDTH: Final = 5
THIN: Final = 0.5


class Vacuum(Struct, frozen=True):
    """A zone of prices from `low` to `high`, both included, and what traded in it, in the base currency.

    `distance` is from the price to the zone's nearer end, in the quote currency, 0 inside; `distance_percent` is the
    same in percent of the price. `bid_quantity` and `ask_quantity` rest in the zone now; both are null without an order
    book, and where the known levels of the book do not reach across the zone.
    """

    low: float
    high: float
    volume: float
    fill: float
    distance: float
    distance_percent: float
    bid_quantity: float | None
    ask_quantity: float | None


def find_vacuums(
    rows: Sequence[ProfileRow],
    price: float,
    *,
    percentile: float = PERCENTILE,
    width: int = WIDTH,
    bids: Sequence[Level] = (),
    asks: Sequence[Level] = (),
) -> list[Vacuum]:
    """The vacuums of a profile's rows, the nearest to the price first; `bids` and `asks` are best first."""
    volumes = np.array([row.volume for row in rows], dtype=np.float64)
    found = [
        _vacuum(rows, volumes, begin, end, price, width, bids, asks)
        for begin, end in _zones(_is_thin(volumes, percentile, width))
        if begin and end < len(rows)
    ]
    return sorted(found, key=lambda zone: (zone.distance, zone.low))


def _is_thin(volumes: npt.NDArray[np.float64], percentile: float, width: int) -> npt.NDArray[np.bool_]:
    size = min(2 * width + 1, volumes.size)
    if not size:
        return np.zeros(0, dtype=bool)
    means = np.lib.stride_tricks.sliding_window_view(volumes, size).mean(axis=1)
    around = means[np.clip(np.arange(volumes.size) - size // 2, 0, means.size - 1)]
    relative = np.divide(volumes, around, out=np.zeros_like(volumes), where=around > 0)
    return np.asarray((relative <= np.percentile(relative, percentile)) & (relative < THIN))


def _zones(thin: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    for is_thin, zone in groupby(enumerate(thin.tolist()), key=itemgetter(1)):
        indexes = [index for index, _ in zone]
        if is_thin:
            yield indexes[0], indexes[-1] + 1


def _vacuum(
    rows: Sequence[ProfileRow],
    volumes: npt.NDArray[np.float64],
    begin: int,
    end: int,
    price: float,
    width: int,
    bids: Sequence[Level],
    asks: Sequence[Level],
) -> Vacuum:
    low, high = rows[begin].low, rows[end - 1].high
    around = np.concatenate([volumes[max(begin - width, 0) : begin], volumes[end : end + width]])
    distance = max(difference(low, price), difference(price, high), 0.0)
    reaches = bool(bids and asks) and bids[-1][0] <= low and high <= asks[-1][0]
    return Vacuum(
        low,
        high,
        printed(float(volumes[begin:end].sum())),
        fill=printed(float(volumes[begin:end].mean() / around.mean())),
        distance=distance,
        distance_percent=printed(100 * distance / price),
        bid_quantity=_resting(bids, low, high) if reaches else None,
        ask_quantity=_resting(asks, low, high) if reaches else None,
    )


def _resting(levels: Sequence[Level], low: float, high: float) -> float:
    return printed(fsum(quantity for price, quantity in levels if low <= price <= high))
