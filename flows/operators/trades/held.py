"""Trades that wait for their predecessors."""

from collections.abc import Iterable

from flows.model import AggregateTrade, Trade
from flows.operators.trades.gaps import QUERY_TRADES
from flows.operators.trades.position import Position
from flows.operators.trades.recent import says_the_same


class HeldTrades:
    """The trades ahead of a position, by id. Not bounded here: more than `MAX_HELD`, and the gap is given up."""

    def __init__(self, position: Position) -> None:
        self._position = position
        self.trades: dict[int, Trade] = {}
        self.lowest = 0
        """Lowest held id; 0 when none is held."""
        self.since: int | None = None
        """Feed's time at which the lowest one began to wait; None when none is held."""
        self.confirmed: set[int] = set()
        """Ids whose trade came from the venue's REST side."""
        self.duplicates = 0
        """Trades that were dropped, as another one of their id was held."""

    def add(self, trades: Iterable[Trade], *, can_query: bool) -> list[Trade]:
        """Holds trades of the stream. Of two of one id that differ neither is believed, where the venue's REST side
        `can_query`: both are given back, to be refused.
        """
        contradicting: list[Trade] = []
        for trade in trades:
            known = self.trades.get(trade.id)
            if known is None:
                self.trades[trade.id] = trade
            elif says_the_same(known, trade) or trade.id in self.confirmed or not can_query:
                self.duplicates += 1
            else:
                del self.trades[trade.id]
                contradicting += (known, trade)
        self.find_lowest()
        return contradicting

    def add_confirmed(self, trades: Iterable[Trade]) -> list[Trade]:
        """Holds trades of the venue's REST side, which take the place of those of the stream. Gives those of the stream
        that said something else.
        """
        wrong: list[Trade] = []
        for trade in trades:
            known = self.trades.get(trade.id)
            if known is not None and trade.id not in self.confirmed and _differs(known, trade):
                wrong.append(known)
            self.confirmed.add(trade.id)
            self.trades[trade.id] = trade
        self.find_lowest()
        return wrong

    def has_any_of(self, trades: Iterable[Trade]) -> bool:
        """Whether the stream has brought one of these trades as it stands here."""
        held, confirmed = self.trades, self.confirmed
        return any(
            trade.id not in confirmed and says_the_same(known, trade)
            for trade in trades
            if (known := held.get(trade.id)) is not None
        )

    def drop_known(self) -> None:
        """Drops what the position has passed: an aggregate of the venue's REST side may stand for held fills."""
        following = self._position.next_id or 0
        self.find_lowest()
        if self.lowest >= following:
            return
        for number in [number for number in self.trades if number < following]:
            del self.trades[number]
            self.duplicates += 1
        self.find_lowest()

    def take_next(self) -> Trade | None:
        """The trade that comes next, which is no longer held; None when it is not held. `lowest` is not moved."""
        following = self._position.next_id
        return None if following is None else self.trades.pop(following, None)

    def take(self, numbers: Iterable[int]) -> list[Trade]:
        """The trades of these ids, which are no longer held."""
        taken = [self.trades.pop(number) for number in numbers]
        self.find_lowest()
        return taken

    def take_all(self) -> list[Trade]:
        """All of them, ids rising."""
        return self.take(sorted(self.trades))

    def is_continued(self, number: int) -> bool:
        """Whether another held trade follows this one, or it came from the venue's REST side."""
        return self._position.end_of(self.trades[number]) + 1 in self.trades or number in self.confirmed

    def first_run(self) -> tuple[Trade, Trade]:
        """The lowest one, and the last of those that continue it, at most as many as a query names."""
        last = self.lowest
        while last - self.lowest < QUERY_TRADES - 1:
            following = self._position.end_of(self.trades[last]) + 1
            if following not in self.trades:
                break
            last = following
        return self.trades[self.lowest], self.trades[last]

    def find_lowest(self) -> None:
        """To be called after `take_next`."""
        self.lowest = min(self.trades, default=0)


def _differs(one: Trade, other: Trade) -> bool:
    """Whether two trades of one id and of one kind are not the same."""
    is_of_a_kind = isinstance(one, AggregateTrade) is isinstance(other, AggregateTrade)
    return is_of_a_kind and not says_the_same(one, other)
