"""Messages of the bus that cannot be read: left out, and said in the log without filling it."""

from typing import Final

import structlog

_log: Final = structlog.get_logger(__name__)


class Unreadable:
    """Counts them. A line at the first one and each time there are twice as many: some programs send many."""

    def __init__(self) -> None:
        self.total = 0

    def count(self, subject: str, error: Exception) -> None:
        """Takes one more."""
        self.total += 1
        if self.total.bit_count() == 1:
            _log.warning("bus_message_unreadable", subject=subject, reason=str(error), total=self.total)
