"""The trades of one instrument in the order of their ids: what was handed on, what waits behind a gap, and the gaps
that were given up.
"""

from operator import attrgetter
from typing import Final

from flows.bounds import TRADE_AHEAD_MS, VenueRules
from flows.clock import Now
from flows.model import (
    DAY_MS,
    WITHDRAWN_FILL,
    AggregateTrade,
    Gap,
    Incident,
    Trade,
    TradeBatch,
)
from flows.operators.trades.checks import TradeChecks
from flows.operators.trades.disputes import Disputes
from flows.operators.trades.gaps import AbandonedGaps
from flows.operators.trades.head_gap import OVERTAKEN_MS, HeadGap
from flows.operators.trades.held import HeldTrades
from flows.operators.trades.position import Position, WithdrawnTrades
from flows.operators.trades.quarantine import Quarantine, largest_cluster
from flows.operators.trades.recent import HandedOn
from flows.operators.trades.results import Results, TradesAnswer
from flows.operators.trades.stream_watch import StreamWatch
from flows.queries import Continued, LastTradeQuery, Query, QueryError, TradesQuery
from flows.texts import counted

NOT_KNOWN: Final = (
    "an id that the time does not explain, or behind a hole that is none: the venue's REST side does not know it"
)
OTHERWISE: Final = "the venue's REST side says something else of its id"
DIFFERENT: Final = "it says something else than the trade of its id that was handed on"
NEWER: Final = "an id that was handed on already, on a trade that was made later"
NOT_CONTINUED: Final = "an id that the time does not explain, and that no other trade continued"

by_id = attrgetter("id")


