"""Incidents and refused input: written to the log, counted, and handed to the stores of incidents."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from flows.clock import monotonic_ms
from flows.foreign import shown_payload, visible
from flows.model import Incident, Rejected

KEPT = 1_000
"""Most refused messages kept in memory; the oldest are dropped."""
LOG_EVERY_MS = 1_000
"""Least time between two log lines about refused messages; each has the count since the last one."""

PUT_RIGHT = frozenset(("repair", "reconnect"))
"""Kinds of incidents that say that something is right again; they are no warnings."""

_log = structlog.get_logger(__name__)


class RejectWriter:
    """Counts refused input, keeps the newest and logs it at a limited rate. Never blocks, never fails."""

    def __init__(self, *, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._logged_ms: int | None = None
        self._unlogged = 0
        self.total = 0
        self.kept: deque[Rejected] = deque(maxlen=KEPT)

    def write(self, batch: list[Rejected]) -> None:
        """Takes refused messages."""
        if not batch:
            return
        count = sum(refused.count for refused in batch)
        self.total += count
        self._unlogged += count
        self.kept.extend(batch)
        now = self._local_ms()
        if self._logged_ms is None or now - self._logged_ms >= LOG_EVERY_MS:
            self._logged_ms = now
            self._log_summary(batch[-1])

    def close(self) -> None:
        """Logs what was not logged yet."""
        if self._unlogged:
            self._log_summary(self.kept[-1])

    def _log_summary(self, last: Rejected) -> None:
        _log.warning(
            "messages_refused",
            venue=last.venue,
            count=self._unlogged,
            total=self.total,
            last_reason=visible(last.reason),
            last_payload=shown_payload(last.payload),
        )
        self._unlogged = 0


class IncidentSink(Protocol):
    """A store or publisher of incidents."""

    def write(self, batch: list[Any]) -> None:
        """Takes incidents."""

    def close(self) -> None:
        """Frees its resources."""


class IncidentWriter:
    """Logs incidents and hands them to its sinks. It may be written to before it has any."""

    def __init__(self) -> None:
        self._sinks: list[IncidentSink] = []
        self._fed_by_flow: list[IncidentSink] = []
        """Those that get the flow's own incidents by another way."""
        self.counts: Counter[str] = Counter()
        """Incidents by kind."""

    def add_sink(self, sink: IncidentSink, *, gets_flow_incidents: bool = False) -> None:
        """Adds a sink, which is closed with this writer. One that `gets_flow_incidents` by another way only gets the
        incidents that are reported from outside the flow.
        """
        self._sinks.append(sink)
        if gets_flow_incidents:
            self._fed_by_flow.append(sink)

    def write(self, batch: list[Incident]) -> None:
        """Takes incidents of the flow, in their order."""
        self._note(batch)
        for sink in self._sinks:
            if sink not in self._fed_by_flow:
                sink.write(batch)

    def report(self, incident: Incident) -> None:
        """Takes an incident from outside the flow, as of a store."""
        self._note([incident])
        for sink in self._sinks:
            sink.write([incident])

    def _note(self, batch: list[Incident]) -> None:
        for incident in batch:
            self.counts[incident.kind] += 1
            log = _log.info if incident.kind in PUT_RIGHT else _log.warning
            log(
                "incident",
                kind=incident.kind,
                venue=incident.venue,
                symbol=incident.symbol or "all",
                cause=incident.cause,
                outcome=incident.outcome,
                **({"first_id": incident.first_id, "last_id": incident.last_id} if incident.first_id >= 0 else {}),
            )

    def close(self) -> None:
        """Closes the sinks; nothing is buffered here."""
        for sink in self._sinks:
            sink.close()
