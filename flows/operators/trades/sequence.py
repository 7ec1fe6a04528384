"""First machine of the step `candles`: trades in the order of their ids, each once, and every gap noticed and filled.

Order is by id, never by arrival. A trade whose predecessor is missing waits `reorder_ms` of the feed's time for it.
Then the missing ids are queried, and what is behind the gap goes on waiting: repaired in time, nothing of it shows
downstream. What cannot be had in time is a `Gap`, and the stream goes on; what fills it later is handed on as `late`.

A trade is a claim. One that cannot be true by itself, that contradicts its predecessor (its fills do not follow, its
time goes back), or that differs from another one of the same id, is refused; its id is a gap then, and the
venue's REST side decides. One whose id the time cannot explain waits until another continues it. Klines and tickers
name the newest trade that they know: where that does not come, there is a gap although nothing follows.

A restart is a gap like any other: the last id comes from the recovered state, or from the trade store.
"""

from collections.abc import Callable
from typing import TypeGuard, cast

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import Now
from flows.model import (
    TRADE_KINDS,
    AggregateTrade,
    Coverage,
    Disconnected,
    Incident,
    Instrument,
    Kline,
    NewestTrade,
    Silent,
    Speaking,
    Subscribed,
    Ticker,
    Trade,
    TradeBatch,
    TradeInput,
    TradesRefused,
)
from flows.operators.state_version import restore
from flows.operators.trades.chain import NOT_CONTINUED, NOT_KNOWN, TradeChain, by_id
from flows.operators.trades.checks import TradeChecks
from flows.operators.trades.continuity import times_of_aggregates, times_of_fills
from flows.operators.trades.head_gap import MAX_HELD
from flows.operators.trades.position import Position
from flows.operators.trades.quarantine import Quarantine, is_explained
from flows.operators.trades.renumbering import Renumbering
from flows.operators.trades.results import Results, TradesAnswer
from flows.operators.trades.resumption import Beginning, Resumption
from flows.operators.trades.state import NAME, STATE_VERSION, HeldState, SequenceState
from flows.operators.trades.stream_watch import StreamWatch
from flows.operators.trades.watermark import WatermarkTracker
from flows.queries import (
    MissedTradesQuery,
    Query,
    QueryError,
    RefillQuery,
    StoreCheckQuery,
    TradesQuery,
)


