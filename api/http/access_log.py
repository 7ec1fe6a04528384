"""The log of answered requests: each one at DEBUG, and a summary at INFO."""

import asyncio
from collections import Counter
from typing import Final

import structlog

INTERVAL_S: Final = 60.0
"""Time between two summaries."""

_log = structlog.get_logger(__name__)


class AccessLog:
    """Counts the answers since the last summary. Belongs to one event loop."""

    def __init__(self) -> None:
        self._statuses: Counter[str] = Counter()
        self._slowest = (0.0, "")

    def on_answer(self, *, method: str, path: str, status: int, seconds: float, request_id: str) -> None:
        """A request was answered after `seconds`."""
        self._statuses[f"{status // 100}xx"] += 1
        if seconds > self._slowest[0]:
            self._slowest = seconds, path
        ms = round(seconds * 1_000, 2)
        _log.debug("request_answered", method=method, path=path, status=status, ms=ms, request_id=request_id)

    async def summarise(self) -> None:
        """Logs a summary every `INTERVAL_S`, and at the end when it is cancelled."""
        try:
            while True:
                await asyncio.sleep(INTERVAL_S)
                self.log_summary()
        finally:
            self.log_summary()

    def log_summary(self) -> None:
        """Logs how many requests were answered since the last summary, by kind of status, and the slowest of them."""
        statuses, (seconds, path) = self._statuses, self._slowest
        self._statuses, self._slowest = Counter(), (0.0, "")
        if statuses:
            slowest_ms = round(seconds * 1_000, 2)
            _log.info("requests_answered", **dict(sorted(statuses.items())), slowest_ms=slowest_ms, slowest_path=path)
