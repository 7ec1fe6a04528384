"""Step `sequence`: trades in the order of their ids, each once, and every hole noticed and filled.

Order is by id, never by arrival. A trade whose predecessor is missing waits `reorder_ms` of the feed's time for it.
Then the missing ids are asked for, and what is behind the hole goes on waiting: repaired in time, nobody downstream
notices. What cannot be had in time is a `Gap`, and the stream goes on; what fills it later is handed on as `late`.

A trade is a claim. One that cannot be true by itself, that contradicts its predecessor (its fills do not follow, its
time goes back), or that says something else than another one of the same id, is refused; its id is a hole then, and
the venue's REST side has the last word. One whose id the time cannot explain waits until another continues it. Klines
and tickers name the newest trade that they know: where that does not come, there is a hole although nothing follows.

A restart is a hole like any other: the last id comes from the recovered state, or from the trade store.
"""

from collections.abc import Iterable
from typing import Any

from flows.bounds import ANY_VENUE, TRADE_AHEAD_MS, VenueRules
from flows.clock import Now
from flows.model import (
    DAY_MS,
    TRADE_KINDS,
    WITHDRAWN_FILL,
    AggregateTrade,
    Coverage,
    Gap,
    Incident,
    Instrument,
    Kline,
    Silent,
    Speaking,
    Subscribed,
    Ticker,
    Trade,
    TradeBatch,
    TradesRefused,
    TradeWitness,
)
from flows.operators.state_version import check_version
from flows.operators.trades.checks import TradeChecks
from flows.operators.trades.continuity import times_of_aggregates, times_of_fills
from flows.operators.trades.gaps import QUERY_TRADES, RETRY_MS, AbandonedGaps, PendingGap
from flows.operators.trades.quarantine import Quarantine, is_explained, largest_cluster
from flows.operators.trades.recent import HandedOn, says_the_same
from flows.operators.trades.resumption import Resumption
from flows.operators.trades.witness import Witness
from flows.queries import (
    LastTradeQuery,
    MissedTradesQuery,
    Query,
    QueryError,
    RefillQuery,
    RenewQuery,
    StoreCheckQuery,
    TradesQuery,
)

MAX_HELD = 200_000
"""Trades that wait behind a hole; one more, and the hole is a gap at once."""

STATE_VERSION = 3
_NOT_KNOWN = (
    "an id that the time does not explain, or behind a hole that is none: the venue's REST side does not know it"
)
_NOT_CONTINUED = "an id that the time does not explain, and that no other trade continued"


