"""Keeps a planned connection alive, session after session.

    open ─▶ Connected ─▶ requests ─▶ all confirmed: Subscribed ─▶ frames … ─▶ Disconnected(reason) ─▶ wait ─▶ open …

Before the venue ends a session for its age, or when it announces that, a successor is opened beside it; the old one
ends when the new one delivers. The sequencer removes duplicates of messages that both have sent.
"""

import asyncio
import time

import structlog

from flows.backoff import backoff_s
from flows.model import Connected, Disconnected
from sources.connection.frame_queue import FrameQueue
from sources.connection.refusals import Refusals
from sources.connection.session import SHUTDOWN, UNEXPECTED, Session, SessionParts, unexpected
from sources.connection.settings import ConnectionSettings
from sources.connection.transport import transport_of
from sources.feed import ConnectionPlan, LineFeed

OVERLAP_S = 1.0
"""How long the old session overlaps a successor that delivers: the venue's servers do not all send at the same moment,
so the old one may deliver messages that the new one has not.
"""
RENEW_PAUSE_S = 5.0
"""Least time between two renewals that a venue announces, in case it announces one after the other."""

_log = structlog.get_logger(__name__)


class Redundancy:
    """The live sessions with the same streams: the connection (`line`) is down only when there is none."""

    def __init__(self) -> None:
        self._live: dict[Session, None] = {}
        self.beginnings = 0
        """How often it has come up."""

    @property
    def live(self) -> tuple[Session, ...]:
        """The sessions that are live, oldest first."""
        return tuple(self._live)

    @property
    def is_down(self) -> bool:
        """Whether none is live."""
        return not self._live

    def begins(self, session: Session) -> bool:
        """Adds a live session; True when there was none."""
        was_down = not self._live
        self.beginnings += was_down
        self._live[session] = None
        return was_down

    def ends(self, session: Session) -> None:
        """Removes a session that is not live any more."""
        self._live.pop(session, None)


