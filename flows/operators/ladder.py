"""One side of an order book: quantity by price, and the best levels when somebody asks.

A change goes into a dict by one call that runs in C, removed levels as zeros. In order are only the prices near the
best: what is new there is sorted in when the best levels are wanted, and most changes are further away. So a change of
thirty levels costs two microseconds, however deep the book is.
"""

from itertools import islice
from math import inf

from flows.model import Level

REACH = 64
"""Prices in order after a look through all; twice as many as the best levels that were ever asked for, if that is more.
"""
SLACK = 4
"""So many times what is kept may be held, removed levels among it, before that is looked through."""
_SPARE = 8
"""Removed levels that are tolerated among the best prices."""


class Ladder:
    """Keeps the best `depth` levels of one side, as far as they are known.

    The levels of a snapshot are known without a hole as far as its last one. What lies beyond is told only where it
    changes, and what drifted away from the price the venue may no longer tell at all: so the known part ends at the
    snapshot's last level, or nearer, at the `depth`-th best, once so many are held that they are looked through. It
    never grows back. A snapshot of fewer than `depth` levels holds the whole side, which has no end.
    """

    __slots__ = ("_depth", "_edge", "_end", "_is_bids", "_near", "_quantities", "_reach", "_sorted_in", "_turn")

    def __init__(self, levels: list[Level], *, is_bids: bool, depth: int) -> None:
        self._is_bids = is_bids
        self._depth = depth
        self._quantities = dict(levels)
        self._near: list[float] = []
        self._edge = 0.0
        self._sorted_in = 0
        self._reach = REACH
        whole = -inf if is_bids else inf
        self._end_at(whole if len(levels) < depth else levels[-1][0], levels)
        self._look_through()

    def __len__(self) -> int:
        """Prices held, those of removed levels included."""
        return len(self._quantities)

    def change(self, levels: list[Level]) -> None:
        """Takes absolute quantities; 0.0 removes a level, also one that is not there."""
        self._quantities.update(levels)

    @property
    def is_whole(self) -> bool:
        """Whether every level there is, is known."""
        return self._end in (-inf, inf)

    def nears_end(self, price: float) -> bool:
        """Whether the best price has come more than half the way to the end of the known part."""
        return price < self._turn if self._is_bids else price > self._turn

    def best(self, count: int) -> list[Level]:
        """The best `count` levels that are known, best first."""
        self._sort_in()
        found = self._first(count)
        if len(found) < count and self._edge != self._end:
            self._reach = max(self._reach, 2 * count)
            self._look_through()
            found = self._first(count)
        return found

    def _first(self, count: int) -> list[Level]:
        """As many of them as are in order."""
        near, quantities = self._near, self._quantities
        among = count + _SPARE
        while True:
            prices = near[: -among - 1 : -1] if self._is_bids else near[:among]
            found = [(price, quantity) for price in prices if (quantity := quantities[price])]
            if len(found) >= count or among >= len(near):
                break
            among *= 2
        if len(prices) - len(found) > _SPARE:
            self._forget_removed(among)
        return found[:count]

    def _sort_in(self) -> None:
        """New prices stand at the end of the dict."""
        quantities = self._quantities
        fresh = len(quantities) - self._sorted_in
        if not fresh:
            return
        if len(quantities) > SLACK * self._depth or len(self._near) > SLACK * self._reach:
            self._look_through()
            return
        edge, prices = self._edge, islice(reversed(quantities), fresh)
        near = [price for price in prices if price >= edge] if self._is_bids else [p for p in prices if p <= edge]
        if near:
            self._near += near
            self._near.sort()
        self._sorted_in = len(quantities)

    def _forget_removed(self, among: int) -> None:
        """Lets go of removed levels among the best prices: where the price moves, it leaves nothing else."""
        place = slice(-among, None) if self._is_bids else slice(among)
        quantities, kept = self._quantities, []
        for price in self._near[place]:
            if quantities[price]:
                kept.append(price)
            else:
                del quantities[price]
                self._sorted_in -= 1
        self._near[place] = kept

    def _look_through(self) -> None:
        """Puts the best prices in order; lets go of removed levels and of what lies beyond the known part."""
        end, is_bids = self._end, self._is_bids
        known = [
            level
            for level in self._quantities.items()
            if level[1] and (level[0] >= end if is_bids else level[0] <= end)
        ]
        known.sort(reverse=is_bids)
        if len(self._quantities) > SLACK * self._depth and len(known) > self._depth:
            del known[self._depth :]
            self._end_at(known[-1][0], known)
        self._quantities = dict(known)
        self._sorted_in = len(known)
        near = [price for price, _ in known[: self._reach]]
        self._edge = near[-1] if len(known) > self._reach else self._end
        self._near = near[::-1] if is_bids else near

    def _end_at(self, end: float, levels: list[Level]) -> None:
        """The known part ends here; half the way from the best price is when more should be known."""
        self._end = end
        self._turn = (levels[0][0] + end) / 2 if levels else end
