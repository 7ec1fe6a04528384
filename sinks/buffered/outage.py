"""Reports outages of a store: to the log, and as incidents."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import structlog
from msgspec import Struct

from flows.backoff import FIRST_S, LONGEST_S, backoff_s
from flows.clock import monotonic_ms, wall_ms
from flows.model import Incident

log = structlog.get_logger(__name__)

OnIncident: TypeAlias = Callable[[Incident], None]

REPEAT_ERROR_MS = 60_000
"""Least time between two ERROR lines about one outage."""


class StoreNames(NamedTuple):
    """What is stored, as `candles`, and where, as `the server`, for messages; and of which venue, "" for all."""

    what: str
    store: str
    venue: str
    hint: str = ""
    """What to do when the store takes nothing."""


class _Outage(Struct):
    begin: int
    """Feed's time, ms UTC."""
    began_local_ms: int
    logged_local_ms: int
    cause: str
    failures: int = 1


class OutageWatch:
    """Turns failures and successes of a writer into log lines, incidents, and the pause between attempts.

    An outage costs an ERROR line and an incident when it begins, a further line every `REPEAT_ERROR_MS`, and another
    incident when it is over. The incidents carry the feed's time (`on_feed_time`); until that is known, the wall
    clock's. A listener that fails is logged; nothing here raises.
    """

    def __init__(
        self,
        store: StoreNames,
        *,
        on_incident: OnIncident,
        first_retry_s: float = FIRST_S,
        longest_retry_s: float = LONGEST_S,
        local_ms: Callable[[], int] = monotonic_ms,
    ) -> None:
        self._names = store
        self._on_incident = on_incident
        self._first_retry_s = first_retry_s
        self._longest_retry_s = longest_retry_s
        self._local_ms = local_ms
        hint = {"hint": store.hint} if store.hint else {}
        self._log = log.bind(what=store.what, venue=store.venue, **hint)
        self._feed_ms = 0
        self._outage: _Outage | None = None

    @property
    def cause(self) -> str:
        """Why the last attempt failed; "" when it succeeded."""
        outage = self._outage  # another thread may end it meanwhile
        return outage.cause if outage else ""

    @property
    def failures(self) -> int:
        """How many attempts have failed in a row."""
        return self._outage.failures if self._outage else 0

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt; 0.0 when the last one succeeded."""
        if not self.failures:
            return 0.0
        return backoff_s(self.failures, min_s=self._first_retry_s, max_s=self._longest_retry_s)

    def on_feed_time(self, time_ms: int) -> None:
        """Records the feed's time."""
        self._feed_ms = max(self._feed_ms, time_ms)

    def on_failure(self, cause: str, *, held: int) -> None:
        """An attempt failed; `held` items wait."""
        local_ms = self._local_ms()
        outage = self._outage
        if outage is None:
            self._outage = outage = _Outage(self._now_ms(), local_ms, local_ms, cause)
            self._log.error("store_unavailable", cause=cause, held=held)
            hint = f"; {self._names.hint}" if self._names.hint else ""
            self._report_outage(outage, cause=cause, outcome=f"held back, trying again{hint}")
            return
        outage.failures += 1
        outage.cause = cause
        if local_ms - outage.logged_local_ms >= REPEAT_ERROR_MS:
            outage.logged_local_ms = local_ms
            self._log.error("store_still_unavailable", cause=cause, held=held, failures=outage.failures)

    def on_success(self) -> bool:
        """An attempt succeeded. True when that ended an outage."""
        if self._outage is None:
            return False
        outage, self._outage = self._outage, None
        after_s = (self._local_ms() - outage.began_local_ms) / 1_000
        self._log.info("store_available_again", after_s=after_s, failures=outage.failures)
        outcome = f"storing what was held, after {after_s:.1f} s and {outage.failures} failed attempts"
        self._report_outage(outage, cause=f"{self._names.store} takes {self._names.what} again", outcome=outcome)
        return True

    def report(self, cause: str, outcome: str, *, symbol: str = "", first_id: int = -1, last_id: int = -1) -> None:
        """Reports another problem of the store, now."""
        now_ms = self._now_ms()
        self.notify(
            Incident("store_outage", self._names.venue, symbol, now_ms, now_ms, cause, outcome, first_id, last_id)
        )

    def notify(self, incident: Incident) -> None:
        """Hands an incident to the listener."""
        try:
            self._on_incident(incident)
        except Exception:
            log.exception("incident_not_delivered", incident=incident)  # a bug of the listener must not end the writer

    def _now_ms(self) -> int:
        return self._feed_ms or wall_ms()

    def _report_outage(self, outage: _Outage, *, cause: str, outcome: str) -> None:
        end = max(outage.begin, self._now_ms())
        self.notify(Incident("store_outage", self._names.venue, "", outage.begin, end, cause, outcome))
