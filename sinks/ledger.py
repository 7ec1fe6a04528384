"""Incidents and refused input: written to the log, counted, and handed to the stores of incidents."""

import re
from collections import Counter, OrderedDict, deque
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
LONGEST_MS = 60_000
"""Longest time between two lines while the same goes on; after so long without any it is as at first."""
KINDS = 100
"""Reasons that are known as such; the oldest is forgotten."""

CALM = frozenset(("repair", "reconnect", "partial"))
"""Kinds of incidents that are no warnings: something is right again, or waits for what is on its way, as the period in
which a flow started does for the exchange's candle. What is behind that, or ends the wait, is of a kind of its own.
"""

_OF_ONE_CASE = re.compile(r"\([^)]*\)|\d+")
"""What differs between reasons of one kind."""
_log = structlog.get_logger(__name__)


class LogPace:
    """When to log what goes on: at once, and then after 1, 2, 4 … 60 s, of whatever reason; one that is new, apart from
    its numbers and what is in brackets, after 1 s. Pure; times are local, ms.
    """

    def __init__(self) -> None:
        self._logged_ms: int | None = None
        self._came_ms = 0
        self._wait_ms = LOG_EVERY_MS
        self._known: OrderedDict[str, None] = OrderedDict()

    def admits(self, reason: str, now: int) -> bool:
        """Whether this is to be logged now."""
        if now - self._came_ms >= LONGEST_MS:
            self._wait_ms = LOG_EVERY_MS
            self._known.clear()
        self._came_ms = now
        kind = _OF_ONE_CASE.sub("", reason)
        passed_ms = LONGEST_MS if self._logged_ms is None else now - self._logged_ms
        if passed_ms < (self._wait_ms if kind in self._known else LOG_EVERY_MS):
            return False
        if kind in self._known:
            self._wait_ms = min(2 * self._wait_ms, LONGEST_MS)
        self._known[kind] = None
        if len(self._known) > KINDS:
            self._known.popitem(last=False)
        self._logged_ms = now
        return True


class RejectWriter:
    """Counts refused input, keeps the newest and logs it at the rate of `LogPace`. Never blocks, never fails."""

    def __init__(self, *, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._pace = LogPace()
        self._unlogged = 0
        self.counts: Counter[str] = Counter()
        """Messages by venue."""
        self.kept: deque[Rejected] = deque(maxlen=KEPT)

    def write(self, batch: list[Rejected]) -> None:
        """Takes refused messages."""
        if not batch:
            return
        for refused in batch:
            self.counts[refused.venue] += refused.count
            self._unlogged += refused.count
        self.kept.extend(batch)
        if self._pace.admits(batch[-1].reason, self._local_ms()):
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
            total=self.counts.total(),
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
    """Logs incidents and hands them to its sinks. It may be written to before it has any. Of those that messages were
    refused not all are logged (`LogPace`), as these go on for as long as the venue does.
    """

    def __init__(self, *, local_ms: Callable[[], int] = monotonic_ms) -> None:
        self._local_ms = local_ms
        self._pace = LogPace()
        self._unlogged = 0
        self._sinks: list[IncidentSink] = []
        self._fed_by_flow: list[IncidentSink] = []
        """Those that get the flow's own incidents by another way."""
        self.counts: Counter[tuple[str, str]] = Counter()
        """Incidents by venue and kind."""

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
            self.counts[incident.venue, incident.kind] += 1
            not_logged = self._passed_over(incident)
            if not_logged is None:
                continue
            log = _log.info if incident.kind in CALM else _log.warning
            log(
                "incident",
                kind=incident.kind,
                venue=incident.venue,
                symbol=incident.symbol or "all",
                cause=incident.cause,
                outcome=incident.outcome,
                **({"first_id": incident.first_id, "last_id": incident.last_id} if incident.first_id >= 0 else {}),
                **({"not_logged": not_logged} if not_logged else {}),
            )

    def _passed_over(self, incident: Incident) -> int | None:
        """How many of its kind were not logged since the last one; None: neither is this one."""
        if incident.kind != "reject":
            return 0
        if not self._pace.admits(incident.cause, self._local_ms()):
            self._unlogged += 1
            return None
        unlogged, self._unlogged = self._unlogged, 0
        return unlogged

    def close(self) -> None:
        """Closes the sinks; nothing is buffered here."""
        for sink in self._sinks:
            sink.close()
