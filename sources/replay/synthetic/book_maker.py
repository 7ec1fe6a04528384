"""A synthetic order book: levels around a fair price, consumed by orders and replaced by makers.

Every change has an update id; the changes of a slot of time are one diff. Prices and quantities are whole
ticks and lots. At most `_MOST_LEVELS` a side; the worst go first.
"""

from bisect import bisect_left, bisect_right, insort
from random import Random
from typing import NamedTuple

_LEVELS = 300
_FIRST_LEVELS = 1_200
_MOST_LEVELS = 1_500
_DEPTH_OF_PRICE = 0.004
"""Mean distance of a new level from the top, as a share of the price."""
_CHURN = 3
"""Levels that makers touch a side and slot."""
_LOYALTY = 0.6
"""Probability that a level consumed at the top is replaced."""
_LEVEL_ORDERS = 8.0
"""Quantity of an average level, in average orders."""


class Top(NamedTuple):
    """Best prices and quantities, and the id of the update that made them."""

    update_id: int
    bid: int
    bid_lots: int
    ask: int
    ask_lots: int


class Diff(NamedTuple):
    """What changed over a slot; quantities are absolute, 0 removes."""

    first_id: int
    last_id: int
    previous_id: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


class Side:
    """Bids or asks: lots by tick, the ticks in order. `sign` is 1 where higher is better (bids), else -1."""

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self.lots: dict[int, int] = {}
        self._ranks: list[int] = []
        """Ticks times sign, ascending: the best is last."""
        self.changed: set[int] = set()

    def best(self) -> int:
        """The best tick."""
        return self._ranks[-1] * self._sign

    def put(self, tick: int, lots: int) -> None:
        """Sets a level; 0 removes it."""
        rank = tick * self._sign
        if lots and tick not in self.lots:
            insort(self._ranks, rank)
        elif not lots:
            del self._ranks[bisect_left(self._ranks, rank)]
            del self.lots[tick]
        if lots:
            self.lots[tick] = lots
        self.changed.add(tick)

    def better_than(self, tick: int) -> list[int]:
        """The ticks of the levels that are better than a tick."""
        return [rank * self._sign for rank in self._ranks[bisect_right(self._ranks, tick * self._sign) :]]

    def worst(self, count: int) -> list[int]:
        """The ticks of the worst levels."""
        return [rank * self._sign for rank in self._ranks[:count]]

    def take_changes(self) -> list[tuple[int, int]]:
        """The changes since the last call."""
        changes = [(tick, self.lots.get(tick, 0)) for tick in sorted(self.changed)]
        self.changed.clear()
        return changes


class Ladder:
    """The two sides, moved by the random generator of their market."""

    def __init__(self, random: Random, *, ticks: int, order_lots: float, update_id: int, chained: bool) -> None:
        """`chained`: ids of a diff follow those of the one before (spot); else there are gaps between (USD-M)."""
        self._random = random
        self._level_lots = max(order_lots * _LEVEL_ORDERS, 1.0)
        self._reach = max(ticks * _DEPTH_OF_PRICE, _LEVELS / 2)
        self._chained = chained
        self.update_id = self._previous_id = update_id
        self._first_id = update_id + 1
        self.bids, self.asks = Side(1), Side(-1)
        for side, step in ((self.bids, -1), (self.asks, 1)):
            best = ticks if step < 0 else ticks + 1
            side.put(best, self._draw_lots())
            for _ in range(_FIRST_LEVELS - 1):
                self._add_level(side, best, step)
            side.changed.clear()

    @property
    def last_diff_id(self) -> int:
        """Last update id of the last diff."""
        return self._previous_id

    def top(self) -> Top:
        """The best level of each side."""
        bid, ask = self.bids.best(), self.asks.best()
        return Top(self.update_id, bid, self.bids.lots[bid], ask, self.asks.lots[ask])

    def take(self, *, buy: bool, lots: int) -> tuple[int, int]:
        """An order takes from the best level at most its quantity; returns the price and the lots filled."""
        side = self.asks if buy else self.bids
        best = side.best()
        got = min(lots, side.lots[best])
        left = side.lots[best] - got
        if not left and (len(side.lots) < _LEVELS // 2 or self._random.random() < _LOYALTY):
            left = self._draw_lots()
        side.put(best, left)
        self.update_id += 1
        return best, got

    def follow(self, fair: float) -> None:
        """Moves the top to the fair price: levels that would cross it are withdrawn, and some deeper levels change."""
        bid = max(int(fair), 2)
        for side, best, step in ((self.bids, bid, -1), (self.asks, bid + 1, 1)):
            for tick in side.better_than(best):
                side.put(tick, 0)
                self.update_id += 1
            if best not in side.lots:
                side.put(best, self._draw_lots())
                self.update_id += 1
            for _ in range(_CHURN if len(side.lots) >= _LEVELS else 3 * _CHURN):
                self._add_level(side, best, step)
            for tick in side.worst(max(len(side.lots) - _MOST_LEVELS, 0)):
                side.put(tick, 0)
                self.update_id += 1

    def take_diff(self) -> Diff | None:
        """The changes since the last diff; None when there are none."""
        bids, asks = self.bids.take_changes(), self.asks.take_changes()
        if not bids and not asks:
            return None
        diff = Diff(self._first_id, self.update_id, self._previous_id, bids, asks)
        self._previous_id = self.update_id
        if not self._chained:
            self.update_id += self._random.randrange(50)
        self._first_id = self.update_id + 1
        return diff

    def _add_level(self, side: Side, best: int, step: int) -> None:
        tick = best + step * (1 + int(self._random.expovariate(1.0) ** 2 * self._reach / 2))
        if tick > 0:
            side.put(tick, self._draw_lots())
            self.update_id += 1

    def _draw_lots(self) -> int:
        return 1 + int(self._random.expovariate(1.0) * self._level_lots)
