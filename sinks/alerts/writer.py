"""Writes alerts to the outbox, hands them to the store of their history, and delivers them to the webhook.

The flow's thread only puts them into a buffer. The webhook gets them one by one in the order in which they fired; while
it takes none they wait on disk.
"""

import sqlite3
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

import structlog
from msgspec import Struct

from flows.backoff import backoff_s
from flows.clock import wall_ms
from flows.model.alerts import Alert
from sinks.alerts.outbox import Outbox
from sinks.alerts.webhook import Refusal, Webhook
from sinks.buffered.buffer import BoundedBuffer
from sinks.buffered.outage import OnIncident, OutageWatch, StoreNames
from sinks.buffered.summary import Summary
from sinks.buffered.writer import BufferedWriter

CAPACITY: Final = 10_000
"""Most alerts in memory, while the disk takes none; beyond that the oldest are lost, with an ERROR."""
MOST_WAITING: Final = 10_000
"""Most alerts that wait for the webhook; beyond that the oldest are not delivered, with an ERROR."""
GIVE_UP_MS: Final = 86_400_000
"""Age at which an alert is not delivered any more, with an ERROR."""
RESENT_MS: Final = 86_400_000
"""Age of alerts that the history gets again at the start."""
FIRST_RETRY_S: Final = 1.0
LAST_RETRY_S: Final = 60.0
REFUSED_TRIES: Final = 8
"""How often the receiver may refuse the content of an alert, in some two minutes; then the next ones go on."""
ANSWER_S: Final = 10.0
"""How long the receiver may take."""
HINT: Final = "look at the receiver that alerts.webhook_url names; alerts wait on disk for a day"

History: TypeAlias = Callable[[Sequence[Alert]], None]
log = structlog.get_logger(__name__)


class Delivered(Struct):
    """Counts of what was done."""

    fired: int = 0
    delivered: int = 0

    def update(self, other: "Delivered", /) -> None:
        """Adds `other`."""
        self.fired += other.fired
        self.delivered += other.delivered


class _AlertBuffer(BoundedBuffer[int]):
    """Alerts that are not on disk yet. The losses are their numbers."""

    def __init__(self, capacity: int, is_waiting: Callable[[], bool]) -> None:
        super().__init__(capacity)
        self._items: deque[Alert] = deque()
        self._has_new = False
        """Whether any came since they were last `held`."""
        self._is_waiting = is_waiting

    def __len__(self) -> int:
        return len(self._items)

    def put(self, alerts: Iterable[Alert]) -> bool:
        """Adds alerts; False when it is closed."""
        with self._changed:
            if self._closed:
                return False
            self._items.extend(alerts)
            self._has_new = True
            self._trim()
            self._changed.notify_all()
            return True

    def wait(self, pause_s: float) -> bool:
        """Waits until something comes; after a failure for at most `pause_s`, and not at all while something waits for
        the webhook. False when closed.
        """
        with self._changed:
            has_more = pause_s or not self._is_waiting()
            if has_more:
                self._changed.wait_for(
                    lambda: self._closed or self._is_due(after_failure=bool(pause_s)), pause_s or None
                )
            return not self._closed

    def _is_due(self, *, after_failure: bool) -> bool:
        """What the disk has just refused is not tried again at once."""
        return self._has_new if after_failure else bool(self._items)

    def held(self) -> list[Alert]:
        """A copy."""
        with self._changed:
            return list(self._items)

    def take(self) -> list[Alert]:
        """The same, to be written."""
        with self._changed:
            self._has_new = False
            return list(self._items)

    def settle(self, alerts: Iterable[Alert]) -> None:
        """The oldest ones, as they were `held`, are on disk; some of them may have been lost meanwhile."""
        with self._changed:
            done = {id(alert) for alert in alerts}
            while self._items and id(self._items[0]) in done:
                self._items.popleft()

    def _trim(self) -> None:
        while len(self._items) > self.capacity:
            self._items.popleft()
            self._losses[""] = self._losses.get("", 0) + 1

    def _give_up(self) -> None:
        if self._items:
            self._losses[""] = self._losses.get("", 0) + len(self._items)
        self._items.clear()