class TradeChain:
    """Takes trades in any order and hands them on in the order of their ids, each once.

    `can_query` is whether the venue's REST side answers at all; at most one query about the chain is open at a time.
    """

    def __init__(
        self,
        venue: str,
        symbol: str,
        position: Position,
        *,
        checks: TradeChecks,
        quarantine: Quarantine,
        watch: StreamWatch,
        reorder_ms: int,
        repair_ms: int,
        repair_trades: int,
        rules: VenueRules,
    ) -> None:
        self._venue = venue
        self._symbol = symbol
        self._position = position
        self._checks = checks
        self._quarantine = quarantine
        self._watch = watch
        self._can_query = repair_ms > 0
        self.held = HeldTrades(position)
        self.head = HeadGap(
            symbol, position, self.held, reorder_ms=reorder_ms, repair_ms=repair_ms, repair_trades=repair_trades
        )
        self.gaps = AbandonedGaps()
        self.handed_on = HandedOn()
        self._disputes = Disputes(venue, symbol, rules)
        self.withdrawn = WithdrawnTrades(venue, symbol, position, fills_follow=rules.fills_follow)
        self._newest_confirmed: Trade | None = None
        """The newest trade of REST that was handed on."""
        self.open_query: Query | None = None
        self._repeated = 0
        self.has_joined = False
        """The stream itself has brought a trade that follows what was handed on, or that REST has given too: from there
        on a trade that it does not bring shows.
        """

    @property
    def duplicates(self) -> int:
        """Trades that were dropped, as another one of their id is held or was handed on."""
        return self._repeated + self.held.duplicates

    @property
    def may_go_on(self) -> bool:
        """Whether trades behind the newest one may be queried: nothing is held, or only what is doubtful."""
        return self._position.next_id is not None and (not self.held.trades or self.head.is_doubtful)

    def missed(self, trades: list[Trade]) -> list[Trade]:
        """Those of an answer about trades behind the newest one that the stream has not brought, nor is about to."""
        following, held = self._position.next_id, self.held
        if following is None or self.has_joined:
            return []
        return [trade for trade in trades if following <= trade.id and (not held.trades or trade.id < held.lowest)]

    # --- what comes in ---

    def sort_in(self, trades: list[Trade], now: Now, out: Results, *, is_confirmed: bool = False) -> None:
        """Holds what is ahead of the position, drops what is known, hands on what fills a gap that was given up.
        `is_confirmed`: the trades come from the venue's REST side, which is believed.
        """
        following = self._position.next_id
        ahead = trades if following is None else [trade for trade in trades if trade.id >= following]
        if is_confirmed:
            self.has_joined = self.has_joined or self.held.has_any_of(ahead)
            if wrong := self.held.add_confirmed(ahead):
                self._checks.refuse_all(wrong, OTHERWISE, out)
                out += self._watch.on_refused(OTHERWISE, now, is_known=True)
        else:
            for one in self.held.add(ahead, can_query=self._can_query):
                self._checks.refuse(one, "two trades of one id say different things", out)
        if self.held.trades and self.held.since is None:
            self.held.since = now.feed
        late: list[Trade] = []
        for trade in trades:
            if following is None or trade.id >= following:
                continue
            if not self.gaps.fill(trade.id, self._position.end_of(trade)):
                self._repeated += 1
                if self._watch.witness.is_suspected and not is_confirmed:
                    self._watch.witness.on_speaking()
                self._compare(trade, now, out, is_confirmed=is_confirmed)
                out += self._disputes.settle(trade) if is_confirmed else []
            elif trade.fill != WITHDRAWN_FILL:
                late.append(trade)
        late.sort(key=by_id)
        out += [TradeBatch(self._venue, self._symbol, run, late=True) for run in _runs_of_a_kind(late)]

    def _compare(self, trade: Trade, now: Now, out: Results, *, is_confirmed: bool) -> None:
        """Compares a duplicate with what was handed on under its id. Where they differ the venue's REST side decides,
        and what was handed on is replaced when it was wrong. One that is later than all that was handed on is none.
        """
        known = self.handed_on.differing(trade)
        if not is_confirmed:
            self.has_joined = self.has_joined or (known is None and self.handed_on.has(trade.id))
            is_later = trade.time > self._position.last_time + OVERTAKEN_MS
            if is_later and (known is not None or not self.handed_on.has(trade.id)):
                self._checks.refuse(trade, NEWER, out)  # so there may be a gap
            elif known is not None:
                self._checks.refuse_all([trade], DIFFERENT, out)
                out += self._watch.on_refused(DIFFERENT, now, is_known=True)
            if known is not None and self._can_query:
                self.handed_on.doubt(trade.id, min(known.time, trade.time))
        elif known is not None:
            self._replace(known, trade, out)

    def _replace(self, known: Trade, trade: Trade, out: Results) -> None:
        """Replaces a trade that was handed on and is wrong by that of the venue's REST side."""
        begin, end = sorted((known.time, trade.time))
        self.handed_on.add([trade])
        if (known.first_id, known.last_id) != (trade.first_id, trade.last_id):
            self.handed_on.doubt_beside(trade.id, begin)  # they continued what was wrong
        self._checks.refuse_all([known], f"the venue's REST side says something else of trade {trade.id}", out)
        cause = f"trade {trade.id} was handed on, and the venue's REST side says something else of it"
        ids = trade.id, trade.id
        out += [
            TradeBatch(self._venue, self._symbol, [trade], late=True, replaced=(known,)),
            Gap(self._venue, self._symbol, *ids, begin, end),
            Incident("repair", self._venue, self._symbol, begin, end, cause, "replaced in the trade store", *ids),
        ]

    def on_answer(self, query: TradesQuery, answer: TradesAnswer, now: Now) -> Results:
        """Takes the trades that were queried; what did not come is queried again later."""
        error = answer if isinstance(answer, QueryError) else None
        out: Results = []
        is_check, is_later = self.head.is_check(query), self._watch.take_answered()
        # a query without an upper end may bring trades that were made after it
        latest = (now.feed + DAY_MS if is_later else max(query.end, now.feed)) + TRADE_AHEAD_MS
        trades = [] if isinstance(answer, QueryError) else self._checks.answered(query, answer, latest, out)
        if is_later:
            out += self._watch.on_answer(query, error or trades, now)
        self.sort_in(trades, now, out, is_confirmed=True)
        if error is None:
            self._disputes.on_answer(query)
        if trades and not is_later:
            self._watch.on_repair(trades[0].time, now)
        self.gaps.on_answer(query, error, now)
        self.handed_on.on_answer(query, error, now)
        if is_check:
            is_denied = self.head.pending is not None and self.head.pending.is_denied
            if denied := self.head.on_check(query, answer, now):
                self._checks.refuse_all(denied, NOT_KNOWN, out)
                out += self._watch.on_refused(NOT_KNOWN, now, is_known=is_denied)
        else:
            self.head.on_answer(query, trades, error, now)
        return out

    # --- what goes out ---

    def release(self, now: Now, *, is_end: bool = False) -> Results:
        """Hands on what is in sequence, and gives up the gap before it when its time is over. At the end of the input
        every gap is given up.
        """
        out: Results = []
        position, held, head = self._position, self.held, self.head
        if isinstance(self.open_query, LastTradeQuery) and not is_end:
            return out  # its answer says where to begin
        can_query = self.open_query is None
        while held.trades:
            if position.next_id not in held.trades:
                if is_end and (overtaken := head.take_overtaken()):
                    self._checks.refuse_all(overtaken, NOT_KNOWN, out)
                    continue
                if not is_end and head.is_overtaken(now):
                    return out + self._opened(head.overtaken_query() if can_query else None)
                reason = "the end came first" if is_end else head.reason_to_give_up(now)
                if reason is None:
                    return out + self._opened(head.next_query(now, can_query=can_query, begin=self._begin_of_gap))
                if not is_end and head.must_be_checked:
                    return out + self._opened(head.check_query() if can_query and head.can_check(now) else None)
                if not is_end and head.is_unlikely:
                    self._set_aside(now, out)
                    continue
                self._skip_to(self._first_of_held(out), reason, now, out)
            out += [self._batch_of(run) for run in _runs_of_a_kind(self._take_sequence(out))]
            overtaken = self._quarantine.take_older(position.last_time - OVERTAKEN_MS)
            self._checks.refuse_all(overtaken, NOT_CONTINUED, out)
            held.since = now.feed if held.trades else None
            self._publish_repair(now, out)
            out += self._watch.on_progress(now)
        return out

    @property
    def _begin_of_gap(self) -> int:
        """When the missing trades began, ms UTC. Where the newest trade is later than those behind the gap its time may
        be wrong, and venues look for ids by time: then it is that of a trade before.
        """
        behind, last_time = self.held.trades[self.held.lowest].time, self._position.last_time
        return last_time if last_time <= behind + OVERTAKEN_MS else self.handed_on.newest_before(behind)

    def _opened(self, query: TradesQuery | None) -> list[TradesQuery]:
        if query is None:
            return []
        self.open_query = query
        return [query]

    def _set_aside(self, now: Now, out: Results) -> None:
        """The lowest held trade is the only one behind its gap. Where the venue's REST side was queried for the missing
        ones it is refused; otherwise it waits in quarantine for one that continues it.
        """
        is_denied = self.head.pending is not None
        trade = self.head.take_lowest()
        if is_denied:
            reason = "the venue's REST side knows of no trades before it"
            self._checks.refuse_all([trade], reason, out)
            out += self._watch.on_refused(reason, now, is_known=True)
        else:
            self._checks.refuse_all(self._quarantine.put(trade), NOT_CONTINUED, out)

    def _take_sequence(self, out: Results) -> list[Trade]:
        """The held trades that follow, up to a gap, or to one that contradicts its predecessor: that is refused, and
        its id is a gap.
        """
        position, held = self._position, self.held
        trades: list[Trade] = []
        has_streamed = False
        while (trade := held.take_next()) is not None:
            if self.withdrawn.hides_before(trade):
                if trades:  # what is before the gap goes out before it
                    held.trades[trade.id] = trade
                    break
                out += self.withdrawn.lost(trade.time)
            is_confirmed = trade.id in held.confirmed
            contradiction = self._checks.contradiction(
                trade, newest_time=position.last_time, next_fill=position.next_fill
            )  # fmt: skip
            if contradiction and not is_confirmed:
                self._checks.refuse(trade, contradiction, out)
                self.head.contradictions += 1
                break
            if contradiction:
                out += self._dispute(trade, contradiction)
            self._newest_confirmed = trade if is_confirmed else None
            has_streamed = has_streamed or not is_confirmed
            held.confirmed.discard(trade.id)
            self.withdrawn.take(trade)
            position.advance(trade)
            if contradiction:  # REST is believed: a wrong time before it would refuse all that follow
                position.last_time = trade.time
            if trade.fill != WITHDRAWN_FILL:
                trades.append(trade)
        held.drop_known()
        if has_streamed:
            self.has_joined = True
            self.head.contradictions = 0
            if not self._watch.witness.is_settled:
                self._watch.witness.on_stream()
        return trades

    def _dispute(self, trade: Trade, contradiction: str) -> list[Incident]:
        """A trade that contradicts its predecessor is believed, as the venue's REST side has it. So the predecessor is
        wrong, or fills are missing: REST decides that too.
        """
        before, number = self._newest_confirmed, trade.id - 1
        self._disputes.add(number, trade, contradiction)
        if before is not None and before.id == number:
            return self._disputes.settle(before)
        self.handed_on.doubt(number, min(self._position.last_time, trade.time))
        return []

    def _batch_of(self, run: list[Trade]) -> TradeBatch:
        self.handed_on.add(run)
        times = [trade.time for trade in run]
        return TradeBatch(self._venue, self._symbol, run, begin=min(times), end=max(times))

    # --- gaps that are given up ---

    def _first_of_held(self, out: Results) -> int:
        """Where to go on. Before the first trade no id is known to be true: the largest group of ids that belong
        together is believed.
        """
        held = self.held
        if self._position.next_id is None:
            chosen = {trade.id for trade in largest_cluster(list(held.trades.values()))}
            for odd in held.take([number for number in held.trades if number not in chosen]):
                self._checks.refuse_all(self._quarantine.put(odd), NOT_CONTINUED, out)
        return held.lowest

    def _skip_to(self, found: int, reason: str, now: Now, out: Results) -> None:
        """Goes on at `found`. Before the first trade nothing is known to be missing."""
        position, pending = self._position, self.head.pending
        if position.next_id is not None:
            missing, last = position.next_id, found - 1
            begin, end = sorted((self._begin_of_gap, self.held.trades[found].time))
            is_lost = pending is None or pending.is_lost
            self.gaps.add(missing, last, begin, end, is_lost=is_lost, now=now)
            out.append(Gap(self._venue, self._symbol, missing, last, begin, end))
            cause = f"{counted(last - missing + 1, 'trade')} did not arrive"
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, reason, missing, last))
        position.next_id, position.next_fill = found, None
        self.head.pending = None

    def _publish_repair(self, now: Now, out: Results) -> None:
        """An incident, when the gap that was waited for is filled."""
        gap = self.head.take_filled()
        if gap is None:
            return
        cause = f"{counted(gap.last - gap.first + 1, 'trade')} did not arrive"
        outcome = f"fetched within {now.local - gap.found} ms"
        out.append(
            Incident("repair", self._venue, self._symbol, gap.begin, gap.end, cause, outcome, gap.first, gap.last)
        )

    # --- a new beginning ---

    def begin_after(self, stored: tuple[int, int] | Continued) -> list[Trade]:
        """Begins behind a stored trade, its id and time, so that what was missed while the process was away is a gap.
        Gives the trades that are held, to be checked against that.
        """
        position = self._position
        position.next_id, position.next_fill, position.last_time = stored[0] + 1, None, stored[1]
        return self.held.take_all()

    def begin_anew(self, run: list[Trade], now: Now, out: Results) -> None:
        """Goes on with trades that continue each other, and not what was handed on. Otherwise all trades of a venue
        that was set back would be duplicates, or wait behind a gap that cannot be filled.
        """
        out += self.release(now, is_end=True)
        position, first = self._position, run[0]
        cause = f"the venue's ids went on from {position.next_id} at {first.id}"
        begin, outcome = position.last_time, "sequence begun anew"
        out.append(Incident("gap", self._venue, self._symbol, begin, first.time, cause, outcome))
        position.next_id, position.next_fill, position.last_time = None, None, 0
        self.held.since, self.head.pending = None, None
        self.held.confirmed.clear()
        self.gaps.clear()
        self._disputes.clear()
        self.sort_in(run, now, out)


def _runs_of_a_kind(trades: list[Trade]) -> list[list[Trade]]:
    """Single fills and aggregates apart, as the kind of a batch is that of its first trade."""
    runs: list[list[Trade]] = []
    for trade in trades:
        if runs and isinstance(runs[-1][-1], AggregateTrade) == isinstance(trade, AggregateTrade):
            runs[-1].append(trade)
        else:
            runs.append([trade])
    return runs
