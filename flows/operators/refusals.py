"""What steps say of events that they refuse: each for the ledger, and now and then how many there were."""

from typing import Any

from msgspec import json

from flows.model import Rejected

EVERY_MS = 1_000
"""What is refused within so much local time is one incident; the first one is told at once."""


def rejected(venue: str, event: Any, reason: str) -> Rejected:
    """A refused event of the model, as JSON: its frame was shared with others and is no longer at hand."""
    return Rejected(venue, reason, json.encode(event), 0)


class Refusals:
    """Counts refusals between two reports. Times are local, ms."""

    def __init__(self, what: str) -> None:
        """`what` was refused, in the plural."""
        self._what = what
        self.last_reason = ""
        """Of the newest one."""
        self._told_at: int | None = None
        self.count = 0
        """Since the last report."""

    def note(self, reason: str, count: int = 1) -> None:
        """So many were refused."""
        self.count += count
        self.last_reason = reason

    @property
    def due(self) -> int | None:
        """When the next report may be given; None when there is nothing to report, or nothing to wait for."""
        return self._told_at + EVERY_MS if self.count and self._told_at is not None else None

    def take_report(self, local: int, *, ends: bool) -> str | None:
        """The cause of an incident; None when it is too soon, unless the input ends, or nothing was refused."""
        due = self.due
        if not self.count or (due is not None and local < due and not ends):
            return None
        report = f"{self._what} refused: {self.count}, the last one for this: {self.last_reason}"
        self.count, self._told_at = 0, local
        return report
