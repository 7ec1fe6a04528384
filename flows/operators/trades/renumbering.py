"""Whether a venue's ids have begun anew: trades continue each other, and not what was handed on. A test network or a
replay was set back, or all of them are wrong in the same way; the venue's REST side decides.
"""

from collections.abc import Sequence

from flows.clock import Now
from flows.model import AggregateTrade, Trade
from flows.operators.trades.gaps import RETRY_MS
from flows.operators.trades.position import Position
from flows.operators.trades.recent import says_the_same
from flows.queries import TradesQuery


class Renumbering:
    """The query about such trades, one at a time and not more often than `RETRY_MS`."""

    def __init__(self, symbol: str, position: Position) -> None:
        self._symbol = symbol
        self._position = position
        self.open_query: TradesQuery | None = None
        self._due = 0

    def next_query(self, run: list[Trade], now: Now) -> list[TradesQuery]:
        """Queries trades that continue each other, ids rising; none while it is too early."""
        if self.open_query is not None or now.local < self._due:
            return []
        times = [trade.time for trade in run]
        self.open_query = TradesQuery(self._symbol, run[0].id, run[-1].id, min(times), max(times))
        return [self.open_query]

    def on_answer(self, now: Now) -> None:
        """The query is answered. An error decides nothing: the next trade that continues them makes another."""
        self.open_query, self._due = None, now.local + RETRY_MS

    def is_known(self, trade: Trade, answer: Sequence[Trade]) -> bool:
        """Whether an answer has this trade; an aggregate has all that it covers."""
        return any(
            one.first_id <= trade.id <= one.last_id and one.price == trade.price
            if self._position.counts_fills and isinstance(one, AggregateTrade)
            else one.id == trade.id and says_the_same(one, trade)
            for one in answer
        )