class Sequencer:
    """Machine of one instrument. Gives `TradeBatch`, `Gap`, `Watermark`, `Rejected`, `TradeWitness`, `Incident` and
    queries, and passes every other event on unchanged.

    The beginning is a gap too: the first trades wait `reorder_ms`, so that the lowest id of them leads. A gap is given
    up when its repair makes no progress for `repair_ms` of local time, or when it is larger than `repair_trades`: that
    is left to the archive importer. With `repair_ms` = 0 nothing is queried.
    """

    def __init__(
        self,
        key: str,
        *,
        reorder_ms: int,
        repair_ms: int = 0,
        repair_trades: int = MAX_HELD,
        rules: VenueRules = ANY_VENUE,
        state: object = None,
        is_last: Callable[[], bool] | None = None,
    ) -> None:
        self._is_last = is_last
        self._venue, self._symbol = venue, symbol = Instrument.of(key)
        self._repair_trades = repair_trades
        self._can_query = repair_ms > 0
        self._rules = rules
        self._position = position = Position()
        self._checks = TradeChecks(venue, symbol, rules)
        self._quarantine = Quarantine()
        self._renumbering = Renumbering(symbol, position)
        self._watch = StreamWatch(venue, symbol, position, can_query=self._can_query)
        self._chain = TradeChain(
            venue, symbol, position, checks=self._checks, quarantine=self._quarantine, watch=self._watch,
            reorder_ms=reorder_ms, repair_ms=repair_ms, repair_trades=repair_trades, rules=rules,
        )  # fmt: skip
        # parts of these, for the events that need nothing else
        self._witness = self._watch.witness
        self._held = self._chain.held
        self._gaps = self._chain.gaps
        self._handed_on = self._chain.handed_on
        self._watermark = WatermarkTracker(is_resumed=state is not None)
        self._resumption: Resumption | None = None
        self._turns = [self._query_ahead, self._query_behind]
        """The first of them that has a query is the last one then, so that neither keeps the other waiting."""
        self._covered_until: int | None = None
        """End of the newest `Coverage`."""
        if state is not None:
            self._resume(restore(state, STATE_VERSION, SequenceState, NAME))
        self._beginning = Beginning(
            venue, symbol, position, chain=self._chain, checks=self._checks,
            is_new=self._can_query and position.next_id is None, take=self._take_carefully,
        )  # fmt: skip

    def _resume(self, state: SequenceState) -> None:
        position = self._position
        position.next_id, position.next_fill = state.next_id, state.next_fill
        position.last_time, position.counts_fills = state.last_time, state.counts_fills
        self._held.add([held.trade() for held in state.held], can_query=self._can_query)
        self._held.since = state.held_since
        self._gaps.resume(state.gaps)
        if self._can_query and position.next_id is not None:
            self._resumption = Resumption(
                self._venue, self._symbol, position, chain=self._chain, checks=self._checks,
                last_id=position.next_id - 1, most_trades=self._repair_trades,
            )  # fmt: skip

    @property
    def duplicates(self) -> int:
        """Trades that were dropped, as another one of their id was known."""
        return self._chain.duplicates

    # --- the machine's face ---

    def on_events(self, events: TradeInput, now: Now) -> Results:
        """Takes a run of trades, or anything else."""
        if not _is_run(events):
            return self._with_watermark(self._take_other(events, now))
        position = self._position
        following = position.next_id
        is_plain = not (self._held.trades or self._quarantine.trades or self._chain.withdrawn.is_open)
        if following is not None and is_plain:
            batch = self._continued(events, following)
            if batch is not None:
                last = events[-1]
                position.next_id, position.next_fill, position.last_time = last.id + 1, last.last_id + 1, last.time
                self._handed_on.add(events)
                if self._resumption is not None:
                    self._chain.has_joined = True
                    self._end_resumption()
                if self._witness.is_settled:
                    return self._with_watermark([batch]) if self._watermark.is_stopped else [batch]
                return self._with_watermark([*self._watch.on_stream(now), batch])
        out: Results = []
        trades = self._checks.sound(events, out, counts_fills=None if following is None else position.counts_fills)
        if trades:
            out += self._take_carefully(trades, now)
        out += self._refused(now)
        return self._with_watermark([*out, *self._checks.report(position.last_time, now)])

    def _refused(self, now: Now) -> Results:
        """What follows from refusals of the stream since the last call."""
        if not self._checks.has_refused:
            return []
        self._checks.has_refused = False
        return [*self._watch.on_refused(self._checks.refusals.last_reason or NOT_CONTINUED, now)]

    def _with_watermark(self, out: Results) -> Results:
        """The results, and the watermark where it has stopped or goes on with them."""
        is_behind = bool(self._held.trades) or self._witness.is_ahead
        return self._watermark.published(out, is_behind=is_behind, last_time=self._position.last_time)

    def _continued(self, trades: list[Trade], following: int) -> TradeBatch | None:
        """A run that continues what was handed on, without a contradiction; None when it does not."""
        position = self._position
        place = following, -1 if position.next_fill is None else position.next_fill, position.last_time
        if position.counts_fills:
            times = times_of_fills(trades, place)
        else:
            times = times_of_aggregates(trades, place, fills_follow=self._rules.fills_follow)
        if times is None:
            return None
        return TradeBatch(self._venue, self._symbol, trades, False, *times)

    def on_answer(self, query: Query, answer: object, now: Now) -> Results:
        """Takes the missing trades, or notes that they cannot be had."""
        out: Results = []
        if query == self._renumbering.open_query:
            out += self._take_renumbered(query, cast("TradesAnswer", answer), now)
        elif self._beginning.is_own(query):
            out += self._beginning.on_answer(query, answer, now)
            self._resumption = self._beginning.take_resumption() or self._resumption
        elif isinstance(query, StoreCheckQuery | RefillQuery | MissedTradesQuery):
            if isinstance(query, MissedTradesQuery):
                self._chain.open_query = None
            if self._resumption is not None:
                out += self._resumption.on_answer(query, answer, now)
        elif isinstance(query, TradesQuery):
            self._chain.open_query = None
            out += self._chain.on_answer(query, cast("TradesAnswer", answer), now)
        return self._with_watermark(out) + self.on_timer(now)

    def on_timer(self, now: Now) -> Results:
        """Queries what is missing, and gives up a gap whose time is over."""
        out = self._chain.release(now) + self._refused(now)
        self._end_resumption()
        if self._resumption is not None:
            out += self._resumption.next_queries(now)
        if self._can_query and self._chain.open_query is None:
            query = self._chain.open_query = self._next_query(now)
            if query is not None:
                out.append(query)
        return self._with_watermark([*out, *self._checks.report(self._position.last_time, now)])

    def on_end(self, now: Now) -> Results:
        """The input ends. What waits behind a gap is handed on, unless the next start can fetch it with the gap; where
        none does (`is_last`) the gap is queried, and this is called again after the answer.
        """
        out: Results = []
        is_last = not self._can_query or (self._is_last is not None and self._is_last())
        if is_last:
            self._chain.head.expects_stragglers = False
            out += self.on_timer(now)
        if is_last and self._chain.open_query is None:
            out += self._chain.release(now, is_end=True)
        return self._with_watermark([*out, *self._checks.report(self._position.last_time, now, ends=True)])

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        held, witness, handed_on = self._held.trades, self._witness, self._handed_on
        is_idle = self._resumption is None and witness.due is None and handed_on.due is None
        if is_idle and not (held or self._checks.refusals.count or self._gaps.gaps):
            return None
        open_query = self._chain.open_query
        wait = self._chain.head.wait_ms(now, open_query)
        waits = [] if wait is None else [wait]
        if self._can_query and open_query is None:
            dues = self._gaps.due, witness.due if self._chain.may_go_on else None, handed_on.due
            waits += [due - now.local for due in dues if due is not None]
        if self._resumption is not None:
            due = self._resumption.due(now)
            waits += [] if due is None else [due - now.local]
        if self._checks.refusals.due is not None:
            waits.append(self._checks.refusals.due - now.local)
        return max(0, min(waits)) if waits else None

    def snapshot(self) -> SequenceState:
        """Everything that a restart needs, as a copy. Where missing trades are queried, what waits behind a gap is part
        of the gap that the restart is.
        """
        position = self._position
        held = [] if self._can_query else [HeldState.of(trade) for trade in self._held.trades.values()]
        return SequenceState(
            STATE_VERSION,
            position.next_id,
            position.next_fill,
            position.last_time,
            position.counts_fills,
            held,
            self._held.since if held else None,
            self._gaps.state(),
        )

    def _next_query(self, now: Now) -> TradesQuery | None:
        """What to query next, ahead of the position and behind it in turn."""
        first, other = self._turns
        query = first(now)
        if query is None:
            return other(now)
        self._turns = [other, first]
        return query

    def _query_ahead(self, now: Now) -> TradesQuery | None:
        """What a restart has missed, or what a witness names."""
        query = None if self._resumption is None else self._resumption.next_probe(now)
        return query or (self._watch.next_query(now) if self._chain.may_go_on else None)

    def _query_behind(self, now: Now) -> TradesQuery | None:
        """What is in doubt of what was handed on, or the ids of a gap that was given up."""
        return self._handed_on.next_query(self._symbol, now) or self._gaps.next_query(self._symbol, now)

    def _end_resumption(self) -> None:
        """Forgets the restart when nothing is queried for it any more."""
        if self._resumption is not None and self._resumption.is_over:
            self._resumption = None

    # --- what is no trade ---

    def _take_other(self, events: TradeInput, now: Now) -> Results:
        match events:
            case Coverage(has_trades=True):
                return [*self._begin_covered(events), events]
            case [Kline() | Ticker() | NewestTrade(), *_]:
                # all of a run are of one type; the newest one names the newest trade
                return [*self._watch.on_message(events[-1], now), events]  # type: ignore[arg-type]
            case TradesRefused():
                return [*self._watch.on_refused(events.reason, now)]
            case Silent() if not TRADE_KINDS.isdisjoint(events.kinds):
                self._witness.on_silent(now)
            case Speaking() if not TRADE_KINDS.isdisjoint(events.kinds):
                self._witness.on_speaking()
            case Disconnected():
                self._watermark.on_connection(events)
            case Subscribed():
                self._watermark.on_connection(events)
                if any(name.partition("@")[2] in TRADE_KINDS for name in events.streams):
                    self._witness.on_subscribed()  # a stream that came back and brings nothing is silent anew
                    return [events, *self._beginning.on_subscribed()]
        return [events]

    # --- trades that do not simply follow ---

    def _take_carefully(self, trades: list[Trade], now: Now) -> Results:
        out: Results = []
        position, chain = self._position, self._chain
        if position.next_id is None:
            position.counts_fills = not isinstance(trades[0], AggregateTrade)
            out += self._beginning.on_trades(trades, now)
        before, strays = position.next_id, self._quarantine.trades
        explained: list[Trade] = []
        for trade in trades:
            run = self._quarantine.continued_by(trade)
            if self._is_explained(trade, explained):
                explained += [*run, trade]
            elif run and self._can_query:
                for one in (*run, trade):
                    self._checks.refuse_all(self._quarantine.put(one), NOT_CONTINUED, out)
                self._checks.has_refused = True
                out += self._renumbering.next_query([*run, trade], now)
                self._quarantine.is_queried = self._renumbering.open_query is not None
            elif run:
                self._take_explained(explained, now, out)
                chain.begin_anew([*run, trade], now, out)
                explained, before = [], None
            else:
                self._checks.refuse_all(self._quarantine.put(trade), NOT_CONTINUED, out)
                self._checks.has_refused = True
        self._take_explained(explained, now, out)
        if before is not None and position.next_id != before:
            self._checks.refuse_all(self._quarantine.take(strays), NOT_CONTINUED, out)  # the old sequence went on
        return out

    def _is_explained(self, trade: Trade, explained: list[Trade]) -> bool:
        """Whether the time explains an id, beside the newest `explained` trade of the same run or the position."""
        following, last_time = self._position.next_id, self._position.last_time
        if explained and is_explained(trade, explained[-1].id + 1, explained[-1].time):
            return True
        if following is None:
            return not explained
        return is_explained(trade, following, last_time)

    def _take_explained(self, trades: list[Trade], now: Now, out: Results) -> None:
        self._chain.sort_in(trades, now, out)
        out += self._chain.release(now)

    # --- the beginning, and ids that begin anew ---

    def _begin_covered(self, coverage: Coverage) -> list[Incident]:
        """All trades from a time on are known: what lies between them and the ones before is left out, not missing."""
        out: list[Incident] = []
        if not coverage.is_over and self._covered_until not in (None, coverage.begin):
            self._position.next_id = self._position.next_fill = None
            cause = f"nothing was told between {self._symbol}'s trades until then and {coverage.name}"
            begin, end = self._covered_until or 0, coverage.begin
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, "left out"))
        self._covered_until = coverage.end
        return out

    def _take_renumbered(self, query: TradesQuery, answer: TradesAnswer, now: Now) -> Results:
        """The venue's REST side was queried for trades that continue each other, and not what was handed on."""
        out: Results = []
        self._renumbering.on_answer(now)
        self._quarantine.is_queried = False
        if isinstance(answer, QueryError):
            return out
        waiting = self._quarantine.trades
        queried = tuple(trade for trade in waiting if query.first_id <= trade.id <= query.last_id)
        if any(self._renumbering.is_known(trade, answer) for trade in queried):
            run = self._quarantine.take(tuple(trade for trade in waiting if trade.id >= query.first_id))
            self._chain.begin_anew(sorted(run, key=by_id), now, out)
        else:
            self._checks.refuse_all(self._quarantine.take(queried), NOT_KNOWN, out)
            self._checks.has_refused = False
            out += self._watch.on_refused(NOT_KNOWN, now)
        return out


def _is_run(events: TradeInput) -> TypeGuard[list[Trade]]:
    """Whether it is a run of trades: the events of a run are of one type."""
    return isinstance(events, list) and isinstance(events[0], Trade)
