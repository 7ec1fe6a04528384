"""Step `sequence`: trades in the order of their ids, each once, and every hole noticed.

Order is by id, never by arrival. A trade whose predecessor is missing waits `reorder_ms` of the feed's time for it;
then the hole is a `Gap`, and the stream goes on. What fills a gap later is handed on as `late`.
"""

from typing import Any

from flows.clock import Now
from flows.model import Gap, Incident, Instrument, Trade, TradeBatch

MAX_HELD = 50_000
"""Trades that wait behind a hole; one more, and the hole is a gap at once."""
MAX_GAPS = 1_000
"""Gaps remembered for what may still fill them; one more, and the oldest is forgotten: its trades count as
duplicates.
"""
RESTART_MS = 60_000
"""A known id on a trade so much newer than the last one means that the venue counts anew."""

_STATE_VERSION = 1


class Sequencer:
    """Machine of one instrument. Gives `TradeBatch`, `Gap`, `Incident`, and passes every other event on unchanged.

    The beginning is a hole too: the first trades wait `reorder_ms`, so that the lowest id of them leads.
    """

    def __init__(self, key: str, *, reorder_ms: int, state: Any = None) -> None:
        self._venue, self._symbol = Instrument.of(key)
        self._reorder_ms = reorder_ms
        self._next: int | None = None
        self._last_time = 0
        self._held: dict[int, Trade] = {}
        self._held_since: int | None = None
        self._gaps: list[tuple[int, int]] = []
        self.duplicates = 0
        if state is not None:
            _, self._next, self._last_time, held, self._held_since, self._gaps = state
            self._held = {trade.id: trade for trade in held}

    def on_events(self, events: Any, now: Now) -> list[Any]:
        """Takes a run of trades, or anything else."""
        if not (isinstance(events, list) and isinstance(events[0], Trade)):
            return [events]
        first_id, size = events[0].id, len(events)
        if first_id == self._next and not self._held and _rises_by_one(events, first_id, size):
            self._next = first_id + size
            self._last_time = events[-1].time
            return [TradeBatch(self._venue, self._symbol, events)]
        out = self._begin_anew(events[-1], now) if self._counts_anew(events[-1]) else []
        late = self._sort_in(events, now)
        if late:
            out.append(TradeBatch(self._venue, self._symbol, late, late=True))
        return out + self._release(now)

    def on_timer(self, now: Now) -> list[Any]:
        """Gives up a hole whose time is over."""
        return self._release(now)

    def on_end(self, now: Now) -> list[Any]:
        """The input ends: hands on whatever is held, holes or not, for the store must have it."""
        return self._release(now, give_up=True)

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until `on_timer` has something to do; None when nothing waits."""
        return None if self._held_since is None else max(0, self._held_since + self._reorder_ms - now.feed)

    def snapshot(self) -> tuple[Any, ...]:
        """Everything that a restart needs, as a copy."""
        held = list(self._held.values())
        return _STATE_VERSION, self._next, self._last_time, held, self._held_since, list(self._gaps)

    # --- what waits ---

    def _sort_in(self, trades: list[Trade], now: Now) -> list[Trade]:
        """Holds what is ahead, drops what is known, returns what fills a gap."""
        late = []
        for trade in trades:
            if self._next is None or trade.id >= self._next:
                if trade.id in self._held:
                    self.duplicates += 1
                self._held.setdefault(trade.id, trade)
            elif self._fills_gap(trade.id):
                late.append(trade)
            else:
                self.duplicates += 1
        if self._held and self._held_since is None:
            self._held_since = now.feed
        late.sort(key=_id_of)
        return late

    def _release(self, now: Now, *, give_up: bool = False) -> list[Any]:
        """Hands on what is in sequence; a hole that is over becomes a gap first."""
        out: list[Any] = []
        while self._held:
            if self._next not in self._held:
                if not (give_up or self._is_over(now)):
                    return out
                self._skip_to(min(self._held), now, out)
            out.append(TradeBatch(self._venue, self._symbol, self._take_sequence()))
            self._held_since = now.feed if self._held else None
        return out

    def _is_over(self, now: Now) -> bool:
        if len(self._held) > MAX_HELD:
            return True
        return self._held_since is not None and now.feed - self._held_since >= self._reorder_ms

    def _take_sequence(self) -> list[Trade]:
        trades = []
        following = self._next
        while following in self._held:
            trades.append(self._held.pop(following))
            following += 1
        self._next, self._last_time = following, trades[-1].time
        return trades

    # --- ids that begin anew ---

    def _counts_anew(self, trade: Trade) -> bool:
        return self._next is not None and trade.id < self._next and trade.time > self._last_time + RESTART_MS

    def _begin_anew(self, trade: Trade, now: Now) -> list[Any]:
        """A test network or a replay that was set back: without this, all its trades would pass for duplicates."""
        out = self._release(now, give_up=True)
        cause = f"the venue's ids went back from {self._next} to {trade.id}"
        out.append(
            Incident("gap", self._venue, self._symbol, self._last_time, trade.time, cause, "sequence begun anew")
        )
        self._next, self._held_since, self._gaps = None, None, []
        return out

    # --- what is missing ---

    def _skip_to(self, found: int, now: Now, out: list[Any]) -> None:
        """Goes on at `found`. Before the first trade nothing is known to be missing."""
        if self._next is not None:
            missing, last = self._next, found - 1
            self._gaps.append((missing, last))
            del self._gaps[:-MAX_GAPS]
            begin, end = self._last_time, self._held[found].time
            out.append(Gap(self._venue, self._symbol, missing, last, begin, end))
            cause = f"{last - missing + 1} trades did not arrive"
            out.append(Incident("gap", self._venue, self._symbol, begin, end, cause, "open", missing, last))
        self._next = found
        self._held_since = now.feed

    def _fills_gap(self, trade_id: int) -> bool:
        """Whether the trade was missing; if so it no longer is."""
        for index, (first, last) in enumerate(self._gaps):
            if first <= trade_id <= last:
                self._gaps[index : index + 1] = [
                    part for part in ((first, trade_id - 1), (trade_id + 1, last)) if part[0] <= part[1]
                ]
                return True
        return False


def _rises_by_one(trades: list[Trade], first_id: int, size: int) -> bool:
    return [trade.id for trade in trades] == list(range(first_id, first_id + size))


def _id_of(trade: Trade) -> int:
    return trade.id
