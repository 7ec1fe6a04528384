"""A synthetic order book: levels around a fair price, consumed by orders and replaced by makers.

Every change has an update id; the changes of a slot of time are one diff. Prices and quantities are whole
ticks and lots. At most `_MOST_LEVELS` a side; the worst go first.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
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
    """Bids or asks: ticks in order, each with its lots. `sign` is 1 where higher is better (bids), else -1.

    Plain numbers in two arrays: a level is 16 bytes, where one of dictionaries and objects is ten times as much.
    """

    def __init__(self, sign: int) -> None:
        self._sign = sign
        self._ranks = array("q")
        """Ticks times sign, ascending: the best is last."""
        self._lots = array("q")
        """Those of each rank."""
        self._changed: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._ranks)

    def best(self) -> tuple[int, int]:
        """The best tick and its lots."""
        return self._ranks[-1] * self._sign, self._lots[-1]

    def put(self, tick: int, lots: int) -> None:
        """Sets a level; 0 removes it."""
        rank = tick * self._sign
        place = bisect_left(self._ranks, rank)
        is_known = self._is_at(place, rank)
        if lots and is_known:
            self._lots[place] = lots
        elif lots:
            self._ranks.insert(place, rank)
            self._lots.insert(place, lots)
        elif is_known:
            del self._ranks[place], self._lots[place]
        self._changed[tick] = lots

    def _is_at(self, place: int, rank: int) -> bool:
        return place < len(self._ranks) and self._ranks[place] == rank

    def better_than(self, tick: int) -> list[int]:
        """The ticks of the levels that are better than a tick."""
        return [rank * self._sign for rank in self._ranks[bisect_right(self._ranks, tick * self._sign) :]]

    def worst(self, count: int) -> list[int]:
        """The ticks of the worst levels."""
        return [rank * self._sign for rank in self._ranks[:count]]

    def levels(self) -> "Levels":
        """The levels as they are now."""
        return Levels(self._sign, self._ranks[:], self._lots[:])

    def take_changes(self) -> list[tuple[int, int]]:
        """The changes since the last call."""
        changes = sorted(self._changed.items())
        self._changed.clear()
        return changes

    def forget_changes(self) -> None:
        """Begins anew: what has changed so far is not a change."""
        self._changed.clear()


class Levels:
    """The levels of a side at a moment."""

    __slots__ = ("_lots", "_ranks", "_sign")

    def __init__(self, sign: int, ranks: "array[int]", lots: "array[int]") -> None:
        self._sign, self._ranks, self._lots = sign, ranks, lots

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """Tick and lots of each, the worst first."""
        return ((rank * self._sign, lots) for rank, lots in zip(self._ranks, self._lots, strict=True))


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
            side.forget_changes()

    @property
    def last_diff_id(self) -> int:
        """Last update id of the last diff."""
        return self._previous_id

    def top(self) -> Top:
        """The best level of each side."""
        return Top(self.update_id, *self.bids.best(), *self.asks.best())

    def take(self, *, buy: bool, lots: int) -> tuple[int, int]:
        """An order takes from the best level at most its quantity; returns the price and the lots filled."""
        side = self.asks if buy else self.bids
        best, there = side.best()
        got = min(lots, there)
        left = there - got
        if not left and (len(side) < _LEVELS // 2 or self._random.random() < _LOYALTY):
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
            if not len(side) or side.best()[0] != best:
                side.put(best, self._draw_lots())
                self.update_id += 1
            for _ in range(_CHURN if len(side) >= _LEVELS else 3 * _CHURN):
                self._add_level(side, best, step)
            for tick in side.worst(max(len(side) - _MOST_LEVELS, 0)):
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