class AlertWriter(BufferedWriter[int, Delivered]):
    """Takes the alerts of the whole deployment. It owns `outbox` and `webhook`, and closes them."""

    def __init__(
        self,
        outbox: Outbox,
        *,
        webhook: Webhook | None,
        history: History = lambda _: None,
        on_incident: OnIncident = lambda _: None,
        summary_s: float = 60.0,
        first_retry_s: float = FIRST_RETRY_S,
    ) -> None:
        """`history` gets every alert, and those of `RESENT_MS` once more at the start: the last process may have ended
        before it had them.
        """
        self._outbox = outbox
        self._webhook = webhook
        self._history = history
        self._first_retry_s = first_retry_s
        self._refused = ("", 0)
        """The alert whose content was refused last, and how often in a row."""
        self.waiting = self._count_waiting()
        """Number of alerts that wait for the webhook; 0 without one."""
        self._buffer = _AlertBuffer(CAPACITY, lambda: self.waiting > 0)
        names = StoreNames("alerts", webhook.host if webhook else "the disk", "", HINT if webhook else "")
        super().__init__(
            thread_name="alert-writer",
            buffer=self._buffer,
            outages=OutageWatch(names, on_incident=on_incident, first_retry_s=first_retry_s),
            summary=Summary(Delivered, _log_delivered, interval_s=summary_s),
        )
        history(outbox.recent(since_ms=wall_ms() - RESENT_MS))
        outbox.trim()
        self._start()

    def write(self, batch: Sequence[Alert]) -> None:
        """Takes alerts, from any thread."""
        for alert in batch:
            log.info("alert_fired", id=alert.id, rule=alert.rule.id, venue=alert.venue, symbol=alert.symbol)
        if not self._buffer.put(batch):
            log.error("alerts_after_close", alerts=len(batch))

    def pending(self) -> list[Alert]:
        """What is not on disk yet."""
        return self._buffer.held()

    @property
    def counts(self) -> Delivered:
        """What was done since the start."""
        return self._summary.total

    def close(self) -> None:
        """Writes what is held; what was not delivered is by the next process."""
        self._begin_close()
        self._thread.join(ANSWER_S)

    # --- the writer's thread ---

    def _wait(self) -> bool:
        failures = self._outages.failures
        pause_s = backoff_s(failures, min_s=self._first_retry_s, max_s=LAST_RETRY_S) if failures else 0.0
        return self._buffer.wait(pause_s)

    def _write_due(self) -> tuple[bool, str]:
        try:
            self._store()
            return self._deliver()
        except sqlite3.Error as error:
            return False, f"the outbox takes nothing: {error}"
        except Exception as error:
            log.exception("alert_writer_failed")  # a bug must not silence the writer for good
            return False, type(error).__name__

    def _store(self) -> None:
        """Writes what has come to the disk, and then to the history."""
        alerts = self._buffer.take()
        if alerts:
            self._outbox.add(alerts, now_ms=wall_ms(), waits=self._webhook is not None)
            self._buffer.settle(alerts)
            self._history(alerts)
            self._summary.count(Delivered(fired=len(alerts)))
            self._outbox.trim()
            self.waiting = self._count_waiting()

    def _deliver(self) -> tuple[bool, str]:
        """Delivers the oldest alert that waits; the next one in the next turn."""
        if self._webhook is None or not self.waiting:
            return True, ""
        given_up = self._outbox.give_up(before_ms=wall_ms() - GIVE_UP_MS, most=MOST_WAITING)
        if given_up:
            log.error("alerts_not_delivered", alerts=given_up)
        alert = self._outbox.next_waiting()
        self.waiting = self._count_waiting()
        if alert is None:
            return True, ""
        wall = wall_ms()
        timeout_s = max(min(ANSWER_S, self._time_left_s()), 0.1)
        refusal = self._webhook.send(alert, wall_s=wall // 1_000, timeout_s=timeout_s)
        if refusal:
            if self._is_given_up(alert, refusal):
                log.error("alert_refused", id=alert.id, rule=alert.rule.id, reason=refusal.cause)
                self._settle(alert)
            return False, refusal.cause
        self._settle(alert)
        self._summary.count(Delivered(delivered=1))
        return True, ""

    def _is_given_up(self, alert: Alert, refusal: Refusal) -> bool:
        """Whether the receiver has refused just this alert often enough."""
        last, times = self._refused
        if refusal.of_content:
            self._refused = (alert.id, times + 1 if alert.id == last else 1)
        return refusal.of_content and self._refused[1] >= REFUSED_TRIES

    def _settle(self, alert: Alert) -> None:
        """It waits no more."""
        self._outbox.settle(alert.id)
        self._outbox.trim()
        self.waiting = self._count_waiting()

    def _count_waiting(self) -> int:
        return self._outbox.waiting if self._webhook else 0

    def _report_loss(self, loss: int) -> None:
        log.error("alerts_lost", alerts=loss)

    def _release(self) -> None:
        self._outbox.close()
        if self._webhook:
            self._webhook.close()


def _log_delivered(recent: Delivered) -> None:
    log.info("alerts_written", fired=recent.fired, delivered=recent.delivered)
