"""One side of an order book: quantity by price, and its best levels on demand.

The levels near the best stand in a dict of their own. It is so small that sorting its prices when they are wanted costs
less than keeping them in order, and that it stays in the processor's cache, where most changes are.
"""

from math import inf

from flows.model import Level

REACH = 32
"""Levels that are near, or as many as are demanded if that is more."""
SLACK = 4
"""So many times what is kept may be held before the rest is looked at."""


class Ladder:
    """Keeps the best `depth` levels of one side, as far as they are known.

    The levels of a snapshot are known without a gap as far as its last one. What lies beyond is reported only where it
    changes, and what drifted away from the price perhaps not at all: so the known part ends at the
    snapshot's last level, or nearer, at the `depth`-th best, once `SLACK` times as many are held. It never grows back.
    A snapshot of fewer than `depth` levels holds the whole side, which has no end.
    """

    __slots__ = ("_depth", "_edge", "_end", "_far", "_is_bids", "_near", "_reach", "_turn")

    def __init__(self, levels: list[Level], *, is_bids: bool, depth: int) -> None:
        self._is_bids = is_bids
        self._depth = depth
        self._reach = 0
        self._near = dict(levels)
        self._far: dict[float, float] = {}
        self._end_at(levels[-1][0] if len(levels) >= depth else -inf if is_bids else inf, levels[0][0] if levels else 0)
        self._edge = self._end
        """Levels are near as far as this price."""
        self._narrow()

    def __len__(self) -> int:
        """Levels held."""
        return len(self._near) + len(self._far)

    def change(self, levels: list[Level]) -> None:
        """Takes absolute quantities; 0.0 removes a level, also one that is not there."""
        near, far, edge, end = self._near, self._far, self._edge, self._end
        if self._is_bids:
            for price, quantity in levels:
                if price >= end:
                    side = near if price >= edge else far
                    if quantity:
                        side[price] = quantity
                    elif price in side:
                        del side[price]
        else:  # the same the other way round: a comparison that knows the side would be half of what a level costs
            for price, quantity in levels:
                if price <= end:
                    side = near if price <= edge else far
                    if quantity:
                        side[price] = quantity
                    elif price in side:
                        del side[price]

    @property
    def is_whole(self) -> bool:
        """Whether every level there is, is known."""
        return self._end in (-inf, inf)

    def nears_end(self, price: float) -> bool:
        """Whether the best price has come more than half the way to the end of the known part."""
        return price < self._turn if self._is_bids else price > self._turn

    def best(self, count: int) -> list[Level]:
        """The best `count` levels that are known, best first."""
        while len(self._near) < count and self._far:
            self._widen(count)
        near = self._near
        found = [(price, near[price]) for price in self._in_order(near)[:count]]
        if len(near) > SLACK * self._reach or len(near) + len(self._far) > SLACK * self._depth:
            self._narrow()
        return found

    def cut(self, count: int) -> None:
        """Forgets all but the best `count` levels."""
        for _ in range(len(self) - count):
            side = self._far or self._near
            del side[min(side) if self._is_bids else max(side)]

    def _in_order(self, levels: dict[float, float]) -> list[float]:
        """Their prices, best first."""
        return sorted(levels, reverse=self._is_bids)

    def _narrow(self) -> None:
        """Leaves the best of the near levels near. A demand for more of them may have come only once."""
        self._reach = reach = min(REACH, self._depth)
        near, prices = self._near, self._in_order(self._near)
        if len(prices) > reach:
            self._near = {price: near[price] for price in prices[:reach]}
            self._far |= {price: near[price] for price in prices[reach:]}
            self._edge = prices[reach - 1]
        if len(self) > SLACK * self._depth:
            self._forget(prices[0])

    def _widen(self, count: int) -> None:
        """Makes the best of the far levels near ones."""
        self._reach = max(self._reach, min(count, self._depth))
        prices = self._in_order(self._far)[: self._reach]
        self._near |= {price: self._far.pop(price) for price in prices}
        self._edge = prices[-1]

    def _forget(self, best: float) -> None:
        """Lets go of the far levels that `depth` has no room for."""
        far, room = self._far, self._depth - len(self._near)
        prices = self._in_order(far)[:room]
        self._far = {price: far[price] for price in prices}
        self._end_at(prices[-1] if prices else self._edge, best)

    def _end_at(self, end: float, best: float) -> None:
        """The known part ends here; half the way from the best price is when more should be known."""
        self._end = end
        self._turn = (best + end) / 2
