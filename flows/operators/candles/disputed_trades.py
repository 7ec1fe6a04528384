"""The trades of closed candles that the exchange contradicts: they may be stored with wrong values, so its REST side is
queried for them.

The laws:
* A query is open until it is answered, across restarts too: its answer is part of the same recovered state as the end
  of the query.
* One that fails is repeated, with a delay that doubles. When that is of no use, or was tried `MOST_TRIES` times, an
  incident names the ids whose stored trades stay as they are.
"""

from typing import TypeAlias

from msgspec import Struct

from flows.bounds import fault_of
from flows.clock import Now
from flows.model import Incident, StoreOnlyTrades, Trade, TradeBatch
from flows.operators.delay import doubled_ms
from flows.queries import DisputedTradesQuery, QueryError

MISPLACED_MS = 60_000
"""Trades of a candle that the exchange contradicts are replaced in the store so far around it too."""
MOST_TRIES = 8
"""Queries for the trades of a candle, until those that are stored stay."""
RETRY_MIN_MS = 10_000
"""First delay before a failed query is repeated; doubles with each failure, up to `RETRY_MAX_MS`."""
RETRY_MAX_MS = 600_000
LEFT = "the stored ones stay as they are: "
"""Begin of the outcome of what could not be fetched."""

DisputedState: TypeAlias = tuple[int, int, int, int]
"""First and last id of a query, begin and end of the candle's period."""


class _Open(Struct):
    """A query, and the local time at which it is due."""

    query: DisputedTradesQuery
    due: int
    failures: int = 0
    is_asked: bool = False


class DisputedTrades:
    """The open queries of one instrument, one for each candle."""

    def __init__(self, venue: str, symbol: str) -> None:
        self._venue = venue
        self._symbol = symbol
        self._open: dict[int, _Open] = {}
        """By the begin of the candle's period."""

    def add(self, query: DisputedTradesQuery, due: int) -> None:
        """Queries trades at a local time, in the place of an earlier query about the same candle."""
        self._open[query.begin] = _Open(query, due)

    def next_queries(self, now: Now) -> list[DisputedTradesQuery]:
        """All that is due."""
        due = [one for one in self._open.values() if not one.is_asked and one.due <= now.local]
        for one in due:
            one.is_asked = True
        return [one.query for one in due]

    def dues(self) -> list[int]:
        """Local times of the next queries."""
        return [one.due for one in self._open.values() if not one.is_asked]

    def take(
        self, query: DisputedTradesQuery, answer: list[Trade] | QueryError, now: Now
    ) -> list[StoreOnlyTrades | Incident]:
        """The exchange's trades, for the store alone; or an incident when they cannot be had."""
        batch = None if isinstance(answer, QueryError) else vouched_trades(self._venue, query, answer)
        one = self._open.get(query.begin)
        is_open = one is not None and one.query == query
        if batch is not None:
            if is_open:
                del self._open[query.begin]
            return [StoreOnlyTrades(batch)]
        if one is None or not is_open:
            return []  # a newer query about the same candle is open
        one.failures += 1
        reason = str(answer) if isinstance(answer, QueryError) else "the venue gives none of them"
        if one.failures >= MOST_TRIES or (isinstance(answer, QueryError) and answer.lasting):
            del self._open[query.begin]
            return [self._loss(query, reason)]
        one.due = now.local + doubled_ms(RETRY_MIN_MS, one.failures, longest_ms=RETRY_MAX_MS)
        one.is_asked = False
        return []

    def _loss(self, query: DisputedTradesQuery, reason: str) -> Incident:
        cause = f"trades {query.first_id} to {query.last_id} make another candle than the exchange's"
        times, ids = (query.begin, query.end), (query.first_id, query.last_id)
        return Incident("gap", self._venue, self._symbol, *times, cause, f"{LEFT}{reason}", *ids)

    def state(self) -> list[DisputedState]:
        """All that is not answered, for a snapshot. Local times end with the process, so they are due at once."""
        queries = [one.query for one in self._open.values()]
        return [(query.first_id, query.last_id, query.begin, query.end) for query in queries]

    def resume(self, state: list[DisputedState]) -> None:
        """Takes up a `state()`."""
        for numbers in state:
            self.add(DisputedTradesQuery(self._symbol, *numbers), 0)


def vouched_trades(venue: str, query: DisputedTradesQuery, answer: list[Trade]) -> TradeBatch | None:
    """The possible ones of an answer as a batch that takes the place of the stored trades of the same ids, which may
    have other times; None without any.
    """
    trades = [trade for trade in answer if trade.symbol == query.symbol and not fault_of(trade)]
    if not trades:
        return None
    times = [trade.time for trade in trades]
    return TradeBatch(
        venue,
        query.symbol,
        trades,
        late=True,
        begin=min(query.begin, *times) - MISPLACED_MS,
        end=max(query.end, *times) + MISPLACED_MS,
        vouched_by="rest",
    )
