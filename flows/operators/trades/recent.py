"""The trades of an instrument that were handed on last: what comes once more under an id of theirs is compared with
them, and where they differ the venue's REST side is queried.
"""

from collections import deque

from flows.clock import Now
from flows.model import AggregateTrade, Trade
from flows.operators.trades.gaps import QUERY_TRADES, RETRY_MS
from flows.queries import QueryError, TradesQuery

MOST_TRADES = 32
"""Trades that are remembered, in whole runs: the true one of an id comes with the next messages of its stream."""

UNKNOWN_MS = 60_000
"""How long before a trade its predecessor is taken to have been made where nothing says it."""


def says_the_same(one: Trade, other: Trade) -> bool:
    """Whether two trades of one id are the same, whichever way they came."""
    return (
        (one.price, one.quantity, one.time, one.buyer_is_maker, one.first_id, one.last_id)
        == (other.price, other.quantity, other.time, other.buyer_is_maker, other.first_id, other.last_id)
    )  # fmt: skip


class HandedOn:
    """Bounded by `MOST_TRADES` before the newest run, and by `QUERY_TRADES` ids in doubt."""

    def __init__(self) -> None:
        self._runs: deque[list[Trade]] = deque()  # newest last; ids rise within each
        self._count = 0
        self._doubted: dict[int, int] = {}  # the time of the older of two trades by their id
        self._asks_at = 0
        self.due: int | None = None
        """Local time of the next query; None while there is none."""

    def add(self, run: list[Trade]) -> None:
        """A run of trades, ids rising, is handed on."""
        runs, count = self._runs, self._count
        while count > MOST_TRADES:
            count -= len(runs.popleft())
        runs.append(run)
        self._count = count + len(run)

    def has(self, number: int) -> bool:
        """Whether the trade of this id is remembered."""
        return any(run[0].id <= number <= run[-1].id for run in self._runs)

    def newest_before(self, time: int) -> int:
        """The newest time up to this one of what is remembered, ms UTC; some time before it where there is none."""
        times = [trade.time for run in self._runs for trade in run if trade.time <= time]
        return max(times, default=max(0, time - UNKNOWN_MS))

    def differing(self, trade: Trade) -> Trade | None:
        """The trade of the same id, and of the same kind, when it differs."""
        for run in reversed(self._runs):
            if run[0].id <= trade.id <= run[-1].id:
                known = next((one for one in run if one.id == trade.id), None)
                break
        else:
            return None
        if known is None or isinstance(known, AggregateTrade) is not isinstance(trade, AggregateTrade):
            return None  # not by exact type: those of a stream are of the venue's own subtypes, those of REST are not
        return None if says_the_same(known, trade) else known

    def doubt(self, number: int, begin: int) -> None:
        """Two trades differ under this id, the older one made at `begin`: the venue is to be queried."""
        if len(self._doubted) < QUERY_TRADES:
            self._doubted[number] = begin
            self.due = self.due or self._asks_at

    def doubt_beside(self, number: int, begin: int) -> None:
        """The trade of this id was wrong, so those that are remembered beside it may be."""
        for other in range(number - MOST_TRADES, number + MOST_TRADES + 1):
            if other != number and self.has(other):
                self.doubt(other, begin)

    def next_query(self, symbol: str, now: Now) -> TradesQuery | None:
        """The query, when it is due."""
        if self.due is None or now.local < self.due:
            return None
        first = min(self._doubted)
        last = min(max(self._doubted), first + QUERY_TRADES - 1)
        return TradesQuery(symbol, first, last, min(self._doubted.values()), now.feed)

    def on_answer(self, query: TradesQuery, error: QueryError | None, now: Now) -> None:
        """The ids that were queried are decided; after an error they are queried again."""
        if error is None:
            decided = [number for number in self._doubted if query.first_id <= number <= query.last_id]
            for number in decided:
                del self._doubted[number]
            if decided:
                self._asks_at = now.local + RETRY_MS
            self.due = self._asks_at if self._doubted else None
        elif self._doubted:
            self.due = now.local + RETRY_MS
