"""Trades that the venue's REST side has, and that contradict the one handed on before them. The one before may be the
wrong one, so REST is queried for that too: only what both say is missing, is missing.
"""

from msgspec import Struct

from flows.bounds import BACK_MS, VenueRules
from flows.model import WITHDRAWN_FILL, AggregateTrade, Incident, Trade
from flows.queries import TradesQuery

MOST_DISPUTES = 1_000
"""Disputes remembered; one more, and the oldest is dropped."""
OUTCOME = "the venue's REST side says so too"


class _Dispute(Struct):
    trade: Trade
    contradiction: str


class Disputes:
    """The disputes of one instrument, by the id of the trade before the contradicting one."""

    def __init__(self, venue: str, symbol: str, rules: VenueRules) -> None:
        self._venue = venue
        self._symbol = symbol
        self._fills_follow = rules.fills_follow
        self._open: dict[int, _Dispute] = {}

    def add(self, number: int, trade: Trade, contradiction: str) -> None:
        """Remembers that a trade of REST contradicts the one of the id `number`, which was handed on."""
        self._open[number] = _Dispute(trade, contradiction)
        if len(self._open) > MOST_DISPUTES:
            del self._open[next(iter(self._open))]

    def settle(self, before: Trade) -> list[Incident]:
        """REST has given the trade before. What contradicts still is reported: missing fills, or what cannot be."""
        dispute = self._open.pop(before.id, None)
        if dispute is None:
            return []
        trade = dispute.trade
        begin, end = sorted((before.time, trade.time))
        if isinstance(before, AggregateTrade) and isinstance(trade, AggregateTrade) and before.fill != WITHDRAWN_FILL:
            first, last = before.last_id + 1, trade.first_id - 1
            if first <= last and self._fills_follow:
                cause = f"an aggregate that begins with fill {trade.first_id} where {first} is the next one"
                return [Incident("gap", self._venue, self._symbol, begin, end, cause, OUTCOME, first, last)]
            contradicts = last + 1 < first or trade.time < before.time - BACK_MS
        else:
            contradicts = trade.time < before.time - BACK_MS
        if not contradicts:
            return []
        ids = trade.id, trade.id
        return [Incident("mismatch", self._venue, self._symbol, begin, end, dispute.contradiction, OUTCOME, *ids)]

    def clear(self) -> None:
        """Drops all: their ids mean nothing any more."""
        self._open.clear()

    def on_answer(self, query: TradesQuery) -> None:
        """What a query did not bring stays unknown: nothing is reported of it."""
        for number in [number for number in self._open if query.first_id <= number <= query.last_id]:
            del self._open[number]
