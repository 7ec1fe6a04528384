"""Brings the lake up to date once a day, in a process of its own beside the flow."""

import os
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from flows.clock import wall_ms
from flows.foreign import visible
from flows.model import Incident

WAIT_S: Final = 3_600.0
"""How long it waits while another process writes, as that of another share of the symbols."""
LOWEST_PRIORITY: Final = 19
COMMAND: Final = sys.executable, "-m", "flows", "lake", "write", "--wait", str(WAIT_S)
_LOOK_S: Final = 30.0
"""The longest sleep: a machine that slept itself goes by the clock again soon after."""

_log = structlog.get_logger(__name__)


def next_time(at: str, now: datetime) -> datetime:
    """The first moment behind `now`, UTC, at which it is `at`, as in `00:30`."""
    hour, minute = map(int, at.split(":"))
    today = now.replace(hour=hour, minute=minute, second=0, microsecond=0)
    return today if today > now else today + timedelta(days=1)


class LakeNight:
    """Starts the command once a day. It ends with the flow; what it has begun the next one goes on with."""

    def __init__(
        self,
        at: str,
        *,
        stop: threading.Event,
        report: Callable[[Incident], None],
        venue: str,
        command: Sequence[str] = COMMAND,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """`at` is a time of day, UTC; `venue` names the incident of a run that fails."""
        self._at = at
        self._stop = stop
        self._report = report
        self._venue = venue
        self._command = command
        self._now = now
        self._thread = threading.Thread(target=self._run, name="lake-night", daemon=True)

    def start(self) -> None:
        """Begins to wait for the time."""
        self._thread.start()

    def _run(self) -> None:
        due = next_time(self._at, self._now())
        while not self._stop.wait(min(max((due - self._now()).total_seconds(), 0.0), _LOOK_S)):
            if self._now() >= due:
                self.update()
                due = next_time(self._at, self._now())

    def update(self) -> None:
        """Runs the command to its end, or to that of the flow. A failure is an incident; the next run does all again
        that is not done.
        """
        begin_ms = wall_ms()
        try:
            code, said = self._finished()
        except OSError as error:
            code, said = 1, str(error)
        if self._stop.is_set():
            return
        last = visible(said.strip().rpartition("\n")[2].removeprefix("marketflow: "))
        if code == 0:
            _log.info("lake_updated", result=last)
            return
        _log.error("lake_not_updated", code=code, reason=last)
        cause = f"the lake was not brought up to date: {last or f'exit code {code}'}"
        self._report(Incident("store_outage", self._venue, "", begin_ms, wall_ms(), cause, "tried again a day later"))

    def _finished(self) -> tuple[int, str]:
        """Exit code and error output of the command."""
        with subprocess.Popen(  # noqa: S603 - its own
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        ) as process:
            with suppress(OSError, AttributeError):  # Windows has no such priorities
                os.setpriority(os.PRIO_PROCESS, process.pid, LOWEST_PRIORITY)
            while True:
                try:
                    _, said = process.communicate(timeout=1.0)
                except subprocess.TimeoutExpired:
                    if self._stop.is_set():
                        process.terminate()
                else:
                    return process.returncode, said
