"""Which trades of an instrument are refused, and why: by themselves, beside their predecessor, or as an answer of REST.

What is refused is counted, reported in an incident at intervals, and leaves a gap where its id stands.
"""

from collections.abc import Iterable, Sequence
from itertools import accumulate

from flows.bounds import BACK_MS, TRADE_AHEAD_MS, VenueRules, fault_of
from flows.clock import Now
from flows.model import WITHDRAWN_FILL, AggregateTrade, Incident, MarketEvent, Trade
from flows.operators.refusals import Refusals, rejected
from flows.operators.trades.results import Results
from flows.queries import TradesQuery


def fault_of_answer(trade: Trade, query: TradesQuery, latest: int, rules: VenueRules) -> str:
    """Why a trade does not answer a query, or cannot be; empty when nothing speaks against it. It was made at `latest`,
    ms UTC, at the latest.
    """
    if trade.symbol != query.symbol or not query.first_id <= trade.id <= query.last_id:
        return "a trade that was not asked for"
    if trade.time < query.begin - BACK_MS or trade.time > latest:
        return "a trade that was not made when it was asked for"
    return fault_of(trade, rules)


class TradeChecks:
    """The checks of one instrument. What is refused goes to the list that the caller gives."""

    def __init__(self, venue: str, symbol: str, rules: VenueRules) -> None:
        self._venue = venue
        self._symbol = symbol
        self._rules = rules
        self.refusals = Refusals("trades")
        """What was refused since the last report."""
        self.has_refused = False
        """Since the caller last looked: what was refused may have been a trade with a wrong mark, so there may be a
        gap.
        """

    def sound(self, events: Sequence[MarketEvent], out: Results, *, counts_fills: bool | None) -> list[Trade]:
        """The trades of a run that can be true by themselves. `counts_fills`: whether ids count single fills; None
        while that is not known.
        """
        sent_later = list(accumulate((event.event_time for event in reversed(events)), max))[::-1]
        sound: list[Trade] = []
        for event, latest in zip(events, [*sent_later[1:], sent_later[-1]], strict=True):
            if not isinstance(event, Trade):
                self.refuse(event, f"a {type(event).__name__} among trades", out)
            elif reason := self._fault_in_run(event, latest, counts_fills=counts_fills):
                self.refuse(event, reason, out)
            else:
                sound.append(event)
        return sound

    def _fault_in_run(self, trade: Trade, latest: int, *, counts_fills: bool | None) -> str:
        if trade.symbol != self._symbol:
            return f"a trade of {trade.symbol!r} among those of {self._symbol}"
        if isinstance(trade, AggregateTrade) is counts_fills:
            return "a trade whose id counts something else than those before it"
        if trade.time > latest + TRADE_AHEAD_MS:
            return f"a trade made {trade.time - latest} ms after all that were sent behind it"
        return fault_of(trade, self._rules)

    def answered(self, query: TradesQuery, answer: list[Trade], latest: int, out: Results) -> list[Trade]:
        """The trades of an answer that are what was queried, made at `latest` at the latest."""
        trades: list[Trade] = []
        for trade in answer:
            if reason := fault_of_answer(trade, query, latest, self._rules):
                self.refuse_all([trade], reason, out)
            else:
                trades.append(trade)
        return trades

    def contradiction(self, trade: Trade, *, newest_time: int, next_fill: int | None) -> str:
        """Why a trade cannot follow one made at `newest_time`; empty when it can. `next_fill` is the fill that comes
        next, where it is known.
        """
        if trade.time < newest_time - BACK_MS:
            return f"a trade made {newest_time - trade.time} ms before its predecessor"
        if next_fill is None or not isinstance(trade, AggregateTrade) or trade.fill == WITHDRAWN_FILL:
            return ""
        if self._rules.fills_follow and trade.first_id != next_fill:
            return f"an aggregate that begins with fill {trade.first_id} where {next_fill} is the next one"
        return "an aggregate of fills that are known" if trade.first_id < next_fill else ""

    def refuse(self, trade: MarketEvent, reason: str, out: Results) -> None:
        """Refuses a trade; where its id stands there may be a gap."""
        self.refusals.note(reason)
        self.has_refused = True
        out.append(rejected(self._venue, trade, reason))

    def refuse_all(self, trades: Iterable[Trade], reason: str, out: Results) -> None:
        """Refuses trades whose ids stand where no trade is missing."""
        has_refused = self.has_refused
        for trade in trades:
            self.refuse(trade, reason, out)
        self.has_refused = has_refused

    def report(self, last_time: int, now: Now, *, ends: bool = False) -> list[Incident]:
        """An incident that trades were refused, when one is due; `last_time` is that of the newest one that was not."""
        cause = self.refusals.take_report(now.local, ends=ends)
        if cause is None:
            return []
        outcome = "kept out of everything"
        return [Incident("reject", self._venue, self._symbol, last_time, now.feed, cause, outcome)]
