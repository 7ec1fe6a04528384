"""What went wrong, where people look for it: the log, and a bounded memory of refused input."""

from collections import Counter, deque
from collections.abc import Callable
from typing import Any, Protocol

import structlog

from flows.clock import monotonic_ms
from flows.foreign import shown_payload, visible
from flows.model import Incident, Rejected

KEPT = 1_000
"""Refused messages that are remembered; the oldest give way."""
LOG_EVERY_MS = 1_000
"""A refused message is logged at most so often; the log line says how many there were since the last one."""

_log = structlog.get_logger(__name__)


class RejectWriter:
    """Counts refused input, remembers the last of it and logs it at a bearable pace. Never blocks, never fails."""

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
            self._say(batch[-1])

    def close(self) -> None:
        """Says what was not said yet."""
        if self._unlogged:
            self._say(self.kept[-1])

    def _say(self, last: Rejected) -> None:
        _log.warning(
            "messages refused",
            venue=last.venue,
            count=self._unlogged,
            total=self.total,
            last_reason=visible(last.reason),
            last_payload=shown_payload(last.payload),
        )
        self._unlogged = 0


class Keeper(Protocol):
    """Where incidents are kept, or told to whoever listens."""

    def write(self, batch: list[Any]) -> None:
        """Takes incidents."""

    def close(self) -> None:
        """Lets go of it."""


class IncidentWriter:
    """Logs incidents and hands them on to where they are kept. It may be written to before it has any keeper."""

    def __init__(self) -> None:
        self._keepers: list[Keeper] = []
        self._knowing: list[Keeper] = []
        """Of the keepers those that the flow's own incidents reach by another way."""
        self.counts: Counter[str] = Counter()
        """How many there were of each kind."""

    def keep_in(self, keeper: Keeper, *, knows_flow: bool = False) -> None:
        """Hands on what comes from now on, and closes the keeper in the end. One that `knows_flow` gets the incidents
        that the flow finds by another way, and here only those that are reported from elsewhere.
        """
        self._keepers.append(keeper)
        if knows_flow:
            self._knowing.append(keeper)

    def write(self, batch: list[Incident]) -> None:
        """Takes incidents that the flow has found, in their order."""
        self._note(batch)
        for keeper in self._keepers:
            if keeper not in self._knowing:
                keeper.write(batch)

    def report(self, incident: Incident) -> None:
        """Takes one that has happened outside the flow, as to a store."""
        self._note([incident])
        for keeper in self._keepers:
            keeper.write([incident])

    def _note(self, batch: list[Incident]) -> None:
        for incident in batch:
            self.counts[incident.kind] += 1
            _log.warning(
                f"incident: {incident.kind}",
                venue=incident.venue,
                symbol=incident.symbol or "all",
                cause=incident.cause,
                outcome=incident.outcome,
                **({"first_id": incident.first_id, "last_id": incident.last_id} if incident.first_id >= 0 else {}),
            )

    def close(self) -> None:
        """Lets go of the keepers; nothing is held here."""
        for keeper in self._keepers:
            keeper.close()