class Connection:
    """Keeps one planned connection alive until it is cancelled. Retries forever and logs every failure. Its plan may
    change meanwhile.
    """

    def __init__(
        self,
        plan: ConnectionPlan,
        *,
        feed: LineFeed,
        settings: ConnectionSettings,
        queue: FrameQueue,
        redundancy: Redundancy | None = None,
        refusals: Refusals | None = None,
        first_rotation_s: float | None = None,
        is_second: bool = False,
    ) -> None:
        """`redundancy` and `refusals` are shared by the connections with the same streams; `first_rotation_s` staggers
        their renewals. One that `is_second` carries what `plan.second` has, whose feed `feed` is.
        """
        self._is_second = is_second
        self._plan = plan
        self._parts = SessionParts(feed, settings, transport_of(settings.transport), queue)
        self._settings = settings
        self._redundancy = redundancy or Redundancy()
        self._refusals = refusals or Refusals(queue)
        self._rotate_s = settings.rotate_hours * 3_600
        self._rotated_s = time.monotonic() + (first_rotation_s or 0.0)
        self._failures = 0
        self._has_hinted = False
        self._renewed_s = -RENEW_PAUSE_S
        self._sessions: list[Session] = []
        """The current session, and its successor while there is one."""

    async def run(self) -> None:
        """Runs until cancelled, then closes gracefully. An unexpected error ends the sessions; new ones are opened."""
        try:
            while True:
                try:
                    await self._keep_alive()
                except Exception as error:  # noqa: BLE001 - a connection never dies without a log event
                    _log.error("connection_failed", venue=self._parts.feed.venue, line=self._plan.line, exc_info=error)
                    await self._close_sessions()
                    self._report(unexpected(error))
                    await asyncio.sleep(self._backoff_s(self._failures))
        finally:
            await self._close_sessions()

    async def _keep_alive(self) -> None:
        session = self._begin()
        while True:
            await self._is_due(session)
            if session.life.done():
                await self._come_back_after(session)
                session = self._begin()
            else:
                session = await self._renewed(session)

    async def _close_sessions(self) -> None:
        sessions, self._sessions = self._sessions, []
        await asyncio.gather(*(session.close() for session in sessions))
        for session in sessions:
            self._redundancy.ends(session)

    async def change(self, plan: ConnectionPlan) -> None:
        """Changes the streams to those of this plan, without interruption of the others. Returns when the venue has
        confirmed it on every open socket; a later socket subscribes to the new plan from its begin.
        """
        self._plan = plan
        own = self._own(plan)
        await asyncio.gather(*(session.change(own) for session in self._sessions))

    def _own(self, plan: ConnectionPlan) -> ConnectionPlan:
        """What this connection carries of a plan."""
        return plan.second.plan if self._is_second and plan.second is not None else plan

    # --- sessions ---

    def _begin(self) -> Session:
        session = Session(
            self._own(self._plan),
            parts=self._parts,
            on_opened=self._opened,
            on_subscribed=self._subscribed,
            on_refusals=self._update_refusals,
            refused=self._refusals.streams,
        )
        self._sessions.append(session)
        return session

    async def _is_due(self, session: Session) -> None:
        """Returns when the session has ended, or a successor is due. The due times are fixed, whatever happens between
        them, so that redundant connections are never renewed at the same time.
        """
        due_s = None
        if self._rotate_s:
            due_s = self._rotate_s - (time.monotonic() - self._rotated_s) % self._rotate_s
        await _first_of(session.life, session.leaves, timeout_s=due_s)
        if session.leaves.is_set():
            await _first_of(session.life, timeout_s=self._renewed_s + RENEW_PAUSE_S - time.monotonic())

    async def _renewed(self, old: Session) -> Session:
        """Opens a successor and returns it when it delivers or the old session has ended; returns the old session when
        it has ended before there was a successor.
        """
        failures, self._renewed_s = 0, time.monotonic()
        while not old.life.done():
            new = self._begin()
            await _first_of(new.life, old.life, new.delivers)
            await _first_of(new.life, old.life, timeout_s=OVERLAP_S)
            if not new.life.done():
                await self._hand_over(old)
                return new
            failures += 1
            reason = self._ended(new)
            who = {"venue": self._parts.feed.venue, "line": self._plan.line}
            _log.warning("successor_failed", **who, reason=reason, attempt=failures)
            await _first_of(old.life, timeout_s=self._backoff_s(failures))
        return old

    async def _hand_over(self, old: Session) -> None:
        """Ends a session that has a successor, after all messages sent on it are received."""
        if old.life.done():
            self._report(self._ended(old))
            return
        self._sessions.remove(old)  # later changes do not concern it
        try:
            await old.change(self._own(self._plan).emptied())
        finally:
            await old.close()
            self._redundancy.ends(old)
        self._update_refusals()
        _log.info("connection_renewed", venue=self._parts.feed.venue, line=self._plan.line)

    async def _come_back_after(self, session: Session) -> None:
        """Reports the end of a session, and waits until the next may be opened."""
        reason = self._ended(session)
        self._report(reason)
        may_hurry = reason == SHUTDOWN and self._failures == 1 and time.monotonic() - self._renewed_s >= RENEW_PAUSE_S
        if may_hurry:
            self._renewed_s = time.monotonic()
        await asyncio.sleep(0 if may_hurry else self._backoff_s(self._failures))

    def _ended(self, session: Session) -> str:
        """Removes an ended session; returns the reason."""
        self._sessions.remove(session)
        self._redundancy.ends(session)
        self._update_refusals()
        return f"{UNEXPECTED}: cancelled by the transport" if session.life.cancelled() else session.life.result()

    def _backoff_s(self, failures: int) -> float:
        return backoff_s(failures, min_s=self._settings.backoff_min_s, max_s=self._settings.backoff_max_s)

    # --- reports to the flow and the log ---

    def _opened(self) -> None:
        if self._redundancy.is_down:
            self._parts.queue.put_event(Connected(self._plan.line, self._plan.symbols, self._own(self._plan).url))

    def _subscribed(self, session: Session, plan: ConnectionPlan) -> None:
        self._failures = 0
        self._has_hinted = False
        _log.info("subscribed", venue=self._parts.feed.venue, line=plan.line, symbols=len(plan.symbols))
        whole = self._plan if self._is_second else plan
        others = {name for other in self._redundancy.live for name in other.carried}
        if self._redundancy.begins(session):
            self._refusals.begin(whole, session)
        else:
            new = [name for name in session.carried if name not in others]  # than the ones of another feed
            self._refusals.update(whole, self._redundancy.live, new)

    def _update_refusals(self) -> None:
        """Reports changed refusals, unless the connection is down."""
        if not self._redundancy.is_down:
            self._refusals.update(self._plan, self._redundancy.live)

    def _report(self, reason: str) -> None:
        """Logs every failure. The flow gets an event for the first and for the one that makes it an outage, unless
        another session has the same streams.
        """
        self._failures += 1
        plan, tries, is_down = self._plan, self._settings.backoff_tries, self._redundancy.is_down
        hint = {} if self._has_hinted else self._hint(reason)  # the first attempt may have failed otherwise
        self._has_hinted = self._has_hinted or bool(hint)
        who = {"venue": self._parts.feed.venue, "line": plan.line}
        _log.warning("connection_lost", **who, reason=reason, attempt=self._failures, is_down=is_down, **hint)
        if is_down and self._failures in (1, tries):
            lasting = self._failures == tries
            self._parts.queue.put_event(Disconnected(plan.line, plan.symbols, reason, self._failures, lasting=lasting))

    def _hint(self, reason: str) -> dict[str, str]:
        offline = "cannot be reached" in reason and self._settings.origin in ("live", "testnet")
        return {"hint": "without a network, `make demo` works offline"} if offline else {}


async def _first_of(*awaited: "asyncio.Task[str] | asyncio.Event", timeout_s: float | None = None) -> None:
    """Returns when the first one has ended or is set, or after `timeout_s`."""
    waits = [one if isinstance(one, asyncio.Task) else asyncio.ensure_future(one.wait()) for one in awaited]
    try:
        await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for one, wait in zip(awaited, waits, strict=True):
            if one is not wait:
                wait.cancel()
