"""Step `feed_status`: low-rate events: states of the venue's lines, rejected input, the exchange's 24-hour tickers.

It is one step, for a step costs at every poll, and those behind it only when there is something.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from flows.clock import FeedClock, wall_ms
from flows.foreign import visible
from flows.model import (
    Backpressure,
    Connected,
    Disconnected,
    FeedStatus,
    Flush,
    Incident,
    IncidentKind,
    Rejected,
    Removed,
    Silent,
    Subscribed,
    Ticker,
)
from flows.operators.parse import Batch, Trades, Validated
from flows.operators.refusals import Refusals
from flows.operators.status.channels import UNCONFIRMED
from flows.operators.status.observations import Observation, Observe, ends, waiting_of
from flows.texts import counted

StatusOutput: TypeAlias = FeedStatus | Flush | Incident | Rejected | Ticker


class Begin(NamedTuple):
    """When an outage began, ms: in the venue's time or, before that was known, in the wall clock's; and local."""

    time: int
    local: int
    is_of_venue: bool


class LineStatus:
    """Line events become `FeedStatus` and `Incident`: an outage has a begin, and an end when the line is live again.

    Refused input passes, and is an incident now and then; the newest ticker of each batch passes too, and the end.
    """

    def __init__(
        self,
        venue: str,
        clock: FeedClock,
        *,
        wall_ms: Callable[[], int] = wall_ms,
        observe: Observe | None = None,
    ) -> None:
        """What `observe` makes of the same items is given too: each step of its own would look at them again."""
        self._observe = observe
        self._venue = venue
        self._clock = clock
        self._wall_ms = wall_ms
        self._down_since: dict[tuple[str, str], Begin] = {}  # by line and symbol
        self._live: dict[str, dict[str, None]] = {}  # symbols by line
        self._failed: dict[str, str] = {}  # by line that has not been confirmed since: why it ended
        self._refusals = Refusals("messages")
        self._refused_since = 0
        self._others: set[type] = set()
        """Types of events that are no tickers."""

    def __call__(self, items: list[Validated]) -> list[StatusOutput | Observation]:
        """What clients and the ledger get, and observations."""
        out: list[StatusOutput | Observation] = []
        others: list[Validated] = []
        for item in items:
            if type(item) is Trades:
                continue
            if type(item) is not Batch:
                others.append(item)
                out += self._results_of(item)
                continue
            newest = item.events[-1]
            if type(newest) in self._others:
                continue
            if isinstance(newest, Ticker):
                out.append(newest)
            else:
                self._others.add(type(newest))
        if self._refusals.count:
            out += self._report_refused(ends=ends(items))
        return out if self._observe is None else [*out, *self._observe(others, items)]

    def _results_of(self, item: Validated) -> list[StatusOutput]:
        found: list[StatusOutput] = []
        match item:
            case Rejected():
                self._note_refused(item)
                found = [item]
            case Incident() | Flush(final=True):
                found = [item]
            case Silent():
                found = [self._is_silent(item)]
            case Backpressure():
                found = [self._is_behind(item)]
            case Connected():
                found = [FeedStatus(self._venue, item.line, "connected", item.symbols, self._unconfirmed(item.line))]
            case Subscribed():
                self._failed.pop(item.line, None)
                self._live.setdefault(item.line, {}).update(dict.fromkeys(item.symbols))
                found = [self._live_on(item.line), *self._came_back(item)]
            case Removed() if item.is_gone:
                found = [*self._is_gone(item)]
            case Disconnected():
                if not item.is_refusal:  # then the connection stays
                    self._failed[item.line] = item.reason
                status = FeedStatus(self._venue, item.line, "disconnected", item.symbols, item.reason)
                found = [status, self._went_down(item)]
        return found

    def _now(self) -> int:
        """The feed's time, which goes on while it is unsure; before it is known, the wall clock's."""
        return self._clock.carried().feed or self._wall_ms()

    def _is_known(self) -> bool:
        return self._clock.carried().feed > 0

    def _begin_of(self, begin: Begin) -> int:
        """A begin in the time of `_now`; one before that was known is as long ago as the local clock says."""
        if begin.is_of_venue or not self._is_known():
            return begin.time
        return self._now() - (self._clock.now().local - begin.local)

    def _unconfirmed(self, line: str) -> str:
        """Why a line that is connected is not live."""
        failed = self._failed.get(line)
        return UNCONFIRMED + (f"; before that: {failed}" if failed else "")

    def _note_refused(self, refused: Rejected) -> None:
        if not self._refusals.count:
            self._refused_since = self._now()
        self._refusals.note(visible(refused.reason), refused.count, refused.symbol)

    def _report_refused(self, *, ends: bool) -> list[Incident]:
        cause = self._refusals.take_report(self._clock.now().local, ends=ends)
        if cause is None:
            return []
        now = self._now()
        begin = min(self._refused_since, now)  # the clock may have been set back since
        return [Incident("reject", self._venue, "", begin, now, cause, "kept out of everything")]

    def _went_down(self, event: Disconnected) -> Incident:
        now = self._now()
        here = Begin(now, self._clock.now().local, is_of_venue=self._is_known())
        begins = [self._down_since.setdefault((event.line, name), here) for name in event.symbols]
        begin = min(self._begin_of(one) for one in (*begins, here))
        symbol = ""
        outcome = f"{counted(event.failures, 'attempt')} failed, trying on" if event.lasting else "reconnecting"
        if event.is_refusal:
            symbol = event.symbols[0] if len(event.symbols) == 1 else ""
            outcome = "subscribed again from time to time; the connection carries the others"
        return Incident(_kind_of(event), self._venue, symbol, begin, now, f"{event.line}: {event.reason}", outcome)

    def _live_on(self, line: str) -> FeedStatus:
        return FeedStatus(self._venue, line, "live", tuple(self._live[line]))

    def _is_gone(self, event: Removed) -> list[FeedStatus]:
        """What is left on a line, unless it is down, and the symbols that no line carries any more."""
        left = self._live.setdefault(event.line, {})
        for symbol in event.symbols:
            left.pop(symbol, None)
            self._down_since.pop((event.line, symbol), None)
        is_down = any((event.line, symbol) in self._down_since for symbol in left)
        out = [] if is_down else [self._live_on(event.line)]
        gone = tuple(symbol for symbol in event.symbols if not any(symbol in live for live in self._live.values()))
        if gone:
            out.append(FeedStatus(self._venue, event.line, "removed", gone, "not wanted any more"))
        return out

    def _is_behind(self, event: Backpressure) -> Incident:
        now = self._now()
        cause = f"{event.line}: {waiting_of(event)}"
        return Incident("lag", self._venue, "", now, now, cause, "the line waits; nothing is lost by that")

    def _is_silent(self, event: Silent) -> Incident:
        now = self._now()
        what = "nothing comes" if event.whole_line else f"nothing comes of {', '.join(event.kinds)}"
        cause = f"{event.line}: silent, {what} of {', '.join(event.symbols[:_NAMES])}"
        more = len(event.symbols) - _NAMES
        cause += f" and {more} more" if more > 0 else ""
        symbol = event.symbols[0] if len(event.symbols) == 1 else ""
        return Incident("silent", self._venue, symbol, now - event.for_ms, now, cause, "a witness is asked")

    def _came_back(self, event: Subscribed) -> list[Incident]:
        begins = [self._down_since.pop((event.line, symbol), None) for symbol in event.symbols]
        found = [self._begin_of(begin) for begin in begins if begin is not None]
        if not found:
            return []
        now = self._now()
        begin = min(now, *found)
        return [Incident("reconnect", self._venue, "", begin, now, f"{event.line}: back", f"down for {now - begin} ms")]


_NAMES = 5
"""Symbols that an incident names."""


def _kind_of(event: Disconnected) -> IncidentKind:
    if event.lasting:
        return "feed_down"
    if event.reason.startswith("unexpected error"):
        return "error"
    return "silent" if event.reason.startswith("silent") else "disconnect"