class Sequencer:
    """Machine of one instrument. Gives `TradeBatch`, `Gap`, `Rejected`, `TradeWitness`, `Incident` and queries, and
    passes every other event on unchanged.

    The beginning is a hole too: the first trades wait `reorder_ms`, so that the lowest id of them leads. A hole is a
    gap when its repair gets nowhere for `repair_ms` of local time, or when it is larger than `repair_trades`: that is
    the archive importer's business. With `repair_ms` = 0 nothing is asked for.
    """

    def __init__(
        self,
        key: str,
        *,
        reorder_ms: int,
        repair_ms: int = 0,
        repair_trades: int = MAX_HELD,
        rules: VenueRules = ANY_VENUE,
        state: Any = None,
    ) -> None:
        self._venue, self._symbol = Instrument.of(key)
        self._reorder_ms = reorder_ms
        self._repair_ms = repair_ms
        self._repair_trades = repair_trades
        self._rules = rules
        self._next: int | None = None
        self._next_fill: int | None = None
        """First fill of the next aggregate, where the ids of fills follow each other; None when it is not known."""
        self._last_time = 0
        self._held: dict[int, Trade] = {}
        self._lowest = 0
        self._held_since: int | None = None
        self._confirmed: set[int] = set()
        """Held ids whose trade the venue's REST side has told."""
        self._quarantine = Quarantine()
        self._witness = Witness()
        self._missed_since = 0
        """Time of the last trade before the stream brought none any more."""
        self._told_missed = ""
        self._hole: PendingGap | None = None
        self._gaps = AbandonedGaps()
        self._open_query: Query | None = None
        self._queries_later = False
        """What is asked for is behind the newest trade, and no trade waits for it."""
        self._checked: int | None = None
        """Held id of which the venue's REST side has said, or could not say, whether it knows it."""
        self._check: TradesQuery | None = None
        """Asked, of that."""
        self._claimed: TradesQuery | None = None
        """Asked whether ids have begun anew."""
        self._claim_due = 0
        self._handed_on = HandedOn()
        self._is_new = state is None and repair_ms > 0
        self._resumption: Resumption | None = None
        self._counts_fills = False
        """Ids count single fills; an aggregate that comes by REST stands for all those that it covers."""
        self._whole_until: int | None = None
        self._checks = TradeChecks(self._venue, self._symbol, rules)
        self.duplicates = 0
        if state is not None:
            self._resume(state)

    def _resume(self, state: tuple[Any, ...]) -> None:
        check_version(state, STATE_VERSION, "the sequence of trades")
        _, self._next, self._last_time, held, self._held_since, gaps, self._counts_fills, self._next_fill = state
        self._hold(held, [])
        self._gaps = AbandonedGaps(gaps)
        self._is_new = self._repair_ms > 0 and self._next is None  # the first trades were still held
        if self._repair_ms and self._next is not None:
            self._resumption = Resumption(
                self._venue,
                self._symbol,
                last_id=self._next - 1,
                counts_fills=self._counts_fills,
                most_trades=self._repair_trades,
            )

    def holds_back(self) -> bool:
        """Whether trades are known to be missing, or wait, behind a hole or for the beginning: the newest that was
        handed on is not the newest.
        """
        return bool(self._held) or self._witness.is_ahead

    # --- the machine's face ---

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes a run of trades, or anything else."""
        if not (isinstance(events, list) and isinstance(events[0], Trade)):
            return self._take_other(events, now)
        following = self._next
        if following is not None and not self._held and not self._quarantine.trades:
            batch = self._continued(events, following)
            if batch is not None:
                last = events[-1]
                self._next, self._next_fill, self._last_time = last.id + 1, last.last_id + 1, last.time
                self._handed_on.add(events)
                return [batch] if self._witness.is_settled else [*self._heard(now), batch]
        out: list[Any] = []
        trades = self._checks.sound(events, out, counts_fills=None if following is None else self._counts_fills)
        if trades:
            out += self._take_carefully(trades, now)
        if self._checks.has_refused:
            self._checks.has_refused = False
            out += self._take_refused(self._checks.refusals.last_reason or _NOT_CONTINUED, now)
        return out + self._checks.report(self._last_time, now)

    def _continued(self, trades: list[Any], following: int) -> TradeBatch | None:
        """A run that continues what was handed on, without a contradiction; None when it does not."""
        place = following, -1 if self._next_fill is None else self._next_fill, self._last_time
        if self._counts_fills:
            times = times_of_fills(trades, place)
        else:
            times = times_of_aggregates(trades, place, fills_follow=self._rules.fills_follow)
        if times is None:
            return None
        return TradeBatch(self._venue, self._symbol, trades, False, *times)

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        """Takes the missing trades, or learns that they cannot be had."""
        out: list[Any] = []
        if self._claimed is not None and query == self._claimed:
            out += self._take_claim(self._claimed, answer, now)
        elif isinstance(query, LastTradeQuery):
            self._open_query = None
            out += self._go_on_after(answer, now)
        elif isinstance(query, StoreCheckQuery | RefillQuery | MissedTradesQuery):
            out += self._take_resumption(query, answer, now)
        elif isinstance(query, TradesQuery):
            self._open_query = None
            out += self._take_repair(query, answer, now)
        return out + self.on_timer(now)

    def _take_resumption(
        self, query: StoreCheckQuery | RefillQuery | MissedTradesQuery, answer: Any, now: Now
    ) -> list[Any]:
        """What came of the questions that a restart asks."""
        resumption = self._resumption
        if isinstance(query, MissedTradesQuery):
            self._open_query = None
        if resumption is None:
            return []
        out: list[Any] = []
        if isinstance(query, StoreCheckQuery):
            return [*resumption.on_store(answer, self._last_time, now)]
        error = answer if isinstance(answer, QueryError) else None
        latest = max(query.end, now.feed + DAY_MS) + TRADE_AHEAD_MS
        trades = [] if error else self._checks.answered(query, answer, latest, out)
        if isinstance(query, RefillQuery):
            return out + resumption.on_refill(query, trades, error, now)
        out += self._sort_in(trades, now, out, confirmed=True)
        return out + resumption.on_missed(query, trades, error, now)

    def on_timer(self, now: Now) -> list[Any]:
        """Asks for what is missing, and gives up a hole whose time is over."""
        out = self._release(now)
        if self._resumption is not None:
            out += self._resumption.next_queries(now)
        if self._repair_ms and self._open_query is None:
            self._open_query = self._next_query(now)
            if self._open_query is not None:
                out.append(self._open_query)
        return out + self._checks.report(self._last_time, now)

    def on_end(self, now: Now) -> list[Any]:
        """The input ends: hands on whatever is held, holes or not, for the store must have it."""
        return self._release(now, ends=True) + self._checks.report(self._last_time, now, ends=True)

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        is_idle = self._resumption is None and self._witness.due is None and self._handed_on.due is None
        if is_idle and not (self._held or self._checks.refusals.count or self._gaps.gaps):
            return None
        waits = []
        if self._held and self._held_since is not None and not self._waits_for_answer(now):
            if self._hole is None:
                waits.append(self._held_since + self._reorder_ms - now.feed)
            elif self._open_query is None:
                waits.append(self._hole.due - now.local)
            else:
                waits.append(self._hole.since + self._repair_ms - now.local)
        if self._repair_ms and self._open_query is None:
            dues = (
                self._gaps.due,
                self._witness.due if self._next is not None and not self._held else None,
                self._handed_on.due,
            )
            waits += [due - now.local for due in dues if due is not None]
        if self._resumption is not None:
            due = self._resumption.due(now, can_probe=self._open_query is None and not self._held)
            waits += [] if due is None else [due - now.local]
        if self._checks.refusals.due is not None:
            waits.append(self._checks.refusals.due - now.local)
        return max(0, min(waits)) if waits else None

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a restart needs, as a copy. What waits behind a hole will be part of the restart's own."""
        held = [] if self._repair_ms else list(self._held.values())
        return (
            STATE_VERSION,
            self._next,
            self._last_time,
            held,
            self._held_since if held else None,
            self._gaps.state(),
            self._counts_fills,
            self._next_fill,
        )

    # --- what is no trade ---

    def _take_other(self, events: Any, now: Now) -> list[Any]:
        match events:
            case Coverage(has_trades=True):
                return [*self._begin_behind(events), events]
            case [Kline() | Ticker(), *_]:
                return [*self._take_witness(events[-1], now), events]
            case TradesRefused():
                return self._take_refused(events.reason, now)
            case Silent() if not TRADE_KINDS.isdisjoint(events.kinds):
                self._witness.on_silent(now)
            case Speaking() if not TRADE_KINDS.isdisjoint(events.kinds):
                self._witness.on_speaking()
            case Subscribed() if any(name.partition("@")[2] in TRADE_KINDS for name in events.streams):
                self._witness.on_subscribed()  # a line that came back and says nothing is silent anew
        return [events]

    def _take_witness(self, event: Kline | Ticker, now: Now) -> list[Any]:
        """A kline or ticker says what the newest trade is."""
        known = self._last_fill
        if known is None or event.symbol != self._symbol:
            return []
        self._witness.on_message(event.last_id, known, event.event_time - self._last_time, now)
        return [] if self._witness.is_ahead else self._caught_up(now)

    @property
    def _last_fill(self) -> int | None:
        """The newest fill that was handed on; None when it is not known."""
        following = self._next if self._counts_fills else self._next_fill
        return None if following is None else following - 1

    def _heard(self, now: Now) -> list[Any]:
        """The stream itself has gone on."""
        self._witness.on_stream()
        return self._caught_up(now)

    def _caught_up(self, now: Now) -> list[Any]:
        """Trades are as far as who knows of them; said once, where it was said that they are not."""
        witness = self._witness
        known = self._last_fill
        if known is None:
            return []
        witness.on_trades(known)
        if not witness.is_over(now):
            return []
        witness.close_hole()
        has_spoken, begin = witness.has_spoken, min(self._missed_since, self._last_time)
        reason = "the missing trades have come" if has_spoken else "no later trades are made"
        cause = f"{self._kind} brings trades again" if has_spoken else f"{self._kind} brought none, and {reason}"
        outcome = "what was missing was fetched over REST"
        return [
            TradeWitness(self._venue, self._symbol, is_ahead=False, reason=reason, has_spoken=has_spoken),
            Incident("repair", self._venue, self._symbol, begin, self._last_time, cause, outcome),
        ]

    @property
    def _kind(self) -> str:
        """The stream of trades, in the words of the setting `feed.streams`."""
        return "trade" if self._counts_fills else "aggTrade"

    def _take_refused(self, reason: str, now: Now) -> list[Any]:
        """Trades of the stream were refused."""
        self._witness.on_refused(reason, now)
        if not self._witness.is_refused:
            return []
        return self._tell_missed(self._witness.reason(self._kind), now.feed, now)

    def _tell_missed(self, cause: str, end: int, now: Now) -> list[Any]:
        """Says that the stream does not bring what it should: once in an incident, and whenever something else is to be
        said of it.
        """
        witness, kind = self._witness, self._kind
        reason = witness.reason(kind)
        out: list[Any] = []
        is_new = not witness.was_ahead
        if is_new:
            witness.name_hole(now)
            self._missed_since, self._told_missed = self._last_time, ""
        renews = bool(self._repair_ms) and witness.claim_renewal(now)
        if reason != self._told_missed:
            self._told_missed = reason
            out.append(TradeWitness(self._venue, self._symbol, is_ahead=True, reason=reason))
        if is_new:
            outcome = "fetched, and the stream is renewed" if renews else "what is missing is asked for over REST"
            out.append(Incident("silent", self._venue, self._symbol, self._missed_since, end, cause, outcome))
        return [*out, RenewQuery(self._symbol, (kind,), cause)] if renews else out

    def _next_query(self, now: Now) -> TradesQuery | None:
        """What to ask next: what a restart has missed, what a witness knows, or the ids of a gap."""
        if self._resumption is not None and self._resumption.is_over:
            self._resumption = None
        if self._resumption is not None and self._next is not None and not self._held:
            probe = self._resumption.next_probe(self._next, self._last_time, now)
            if probe is not None:
                return probe
        due, known = self._witness.due, self._last_fill
        if due is not None and due <= now.local and self._next is not None and not self._held:
            ahead = 0 if known is None else self._witness.newest_id - known
            most = min(QUERY_TRADES, ahead) if ahead > 0 else QUERY_TRADES
            self._queries_later = True
            return TradesQuery(self._symbol, self._next, self._next + most - 1, self._last_time, now.feed)
        return self._handed_on.next_query(self._symbol, now) or self._gaps.next_query(self._symbol, now)

    def _take_later(self, query: TradesQuery, answer: Any, now: Now) -> list[Any]:
        """What the venue says to the question for trades behind the newest one. Those that have come meanwhile are no
        news.
        """
        witness = self._witness
        is_after_refusal = witness.has_refused
        following = self._next or 0
        has_trades = not isinstance(answer, QueryError) and any(trade.id >= following for trade in answer)
        witness.on_answer(has_trades=has_trades, now=now)
        if isinstance(answer, QueryError) or (is_after_refusal and not witness.is_refused):
            return []
        if has_trades:
            witness.on_fetched(now.feed - answer[0].time, now)
            cause = f"trades from id {query.first_id} on were made, and did not come by {self._kind}"
            return self._tell_missed(cause, answer[-1].time, now)
        if witness.was_ahead:
            return self._caught_up(now)
        return [TradeWitness(self._venue, self._symbol, is_ahead=False, reason="REST knows no later trade")]

    # --- trades, with care ---

    def _take_carefully(self, trades: list[Trade], now: Now) -> list[Any]:
        out: list[Any] = []
        if self._next is None:
            self._counts_fills = not isinstance(trades[0], AggregateTrade)
            if self._is_new:
                self._is_new = False
                first = min(trades, key=_id_of)
                self._open_query = LastTradeQuery(self._symbol, first.id, first.time)
                out.append(self._open_query)
        before, strays = self._next, self._quarantine.trades
        explained: list[Trade] = []
        for trade in trades:
            newest = explained[-1] if explained else None
            following, time = (newest.id + 1, newest.time) if newest else (self._next, self._last_time)
            is_explained_here = following is None or is_explained(trade, following, time) or self._is_explained(trade)
            chain = self._quarantine.continued_by(trade)
            if is_explained_here:
                explained += [*chain, trade]
            elif chain and self._repair_ms:
                for one in (*chain, trade):
                    self._checks.refuse_all(self._quarantine.put(one), _NOT_CONTINUED, out)
                out += self._claim([*chain, trade], now)
            elif chain:
                self._take_explained(explained, now, out)
                self._begin_anew([*chain, trade], now, out)
                explained, before = [], None
            else:
                self._checks.refuse_all(self._quarantine.put(trade), _NOT_CONTINUED, out)
                self._checks.has_refused = True
        self._take_explained(explained, now, out)
        if before is not None and self._next != before:
            self._checks.refuse_all(self._quarantine.take(strays), _NOT_CONTINUED, out)
        return out

    def _take_explained(self, trades: list[Trade], now: Now, out: list[Any]) -> None:
        late = self._sort_in(trades, now, out)
        out += late
        out += self._release(now)

    def _is_explained(self, trade: Trade) -> bool:
        return self._next is not None and is_explained(trade, self._next, self._last_time)

    # --- what waits ---

    def _hold(self, trades: Iterable[Trade], out: list[Any], *, confirmed: bool = False) -> None:
        """Keeps trades until it is their turn. Of two that say different things under one id neither is believed; the
        venue's REST side decides, as it does where it has spoken (`confirmed`).
        """
        for trade in trades:
            known = self._held.get(trade.id)
            if confirmed:
                self._confirmed.add(trade.id)
            elif known is not None:
                if says_the_same(known, trade) or trade.id in self._confirmed or not self._repair_ms:
                    self.duplicates += 1
                else:
                    del self._held[trade.id]
                    for one in (known, trade):
                        self._checks.refuse(one, "two trades of one id say different things", out)
                continue
            self._held[trade.id] = trade
        self._lowest = min(self._held, default=0)

    def _sort_in(self, trades: list[Trade], now: Now, out: list[Any], *, confirmed: bool = False) -> list[TradeBatch]:
        """Holds what is ahead, drops what is known, hands on what fills a gap. What is refused goes to `out`."""
        following = -1 if self._next is None else self._next
        self._hold([trade for trade in trades if trade.id >= following], out, confirmed=confirmed)
        if self._held and self._held_since is None:
            self._held_since = now.feed
        late = []
        for trade in trades:
            if trade.id < following:
                if self._gaps.fill(trade.id, self._end_of(trade)):
                    late += [] if trade.fill == WITHDRAWN_FILL else [trade]
                else:
                    self.duplicates += 1
                    self._compare(trade, out, confirmed=confirmed)
        late.sort(key=_id_of)
        return [TradeBatch(self._venue, self._symbol, run, late=True) for run in _runs_of_a_kind(late)]

    def _compare(self, trade: Trade, out: list[Any], *, confirmed: bool) -> None:
        """Compares a duplicate with what was handed on under its id. Where they differ the venue's REST side decides,
        and what was handed on is replaced when it was wrong.
        """
        known = self._handed_on.differing(trade)
        if known is None:
            return
        begin, end = sorted((known.time, trade.time))
        if not confirmed:
            self._checks.refuse_all([trade], "it says something else than the trade of its id that was handed on", out)
            if self._repair_ms:
                self._handed_on.doubt(trade.id, begin)
            return
        self._handed_on.add([trade])
        self._checks.refuse_all([known], f"the venue's REST side says something else of trade {trade.id}", out)
        cause = f"trade {trade.id} was handed on, and the venue's REST side says something else of it"
        ids = trade.id, trade.id
        out += [
            TradeBatch(self._venue, self._symbol, [trade], late=True, replaced=(known,)),
            Gap(self._venue, self._symbol, *ids, begin, end),
            Incident("repair", self._venue, self._symbol, begin, end, cause, "replaced in the trade store", *ids),
        ]

    def _release(self, now: Now, *, ends: bool = False) -> list[Any]:
        """Hands on what is in sequence; a hole that is over becomes a gap first."""
        out: list[Any] = []
        if isinstance(self._open_query, LastTradeQuery) and not ends:
            return out
        while self._held:
            if self._next not in self._held:
                given_up = "the end came first" if ends else self._given_up(now)
                if given_up is None:
                    return out + self._query_hole(now)
                if not ends and self._is_unchecked(self._lowest):
                    return out + self._query_whether_known()
                if not ends and self._is_unlikely(self._lowest):
                    self._set_aside(self._lowest, out)
                    continue
                self._skip_to(self._first_of_held(out), given_up, now, out)
            out += [self._batch_of(run) for run in _runs_of_a_kind(self._take_sequence(out))]
            self._held_since = now.feed if self._held else None
            self._note_repair(now, out)
            out += self._caught_up(now)
        return out

    def _is_unchecked(self, number: int) -> bool:
        """Whether the venue's REST side, which knows no trade of the hole before a held one or was not asked for so
        many, has yet to say that it knows the held one. Several that continue each other prove no more than one.
        """
        is_open = self._next is None or not self._repair_ms or (self._hole is not None and not self._hole.is_denied)
        return not (is_open or number in self._confirmed or number == self._checked or len(self._held) > MAX_HELD)

    def _query_whether_known(self) -> list[Query]:
        """Asks for the lowest held trade and those that continue it, once no other query is open."""
        if self._open_query is not None:
            return []
        last = self._lowest
        while last - self._lowest < QUERY_TRADES - 1 and self._end_of(self._held[last]) + 1 in self._held:
            last = self._end_of(self._held[last]) + 1
        begin, end = sorted((self._held[self._lowest].time, self._held[last].time))
        self._open_query = self._check = TradesQuery(self._symbol, self._lowest, last, begin, end)
        return [self._open_query]

    def _take_check(self, query: TradesQuery, answer: Any, out: list[Any]) -> None:
        """Refuses held trades that the venue's REST side does not know. One that did not answer decides nothing, nor
        does one that answers with aggregates where ids count fills: they need not begin where the question does.
        """
        self._check, self._checked = None, query.first_id
        if isinstance(answer, QueryError) or (self._counts_fills and answer):
            return
        unknown = [n for n in self._held if query.first_id <= n <= query.last_id and n not in self._confirmed]
        self._checks.refuse_all([self._held.pop(number) for number in sorted(unknown)], _NOT_KNOWN, out)
        if unknown:
            self._lowest, self._hole = min(self._held, default=0), None

    def _waits_for_answer(self, now: Now) -> bool:
        """Whether nothing but the answer to an open query lets the held trades go on."""
        if self._open_query is None or isinstance(self._open_query, LastTradeQuery):
            return self._open_query is not None
        return self._is_unchecked(self._lowest) and self._given_up(now) is not None

    def _is_unlikely(self, number: int) -> bool:
        """Whether a held trade is the only one to say that there is a hole before it, and the venue's REST side knows
        of none, or it is too large to ask.
        """
        is_open = self._next is None or not self._repair_ms or (self._hole is not None and not self._hole.is_denied)
        is_continued = self._end_of(self._held[number]) + 1 in self._held or number in self._confirmed
        return not (is_open or is_continued)

    def _set_aside(self, number: int, out: list[Any]) -> None:
        """No other trade waits any longer for a held one that is alone on its side of a hole. Where the venue was asked
        it is refused; else it waits for one that continues it.
        """
        trade, is_denied = self._held.pop(number), self._hole is not None
        if is_denied:
            self._checks.refuse_all([trade], "the venue's REST side knows of no trades before it", out)
        else:
            self._checks.refuse_all(self._quarantine.put(trade), _NOT_CONTINUED, out)
        self._lowest, self._hole = min(self._held, default=0), None

    def _batch_of(self, run: list[Trade]) -> TradeBatch:
        self._handed_on.add(run)
        times = [trade.time for trade in run]
        return TradeBatch(self._venue, self._symbol, run, begin=min(times), end=max(times))

    def _take_sequence(self, out: list[Any]) -> list[Trade]:
        """The held trades that follow, up to a hole, or to one that contradicts its predecessor: that is refused, and
        its id is a hole.
        """
        trades = []
        has_streamed = False
        while (trade := self._held.pop(self._next, None)) is not None:  # type: ignore[arg-type]
            contradiction = self._checks.contradiction(trade, newest_time=self._last_time, next_fill=self._next_fill)
            if contradiction:
                if trade.id not in self._confirmed:
                    self._checks.refuse(trade, contradiction, out)
                    break
                end = trade.time
                outcome = "the venue's REST side says so too"
                ids = (-1 if self._next_fill is None else self._next_fill), trade.first_id - 1
                out.append(
                    Incident("gap", self._venue, self._symbol, self._last_time, end, contradiction, outcome, *ids)
                )
            has_streamed = has_streamed or trade.id not in self._confirmed
            self._confirmed.discard(trade.id)
            self._last_time = max(self._last_time, trade.time)
            self._next = self._end_of(trade) + 1
            if trade.fill == WITHDRAWN_FILL:
                self._next_fill = None  # whether its fills were counted is not known
            else:
                self._next_fill = trade.last_id + 1
                trades.append(trade)
        self._lowest = min(self._held, default=0)
        if has_streamed and not self._witness.is_settled:
            self._witness.on_stream()
        return trades

    def _first_of_held(self, out: list[Any]) -> int:
        """Where to go on. At the beginning nothing says which ids are true: what most trades say."""
        if self._next is None:
            chosen = {trade.id for trade in largest_cluster(list(self._held.values()))}
            for odd in [trade for trade in self._held.values() if trade.id not in chosen]:
                del self._held[odd.id]
                self._checks.refuse_all(self._quarantine.put(odd), _NOT_CONTINUED, out)
            self._lowest = min(self._held)
        return self._lowest

    def _end_of(self, trade: Trade) -> int:
        """Last id that a trade stands for."""
        return trade.last_id if self._counts_fills and isinstance(trade, AggregateTrade) else trade.id

    # --- holes ---

    def _given_up(self, now: Now) -> str | None:
        """Why the hole at the head is not waited for any longer; None while it is."""
        if len(self._held) > MAX_HELD:
            return f"more than {MAX_HELD} trades wait behind them"
        if self._hole is not None:
            return self._hole.given_up(now, self._repair_ms)
        if self._waits_for_stragglers(now):
            return None
        if self._next is None or not self._repair_ms:
            return "open"
        if self._lowest - self._next > self._repair_trades:
            return f"not fetched, as feed.repair_trades is {self._repair_trades}: import them with flows.backfill"
        return None

    def _waits_for_stragglers(self, now: Now) -> bool:
        return self._held_since is not None and now.feed - self._held_since < self._reorder_ms

    def _query_hole(self, now: Now) -> list[Query]:
        """Queries the first ids of the hole at the head, once no straggler is expected and no other query is open."""
        if self._next is None or (self._hole is None and self._waits_for_stragglers(now)):
            return []
        if self._hole is None:
            end, local = self._held[self._lowest].time, now.local
            self._hole = PendingGap(
                self._next, self._lowest - 1, self._last_time, end, found=local, since=local, due=local
            )
        if self._open_query is not None or now.local < self._hole.due:
            return []
        last = min(self._lowest - 1, self._next + QUERY_TRADES - 1)
        self._open_query = TradesQuery(self._symbol, self._next, last, self._last_time, self._hole.end)
        return [self._open_query]

    def _take_repair(self, query: TradesQuery, answer: Any, now: Now) -> list[Any]:
        """Takes what came; what did not is asked for again later."""
        error = answer if isinstance(answer, QueryError) else None
        out: list[Any] = []
        is_check = query == self._check
        is_later, self._queries_later = self._queries_later, False
        latest = (now.feed + DAY_MS if is_later else max(query.end, now.feed)) + TRADE_AHEAD_MS
        trades = [] if error else self._checks.answered(query, answer, latest, out)
        if is_later:
            out += self._take_later(query, error or trades, now)
        late = self._sort_in(trades, now, out, confirmed=True)
        out += late
        self._gaps.on_answer(query, error, now)
        self._handed_on.on_answer(query, error, now)
        if is_check:
            self._take_check(query, answer, out)
        elif self._hole is not None and self._next is not None and query.first_id >= self._next:
            if trades:
                self._hole.on_progress(now)
            else:
                self._hole.on_failure(error, now)
        return out

    def _skip_to(self, found: int, reason: str, now: Now, out: list[Any]) -> None:
        """Goes on at `found`. Before the first trade nothing is known to be missing."""
        if self._next is not None:
            missing, last = self._next, found - 1
            begin, end = self._last_time, self._held[found].time
            is_lost = self._hole is None or self._hole.is_lost
            self._gaps.add(missing, last, begin, end, is_lost=is_lost, now=now)
            out.append(Gap(self._venue, self._symbol, missing, last, begin, end))
            cause = f"{last - missing + 1} trades did not arrive"
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, reason, missing, last))
        self._next, self._next_fill = found, None
        self._hole = None

    def _note_repair(self, now: Now, out: list[Any]) -> None:
        """Says that a hole is filled, when it is."""
        hole = self._hole
        if hole is None or self._next is None or self._next <= hole.last:
            return
        self._hole = None
        cause = f"{hole.last - hole.first + 1} trades did not arrive"
        outcome = f"fetched within {now.local - hole.found} ms"
        out.append(
            Incident("repair", self._venue, self._symbol, hole.begin, hole.end, cause, outcome, hole.first, hole.last)
        )

    # --- the begin, and ids that begin anew ---

    def _go_on_after(self, stored: Any, now: Now) -> list[Any]:
        """Begins behind the newest stored trade, so that what was missed while nobody listened is a hole."""
        if self._next is not None or not isinstance(stored, tuple):
            return []
        self._next, self._next_fill, self._last_time = stored[0] + 1, None, stored[1]
        waiting, self._held = sorted(self._held.values(), key=_id_of), {}
        return self._take_carefully(waiting, now) if waiting else []

    def _begin_behind(self, whole: Coverage) -> list[Any]:
        """Trades are told to be whole from a time on: what lies between them and the ones before is nobody's hole."""
        out: list[Any] = []
        if not whole.is_over and self._whole_until not in (None, whole.begin):
            self._next = self._next_fill = None
            cause = f"nothing was told between {self._symbol}'s trades until then and {whole.name}"
            begin, end = self._whole_until or 0, whole.begin
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, "left out"))
        self._whole_until = whole.end
        return out

    def _claim(self, chain: list[Trade], now: Now) -> list[Query]:
        """Trades continue each other and not what was handed on. Whether ids have begun anew, or these are wrong in the
        same way, the venue's REST side must say.
        """
        if self._claimed is not None or now.local < self._claim_due:
            return []
        times = [trade.time for trade in chain]
        self._claimed = TradesQuery(self._symbol, chain[0].id, chain[-1].id, min(times), max(times))
        return [self._claimed]

    def _take_claim(self, query: TradesQuery, answer: Any, now: Now) -> list[Any]:
        """What the venue says to that. An error decides nothing: the next trade that goes on asks again."""
        out: list[Any] = []
        self._claimed, self._claim_due = None, now.local + RETRY_MS
        if isinstance(answer, QueryError):
            return out
        claimed = tuple(trade for trade in self._quarantine.trades if query.first_id <= trade.id <= query.last_id)
        if any(self._is_told(trade, answer) for trade in claimed):
            following = tuple(trade for trade in self._quarantine.trades if trade.id >= query.first_id)
            self._begin_anew(sorted(self._quarantine.take(following), key=_id_of), now, out)
        else:
            self._checks.refuse_all(self._quarantine.take(claimed), _NOT_KNOWN, out)
            self._checks.has_refused = False
            out += self._take_refused(_NOT_KNOWN, now)
        return out

    def _is_told(self, trade: Trade, answer: list[Trade]) -> bool:
        """Whether an answer has this trade; an aggregate has all that it covers."""
        return any(
            one.first_id <= trade.id <= one.last_id and one.price == trade.price
            if self._counts_fills and isinstance(one, AggregateTrade)
            else one.id == trade.id and says_the_same(one, trade)
            for one in answer
        )

    def _begin_anew(self, chain: list[Trade], now: Now, out: list[Any]) -> None:
        """Trades that continue each other, and not what was handed on: a test network or a replay that was set back.
        Without this, all its trades would be duplicates, or wait behind a hole that cannot be.
        """
        out += self._release(now, ends=True)
        first = chain[0]
        cause = f"the venue's ids went on from {self._next} at {first.id}"
        out.append(
            Incident("gap", self._venue, self._symbol, self._last_time, first.time, cause, "sequence begun anew")
        )
        self._next, self._next_fill, self._held_since, self._hole = None, None, None, None
        self._gaps, self._confirmed, self._last_time = AbandonedGaps(), set(), 0
        self._sort_in(chain, now, out)


def _runs_of_a_kind(trades: list[Trade]) -> list[list[Trade]]:
    """Single fills and aggregates apart, for who takes a batch looks at its first trade alone."""
    runs: list[list[Trade]] = []
    for trade in trades:
        if runs and isinstance(runs[-1][-1], AggregateTrade) == isinstance(trade, AggregateTrade):
            runs[-1].append(trade)
        else:
            runs.append([trade])
    return runs


def _id_of(trade: Trade) -> int:
    return trade.id
