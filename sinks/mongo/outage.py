"""What is said about a time in which MongoDB takes nothing: to the log, and as incidents."""

import random
from collections.abc import Callable, Iterable
from typing import TypeAlias

import structlog
from msgspec import Struct

from flows.clock import monotonic_ms, wall_ms
from flows.model import Candle, Incident
from sinks.mongo.buffer import Loss, Storable

log = structlog.get_logger(__name__)

OnIncident: TypeAlias = Callable[[Incident], None]

FIRST_RETRY_S = 0.25
LONGEST_RETRY_S = 5.0
HINT = "start the server that the setting mongo.uri names, or correct the address there"
HELD_BACK = f"held back, trying again; {HINT}"
"""What becomes of candles that the server does not take, and what may be done."""
REPEAT_ERROR_MS = 60_000
"""Least time between two ERROR lines about one outage."""


def retry_delay_s(failures: int, *, jitter: Callable[[], float] = random.random) -> float:
    """Seconds to wait after so many failures in a row: a ceiling that doubles, and at random between half and all of
    it.
    """
    ceiling: float = min(FIRST_RETRY_S * 2.0 ** min(failures - 1, 16), LONGEST_RETRY_S)
    return ceiling * (0.5 + jitter() / 2)


class _Outage(Struct):
    begin: int
    """Feed's time, ms UTC."""
    began_local_ms: int
    logged_local_ms: int
    cause: str
    failures: int = 1


class OutageWatch:
    """Turns failures and successes of a writer into what people should know, and into the pause between attempts.

    An outage costs an ERROR line and an incident when it begins, a further line every `REPEAT_ERROR_MS`, and another
    incident when it is over. The incidents carry the feed's time as the candles tell it; before the first candle, the
    wall clock's. A listener that fails is logged; nothing here raises.
    """

    def __init__(self, *, venue: str, on_incident: OnIncident, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._venue = venue
        self._on_incident = on_incident
        self._local_ms = local_ms
        self._feed_ms = 0
        self._outage: _Outage | None = None

    @property
    def cause(self) -> str:
        """Why the last attempt failed; "" when it succeeded."""
        outage = self._outage  # another thread may end it meanwhile
        return outage.cause if outage else ""

    @property
    def pause_s(self) -> float:
        """How long to wait before the next attempt; 0.0 when the last one succeeded."""
        return retry_delay_s(self._outage.failures) if self._outage else 0.0

    def on_news(self, items: Iterable[Storable]) -> None:
        """Takes note of the feed's time."""
        for item in items:
            if isinstance(item, Candle) and item.event_time > self._feed_ms:
                self._feed_ms = item.event_time

    def on_failure(self, cause: str, *, held: int) -> None:
        """An attempt failed, and so many items wait."""
        local_ms = self._local_ms()
        outage = self._outage
        if outage is None:
            self._outage = outage = _Outage(self._now_ms(), local_ms, local_ms, cause)
            log.error("candles cannot be stored, trying again", cause=cause, held=held, hint=HINT)
            self._report(outage, cause=cause, outcome=HELD_BACK)
            return
        outage.failures += 1
        outage.cause = cause
        if local_ms - outage.logged_local_ms >= REPEAT_ERROR_MS:
            outage.logged_local_ms = local_ms
            failures = outage.failures
            log.error("candles still cannot be stored", cause=cause, held=held, failures=failures, hint=HINT)

    def on_success(self) -> bool:
        """An attempt succeeded. True when that ended an outage."""
        if self._outage is None:
            return False
        outage, self._outage = self._outage, None
        after_s = (self._local_ms() - outage.began_local_ms) / 1_000
        log.info("candles are stored again", after_s=after_s, failures=outage.failures)
        outcome = f"storing what was held, after {after_s:.1f} s and {outage.failures} failed attempts"
        self._report(outage, cause="the server takes candles again", outcome=outcome)
        return True

    def on_replaced(self, database: str) -> None:
        """Another database answers than the one that was written before."""
        log.error("database_replaced", database=database, venue=self._venue)
        now_ms = self._now_ms()
        cause = f"the database {database} is another one than before: what that held is not in it"
        outcome = "the newest candles are fetched from the exchange again; older ones only an import brings back"
        self._notify(Incident("store_outage", self._venue, "", now_ms, now_ms, cause, outcome))

    def on_loss(self, loss: Loss) -> None:
        """Something was given up for good."""
        log.error(
            "candles lost",
            venue=loss.venue,
            symbol=loss.symbol,
            candles=loss.candles,
            incidents=loss.incidents,
            begin=loss.begin,
            end=loss.end,
        )
        cause = "the server confirmed no candles, and the buffer took no more of them"
        outcome = f"{loss.candles} candles and {loss.incidents} incidents are not known to be stored"
        self._notify(Incident("store_outage", loss.venue, loss.symbol, loss.begin, loss.end, cause, outcome))

    def _now_ms(self) -> int:
        return self._feed_ms or wall_ms()

    def _report(self, outage: _Outage, *, cause: str, outcome: str) -> None:
        end = max(outage.begin, self._now_ms())
        self._notify(Incident("store_outage", self._venue, "", outage.begin, end, cause, outcome))

    def _notify(self, incident: Incident) -> None:
        try:
            self._on_incident(incident)
        except Exception:
            log.exception("incident not delivered", incident=incident)  # a bug of the listener is not the writer's end
