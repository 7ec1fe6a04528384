"""Watches one connection, or several redundant ones: reports which streams become silent or resume, and renews streams.

Twice a second it collects the streams with messages on all sessions. The `StalenessMonitor` decides what is silent;
here that becomes events in the queue and requests on the sockets.
"""

import asyncio
import math
import time
from collections.abc import Collection, Iterable
from typing import Final

import structlog

from flows.model import EVENT_KINDS, STEADY_KINDS, TRADE_KINDS, ConnectionEvent, Silent, Speaking
from sources.connection.connection import Redundancy
from sources.connection.frame_queue import FrameQueue
from sources.connection.refusals import Refusals
from sources.connection.session import Session
from sources.connection.settings import ConnectionSettings
from sources.connection.staleness import StalenessMonitor
from sources.feed import ConnectionPlan

LOOK_S: Final = 0.5
RENEW_PAUSE_S: Final = 5.0
"""Least time between two renewals of a stream, for whatever reason."""
_MISSED: Final = 3
"""Looks with messages on another session, after which a session without any counts as dead."""
_GO_ON: Final = EVENT_KINDS | {"ticker", "markPrice"}
"""What may come of a symbol that is halted."""

_log = structlog.get_logger(__name__)


class ConnectionWatch:
    """The watch over the sessions of one plan."""

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        settings: ConnectionSettings,
        queue: FrameQueue,
        redundancy: Redundancy,
        refusals: Refusals | None = None,
    ) -> None:
        """`redundancy` and `refusals` are those of the connections."""
        self._plan = plan
        self._stale_after_s = settings.stale_after_s
        self._queue = queue
        self._redundancy = redundancy
        self._refusals = refusals or Refusals(queue)
        self._monitor = StalenessMonitor(stale_after_s=settings.stale_after_s, now_s=time.monotonic())
        self._beginnings = 0
        self._renewed_s: dict[str, float] = {}
        self._stalls: dict[Session, _Stall] = {}
        self._traded: frozenset[str] = frozenset()
        """Symbols that have trades although they count as not trading."""
        self.doubtful: frozenset[str] = frozenset()
        """Symbols whose trading status may have changed: all their streams are silent, or they count as not trading and
        have trades. From any thread.
        """
        self.follow(plan)

    def follow(self, plan: ConnectionPlan) -> None:
        """Watches the streams of this plan, except those that the venue refuses: they have no messages."""
        self._plan = plan
        self._refused = self._refusals.streams
        expected = [name for name in plan.names if name not in self._refused]
        may_be_silent = [
            name for name, (symbol, kind) in plan.names.items() if symbol in plan.not_trading or kind in EVENT_KINDS
        ]
        witnessed = frozenset(name for name, (_, kind) in plan.names.items() if kind in TRADE_KINDS)
        steady = frozenset(name for name, (_, kind) in plan.names.items() if kind in STEADY_KINDS)
        self._monitor.follow(expected, not_trading=may_be_silent, witnessed=witnessed, steady=steady)
        self._renewed_s = {name: at_s for name, at_s in self._renewed_s.items() if name in plan.names}
        self._traded &= plan.not_trading

    async def run(self) -> None:
        """Calls `look` periodically, until it is cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                self.look(time.monotonic())
            except Exception as error:  # noqa: BLE001 - the next look may succeed; without a watch silence goes unnoticed
                _log.error("connection_watch_failed", venue=self._queue.venue, line=self._plan.line, exc_info=error)

    def look(self, now_s: float) -> None:
        """Looks once: reports, renews, reconnects."""
        self._queue.forget_retired(now_s)
        live = self._redundancy.live
        if not live or any(session.is_waiting for session in live):
            self._monitor.skip(now_s)  # no message can arrive, so this is no silence of the venue
            _clear(live)
            return
        if self._beginnings != self._redundancy.beginnings:
            self._beginnings = self._redundancy.beginnings
            self._monitor.begin()
        if self._refused is not self._refusals.streams:
            self.follow(self._plan)
        active = self._active_on(live)
        found = self._monitor.look(active, now_s, is_alive=self._plan.heartbeat in active)
        self._report_resumed(found.resumed)
        self._report_silent(found.silent, is_whole=found.is_all_silent)
        self._note_doubts(active)
        if found.to_renew:
            self._renew(found.to_renew, "silent while others are not", now_s)
        if found.to_reconnect:
            self._reconnect("its pace is known to be faster")

    def renew(self, symbol: str, kinds: Collection[str], reason: str) -> None:
        """Renews streams of a symbol with missed messages; opens the connection again when all its streams are silent.
        Without kinds, all of the symbol; `kline` stands for every timeframe. A stream is renewed at most once in
        `RENEW_PAUSE_S`.
        """
        names = [name for name, (of, kind) in self._plan.names.items() if of == symbol and _is_among(kind, kinds)]
        if not names or not self._redundancy.live:
            return
        if not self._monitor.is_all_silent:
            self._renew(names, reason, time.monotonic())
        elif self._monitor.claim_reconnect():
            self._reconnect(reason)

    # --- renewal ---

    def _renew(self, names: Iterable[str], reason: str, now_s: float) -> None:
        due = [name for name in names if now_s - self._renewed_s.get(name, -RENEW_PAUSE_S) >= RENEW_PAUSE_S]
        if not due:
            return
        self._renewed_s.update(dict.fromkeys(due, now_s))
        _log.warning("streams_renewed", venue=self._queue.venue, line=self._plan.line, streams=due, reason=reason)
        for session in self._redundancy.live:
            session.renew(due)

    def _reconnect(self, reason: str) -> None:
        expected = (name for name in self._plan.names if name not in self._refused)
        silence_s = min((self._monitor.silence_s(name) for name in expected), default=0.0)
        for session in self._redundancy.live:
            session.fail(f"silent for {silence_s:.0f} s: {reason}")

    # --- activity ---

    def _active_on(self, live: tuple[Session, ...]) -> set[str]:
        second = self._plan.second
        beats = {self._plan.heartbeat, "" if second is None else second.plan.heartbeat} - {""}
        names = self._plan.names.keys() | beats
        by_session = [(session, names & session.active) for session in live]
        active = set().union(*(own for _, own in by_session))
        if len(live) > 1:
            self._end_stalled(by_session, is_any_active=bool(active))
        else:
            self._stalls.clear()
        _clear(live)
        return active

    def _end_stalled(self, by_session: list[tuple[Session, set[str]]], *, is_any_active: bool) -> None:
        """Ends a session without messages while a redundant one has some: it is dead without an error."""
        self._stalls = {
            session: _Stall() if own else self._stalls.get(session, _Stall()) for session, own in by_session
        }
        for session, own in by_session:
            if not own and self._stalls[session].lasts(is_any_active=is_any_active, limit_s=self._stale_after_s):
                session.fail(f"silent for {self._stale_after_s:g} s while another connection is not")

    def _note_doubts(self, active: Collection[str]) -> None:
        names = self._plan.names
        if self._plan.not_trading:
            with_trades = {names[name][0] for name in active if name in names and names[name][1] in TRADE_KINDS}
            self._traded |= with_trades & self._plan.not_trading
        silent = self._monitor.silent
        speaking = {symbol for name, (symbol, kind) in names.items() if name not in silent and kind not in _GO_ON}
        wholly = {names[name][0] for name in silent} - speaking if silent else frozenset()
        self.doubtful = self._traded | (wholly - self._plan.not_trading)

    # --- reports ---

    def _report_silent(self, names: list[str], *, is_whole: bool) -> None:
        pause_ms = math.ceil(1_000 * self._monitor.usual_pause_s) if is_whole else 0
        for symbols, kinds, group in self._grouped(names):
            for_ms = int(1_000 * min(self._monitor.silence_s(name) for name in group))
            _log.warning(
                "streams_silent",
                venue=self._queue.venue,
                line=self._plan.line,
                symbols=symbols,
                kinds=kinds,
                for_ms=for_ms,
            )
            self._put(Silent(self._plan.line, symbols, kinds, for_ms, is_whole, pause_ms))

    def _report_resumed(self, names: list[str]) -> None:
        for symbols, kinds, _ in self._grouped(names):
            _log.info("streams_resumed", venue=self._queue.venue, line=self._plan.line, symbols=symbols, kinds=kinds)
            self._put(Speaking(self._plan.line, symbols, kinds))

    def _put(self, event: ConnectionEvent) -> None:
        self._queue.put_event(event)

    def _grouped(self, names: list[str]) -> list[tuple[tuple[str, ...], tuple[str, ...], list[str]]]:
        """Groups of symbols with the same kinds, with the names of their streams."""
        by_symbol: dict[str, list[str]] = {}
        for name in names:
            by_symbol.setdefault(self._plan.names[name][0], []).append(name)
        groups: dict[tuple[str, ...], list[str]] = {}
        for symbol, of_symbol in by_symbol.items():
            groups.setdefault(tuple(self._plan.names[name][1] for name in of_symbol), []).append(symbol)
        return [
            (tuple(symbols), kinds, [name for symbol in symbols for name in by_symbol[symbol]])
            for kinds, symbols in groups.items()
        ]


class _Stall:
    """Looks without messages on a session, and how many of them with messages on another one."""

    def __init__(self) -> None:
        self._looks = 0
        self._missed = 0

    def lasts(self, *, is_any_active: bool, limit_s: float) -> bool:
        self._looks += 1
        self._missed += is_any_active
        return self._looks * LOOK_S > limit_s and self._missed >= _MISSED


def _clear(sessions: Iterable[Session]) -> None:
    for session in sessions:
        session.active.clear()


def _is_among(kind: str, kinds: Collection[str]) -> bool:
    return not kinds or kind in kinds or (kind.startswith("kline_") and "kline" in kinds)
