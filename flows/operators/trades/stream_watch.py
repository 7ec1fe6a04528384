"""Whether the stream of trades of an instrument brings every trade that is made, and what is published and queried when
it does not.
"""

from typing import TypeAlias

from flows.clock import Now
from flows.model import Incident, Kline, NewestTrade, Ticker, TradeWitness
from flows.operators.trades.gaps import QUERY_TRADES
from flows.operators.trades.position import Position
from flows.operators.trades.results import TradesAnswer
from flows.operators.trades.witness import Witness
from flows.queries import QueryError, RenewQuery, TradesQuery

Findings: TypeAlias = list[TradeWitness | Incident | RenewQuery]


class StreamWatch:
    """Compares the position with what witnesses name, and counts what is refused. That trades are missing is published
    once as an incident, and as a `TradeWitness` whenever the reason changes; so is the end of it.

    With `can_query` missing trades are queried and the stream is renewed.
    """

    def __init__(self, venue: str, symbol: str, position: Position, *, can_query: bool) -> None:
        self._venue = venue
        self._symbol = symbol
        self._position = position
        self._can_query = can_query
        self.witness = Witness()
        self._missed_since = 0
        """Time of the last trade before the stream brought no more."""
        self._published_reason = ""
        self._suspicion = ""
        """What was found when the stream was suspected."""
        self._has_queried = False
        """The query for trades behind the newest one is open."""

    def on_message(self, event: Kline | Ticker | NewestTrade, now: Now) -> Findings:
        """A message of another stream names the newest trade."""
        position = self._position
        known = position.last_fill
        if known is None or event.symbol != self._symbol:
            return []
        self.witness.on_message(event.last_id, known, event.event_time - position.last_time, now)
        if isinstance(event, NewestTrade) and event.last_id == known and self.witness.confirm(now):
            return [TradeWitness(self._venue, self._symbol, is_ahead=False, reason="the exchange names no later trade")]
        return [] if self.witness.is_ahead else self.on_progress(now)

    def on_stream(self, now: Now) -> Findings:
        """The stream itself has brought trades that were handed on."""
        self.witness.on_stream()
        return self.on_progress(now)

    def on_progress(self, now: Now) -> Findings:
        """The position may have moved. Publishes that no trades are missing any more, where it was published that some
        are.
        """
        witness, position = self.witness, self._position
        known = position.last_fill
        if known is None:
            return []
        witness.on_trades(known)
        if not witness.is_over(now):
            return []
        witness.close_gap()
        has_spoken, begin = witness.has_spoken, min(self._missed_since, position.last_time)
        reason = "the missing trades have come" if has_spoken else "no later trades are made"
        stream = position.stream
        cause = f"{stream} brings trades again" if has_spoken else f"{stream} brought none, and {reason}"
        outcome = "what was missing was fetched over REST"
        return [
            TradeWitness(self._venue, self._symbol, is_ahead=False, reason=reason, has_spoken=has_spoken),
            Incident("repair", self._venue, self._symbol, begin, position.last_time, cause, outcome),
        ]

    def on_refused(self, reason: str, now: Now, *, is_known: bool = False) -> Findings:
        """Trades of the stream were refused. `is_known`: the venue has given what stands in their place."""
        self.witness.on_refused(reason, now, is_known=is_known)
        if not self.witness.is_refused:
            return []
        return self._publish_missing(self.witness.reason(self._position.stream), now.feed, now)

    def on_repair(self, made: int, now: Now) -> None:
        """Trades of a gap were fetched, the oldest made at `made`."""
        if self.witness.was_ahead:
            self.witness.on_fetched(now.feed - made, now)

    # --- the query for later trades ---

    def next_query(self, now: Now) -> TradesQuery | None:
        """Queries trades behind the newest one, as many as a witness names; None while there is no reason to."""
        due, following = self.witness.due, self._position.next_id
        if due is None or due > now.local or following is None:
            return None
        known = self._position.last_fill
        ahead = 0 if known is None else self.witness.newest_id - known
        most = min(QUERY_TRADES, ahead) if ahead > 0 else QUERY_TRADES
        self._has_queried = True
        return TradesQuery(self._symbol, following, following + most - 1, self._position.last_time, now.feed)

    def take_answered(self) -> bool:
        """Whether the query that is answered now is the one of `next_query`: to be called at each answer."""
        has_queried, self._has_queried = self._has_queried, False
        return has_queried

    def on_answer(self, query: TradesQuery, answer: TradesAnswer, now: Now) -> Findings:
        """Later trades of the venue's REST side. Those that come by the stream meanwhile, or shortly after, prove
        nothing.
        """
        witness = self.witness
        is_after_refusal = witness.has_refused
        following = self._position.next_id or 0
        has_trades = not isinstance(answer, QueryError) and any(trade.id >= following for trade in answer)
        witness.on_answer(has_trades=has_trades, now=now)
        # after a refusal the query only fetched what stood in the place of what was refused
        if isinstance(answer, QueryError) or (is_after_refusal and not witness.is_refused):
            return []
        if has_trades:
            witness.on_fetched(now.feed - answer[0].time, now)
            cause = f"trades from id {query.first_id} on were made, and did not come by {self._position.stream}"
            if witness.suspect(now):
                self._suspicion = cause
                return []
            return self._publish_missing(self._suspicion if witness.is_suspected else cause, answer[-1].time, now)
        if witness.is_suspected:
            return self._publish_missing(self._suspicion, self._position.last_time, now)
        if witness.was_ahead:
            return self.on_progress(now)
        return [TradeWitness(self._venue, self._symbol, is_ahead=False, reason="REST knows no later trade")]

    def _publish_missing(self, cause: str, end: int, now: Now) -> Findings:
        """The stream does not bring every trade: an incident once, a `TradeWitness` whenever the reason is a new one,
        and a renewal of the stream when it is due.
        """
        witness, stream = self.witness, self._position.stream
        reason = witness.reason(stream)
        out: Findings = []
        is_new = not witness.was_ahead
        if is_new:
            witness.open_gap(now)
            self._missed_since, self._published_reason = self._position.last_time, ""
        renews = self._can_query and witness.claim_renewal(now)
        if reason != self._published_reason:
            self._published_reason = reason
            out.append(TradeWitness(self._venue, self._symbol, is_ahead=True, reason=reason))
        if is_new:
            outcome = "fetched, and the stream is renewed" if renews else "what is missing is asked for over REST"
            out.append(Incident("silent", self._venue, self._symbol, self._missed_since, end, cause, outcome))
        return [*out, RenewQuery(self._symbol, (stream,), cause)] if renews else out
