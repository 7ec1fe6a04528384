"""When a process that has ended is started again. Pure: the time is an argument."""

from typing import Final

from flows.backoff import backoff_s
from flows.process.exit_codes import TRY_AGAIN
from flows.supervision.ends import is_refusal, signal_of

FIRST_S: Final = 0.5
LONGEST_S: Final = 15.0
STEADY_S: Final = 30.0
"""After a life of this length the next wait is the first one again."""
FIRST_STARTS: Final = 5
"""Starts of a process that has never been steady and ends with an error each time; then it is given up."""


class Restarts:
    """The starts and ends of one process. Times are monotonic, in seconds."""

    def __init__(self) -> None:
        self.starts = 0
        """Number of starts so far."""
        self._begun_s = 0.0
        self._failures = 0
        self._errors = 0
        self._was_steady = False

    def on_start(self, now_s: float) -> None:
        """It is started now."""
        self.starts += 1
        self._begun_s = now_s

    def on_prepared(self, now_s: float) -> None:
        """The command itself is started now, after its preparation: its life begins here."""
        self._begun_s = now_s

    def on_end(self, code: int, now_s: float) -> float | None:
        """Seconds until it is to be started again. None when that cannot help: it refused to run at its first start, or
        has never run. One that only cannot run for now is never given up.
        """
        if now_s - self._begun_s >= STEADY_S:
            self._was_steady = True
            self._failures = 0
        self._failures += 1
        self._errors += signal_of(code) is None and code != TRY_AGAIN
        if not self._was_steady and ((is_refusal(code) and self.starts == 1) or self._errors >= FIRST_STARTS):
            return None
        return backoff_s(self._failures, min_s=FIRST_S, max_s=LONGEST_S, jitter=_none)


def _none() -> float:
    """All of the wait: no two processes here wait for the same peer."""
    return 1.0
