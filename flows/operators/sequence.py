"""Step `sequence`: trades in the order of their ids, each once, and every hole noticed and filled.

Order is by id, never by arrival. A trade whose predecessor is missing waits `reorder_ms` of the feed's time for it.
Then the missing ids are asked for, and what is behind the hole goes on waiting: repaired in time, nobody downstream
notices. What cannot be had in time is a `Gap`, and the stream goes on; what fills it later is handed on as `late`.

A restart is a hole like any other: the last id comes from the recovered state, or from the trade store.
"""

from typing import Any

from flows.asks import Ask, AskError, LastTradeAsk, TradesAsk
from flows.clock import Now
from flows.model import AggregateTrade, Gap, Incident, Instrument, Trade, TradeBatch, Whole
from flows.operators.repair import ASK_TRADES, Gaps, Hole

MAX_HELD = 200_000
"""Trades that wait behind a hole; one more, and the hole is a gap at once."""
RESTART_MS = 60_000
"""A known id on a trade so much newer than the last one means that the venue counts anew."""

_STATE_VERSION = 2


class Sequencer:
    """Machine of one instrument. Gives `TradeBatch`, `Gap`, `Incident` and asks, and passes every other event on
    unchanged.

    The beginning is a hole too: the first trades wait `reorder_ms`, so that the lowest id of them leads. A hole is a
    gap when its repair gets nowhere for `repair_ms` of local time, or when it is larger than `repair_trades`: that is
    the archive importer's business. With `repair_ms` = 0 nothing is asked for.
    """

    def __init__(
        self, key: str, *, reorder_ms: int, repair_ms: int = 0, repair_trades: int = MAX_HELD, state: Any = None
    ) -> None:
        self._venue, self._symbol = Instrument.of(key)
        self._reorder_ms = reorder_ms
        self._repair_ms = repair_ms
        self._repair_trades = repair_trades
        self._next: int | None = None
        self._last_time = 0
        self._held: dict[int, Trade] = {}
        self._lowest = 0
        self._held_since: int | None = None
        self._hole: Hole | None = None
        self._gaps = Gaps()
        self._asked: Ask | None = None
        self._is_new = state is None and repair_ms > 0
        self._counts_fills = False
        """Ids count single fills; an aggregate that comes by REST stands for all those that it covers."""
        self._whole_until: int | None = None
        self.duplicates = 0
        if state is not None:
            _, self._next, self._last_time, held, self._held_since, gaps, self._counts_fills = state
            self._hold(held)
            self._gaps = Gaps(gaps)

    def holds_back(self) -> bool:
        """Whether trades wait, behind a hole or for the beginning: the newest that was handed on is not the newest."""
        return bool(self._held)

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes a run of trades, or anything else."""
        if not (isinstance(events, list) and isinstance(events[0], Trade)):
            return [*self._begin_behind(events), events] if type(events) is Whole and events.has_trades else [events]
        first_id, size = events[0].id, len(events)
        if first_id == self._next and not self._held and _rises_by_one(events, first_id, size):
            self._next = first_id + size
            self._last_time = events[-1].time
            return [TradeBatch(self._venue, self._symbol, events)]
        out: list[Any] = []
        if self._next is None:
            self._counts_fills = not isinstance(events[0], AggregateTrade)
            if self._is_new:
                self._is_new = False
                self._asked = LastTradeAsk(self._symbol)
                out.append(self._asked)
        if self._counts_anew(events[-1]):
            out += self._begin_anew(events[-1], now)
        return out + self._sort_in(events, now) + self._release(now)

    def on_answer(self, ask: Ask, answer: Any, now: Now) -> list[Any]:
        """Takes the missing trades, or learns that they cannot be had."""
        self._asked = None
        out: list[Any] = []
        if isinstance(ask, LastTradeAsk):
            out += self._go_on_after(answer, now)
        elif isinstance(ask, TradesAsk):
            out += self._take_repair(ask, answer, now)
        return out + self.on_timer(now)

    def on_timer(self, now: Now) -> list[Any]:
        """Asks for what is missing, and gives up a hole whose time is over."""
        out = self._release(now)
        if self._repair_ms and self._asked is None and (ask := self._gaps.next_ask(self._symbol, now)):
            self._asked = ask
            out.append(ask)
        return out

    def on_end(self, now: Now) -> list[Any]:
        """The input ends: hands on whatever is held, holes or not, for the store must have it."""
        return self._release(now, ends=True)

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        waits = []
        if self._held and self._held_since is not None and not isinstance(self._asked, LastTradeAsk):
            if self._hole is None:
                waits.append(self._held_since + self._reorder_ms - now.feed)
            elif self._asked is None:
                waits.append(self._hole.due - now.local)
            else:
                waits.append(self._hole.since + self._repair_ms - now.local)
        if self._repair_ms and self._asked is None and (due := self._gaps.due) is not None:
            waits.append(due - now.local)
        return max(0, min(waits)) if waits else None

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a restart needs, as a copy. What waits behind a hole will be part of the restart's own."""
        held = [] if self._repair_ms else list(self._held.values())
        return (
            _STATE_VERSION,
            self._next,
            self._last_time,
            held,
            self._held_since if held else None,
            self._gaps.state(),
            self._counts_fills,
        )

    # --- what waits ---

    def _hold(self, trades: list[Trade]) -> None:
        for trade in trades:
            if trade.id in self._held:
                self.duplicates += 1
                continue
            if not self._held or trade.id < self._lowest:
                self._lowest = trade.id
            self._held[trade.id] = trade

    def _sort_in(self, trades: list[Trade], now: Now) -> list[TradeBatch]:
        """Holds what is ahead, drops what is known, hands on what fills a gap."""
        following = -1 if self._next is None else self._next
        self._hold([trade for trade in trades if trade.id >= following])
        if self._held and self._held_since is None:
            self._held_since = now.feed
        late = []
        for trade in trades:
            if trade.id < following:
                if self._gaps.fill(trade.id, self._end_of(trade)):
                    late.append(trade)
                else:
                    self.duplicates += 1
        late.sort(key=_id_of)
        return [TradeBatch(self._venue, self._symbol, run, late=True) for run in _runs_of_a_kind(late)]

    def _release(self, now: Now, *, ends: bool = False) -> list[Any]:
        """Hands on what is in sequence; a hole that is over becomes a gap first."""
        out: list[Any] = []
        if isinstance(self._asked, LastTradeAsk) and not ends:
            return out
        while self._held:
            if self._next not in self._held:
                given_up = "the end came first" if ends else self._given_up(now)
                if given_up is None:
                    return out + self._ask_for_hole(now)
                self._skip_to(self._lowest, given_up, now, out)
            out += [TradeBatch(self._venue, self._symbol, run) for run in _runs_of_a_kind(self._take_sequence())]
            self._held_since = now.feed if self._held else None
            self._note_repair(now, out)
        return out

    def _take_sequence(self) -> list[Trade]:
        trades = []
        following = self._next
        while following in self._held:
            trade = self._held.pop(following)
            trades.append(trade)
            following = self._end_of(trade) + 1
        self._next, self._last_time = following, trades[-1].time
        if self._held:
            self._lowest = min(self._held)
        return trades

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

    def _ask_for_hole(self, now: Now) -> list[Ask]:
        """Asks for the first ids of the hole at the head, once nobody hopes for stragglers and no other ask is open."""
        if self._next is None or (self._hole is None and self._waits_for_stragglers(now)):
            return []
        if self._hole is None:
            end, local = self._held[self._lowest].time, now.local
            self._hole = Hole(self._next, self._lowest - 1, self._last_time, end, found=local, since=local, due=local)
        if self._asked is not None or now.local < self._hole.due:
            return []
        last = min(self._lowest - 1, self._next + ASK_TRADES - 1)
        self._asked = TradesAsk(self._symbol, self._next, last, self._last_time, self._hole.end)
        return [self._asked]

    def _take_repair(self, ask: TradesAsk, answer: Any, now: Now) -> list[Any]:
        """Takes what came; what did not is asked for again later."""
        error = answer if isinstance(answer, AskError) else None
        trades = [] if error else answer
        out = self._sort_in(trades, now)
        self._gaps.on_answer(ask, error, now)
        if self._hole is not None and self._next is not None and ask.first_id >= self._next:
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
        self._next = found
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
        self._next, self._last_time = stored[0] + 1, stored[1]
        waiting, self._held = list(self._held.values()), {}
        newest = max(waiting, key=_id_of)
        out = self._begin_anew(newest, now) if self._counts_anew(newest) else []
        return out + self._sort_in(waiting, now)

    def _begin_behind(self, whole: Whole) -> list[Any]:
        """Trades are told to be whole from a time on: what lies between them and the ones before is nobody's hole."""
        out: list[Any] = []
        if not whole.is_over and self._whole_until not in (None, whole.begin):
            self._next = None
            cause = f"nothing was told between {self._symbol}'s trades until then and {whole.name}"
            begin, end = self._whole_until or 0, whole.begin
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, "left out"))
        self._whole_until = whole.end
        return out

    def _counts_anew(self, trade: Trade) -> bool:
        return self._next is not None and trade.id < self._next and trade.time > self._last_time + RESTART_MS

    def _begin_anew(self, trade: Trade, now: Now) -> list[Any]:
        """A test network or a replay that was set back: without this, all its trades would pass for duplicates."""
        out = self._release(now, ends=True)
        cause = f"the venue's ids went back from {self._next} to {trade.id}"
        out.append(
            Incident("gap", self._venue, self._symbol, self._last_time, trade.time, cause, "sequence begun anew")
        )
        self._next, self._held_since, self._hole, self._gaps = None, None, None, Gaps()
        return out


def _rises_by_one(events: list[Trade], first_id: int, size: int) -> bool:
    return [trade.id for trade in events] == list(range(first_id, first_id + size))


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
