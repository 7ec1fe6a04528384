"""One process of a deployment: its command, the preparation before it, and its output."""

import os
import signal
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from flows.process import child
from flows.supervision.output import Lines
from flows.supervision.restarts import Restarts
from flows.supervision.spec import ProcessSpec

_READ: Final = 65_536
_MOST_READS: Final = 64
"""Reads of what an ended process has left in its pipe."""


class Process:
    """Starts a command as often as it is asked to, and knows whether it runs.

    Commands do not outlive the thread that starts them (`child.py`); each leads a process group, so that Ctrl-C on the
    terminal reaches the supervisor alone, which ends them in order.
    """

    def __init__(self, spec: ProcessSpec, environment: Mapping[str, str]) -> None:
        self.spec = spec
        self.restarts = Restarts()
        self.due_s: float | None = 0.0
        """When it is to be started; None while it runs."""
        self.is_wanted = True
        """Whether the command is to follow its preparation."""
        self._environment = {**environment, **spec.env}
        self._running: subprocess.Popen[bytes] | None = None
        self._is_preparing = False
        self._is_prepared = False
        self._lines = Lines()
        self._is_read = False
        self.begun_s = 0.0
        """When the command itself was started last."""

    @property
    def name(self) -> str:
        """Its name."""
        return self.spec.name

    @property
    def pid(self) -> int | None:
        """The process that runs now, be it the preparation."""
        return self._running.pid if self._running else None

    @property
    def runs(self) -> bool:
        """Whether the command itself runs, and not its preparation."""
        return self._running is not None and not self._is_preparing

    @property
    def waits_for(self) -> tuple[str, ...]:
        """What must listen before what is started next: nothing for a preparation, or after the first start."""
        is_first = self.restarts.starts <= 1 and self.begun_s == 0.0
        return self.spec.needs if is_first and (self.spec.prepare is None or self._is_prepared) else ()

    @property
    def descriptor(self) -> int | None:
        """Where its output is read; None while it does not run, or has closed it."""
        return self._running.stdout.fileno() if self._running and self._running.stdout and not self._is_read else None

    def start(self, now_s: float) -> None:
        """Starts it, or first what prepares it. `OSError` when the system has no room for another process."""
        self.due_s = None
        prepare = None if self._is_prepared else self.spec.prepare
        if self._is_prepared:
            self.restarts.on_prepared(now_s)
        else:
            self.restarts.on_start(now_s)
        if prepare is None:
            self.begun_s = now_s
        self._is_preparing, self._is_prepared = prepare is not None, False
        self._spawn(prepare or self.spec.argv)

    def _spawn(self, argv: tuple[str, ...]) -> None:
        self._is_read = False
        self._running = subprocess.Popen(  # noqa: S603 - the commands of the deployment
            child.command(signal.SIGKILL, [*argv]),
            stdin=child.INPUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=self._environment,
            process_group=0,
        )
        if self._running.stdout:
            os.set_blocking(self._running.stdout.fileno(), False)

    def read(self) -> list[bytes]:
        """Lines of its output since the last call."""
        descriptor = self.descriptor
        if descriptor is None:
            return []
        with suppress(BlockingIOError):
            data = os.read(descriptor, _READ)
            self._is_read = not data
            return self._lines.feed(data)
        return []

    def poll(self, now_s: float) -> tuple[int | None, list[bytes]]:
        """Its exit code if it has ended since the last call, and the last lines of its output. A preparation that
        succeeded is no end: the command is due.
        """
        running = self._running
        code = running.poll() if running else None
        if running is None or code is None:
            return None, []
        rest: list[bytes] = []
        if running.stdout:
            # not to the end of the file: a process that it started may hold the pipe
            with suppress(BlockingIOError):
                for _ in range(_MOST_READS):
                    data = os.read(running.stdout.fileno(), _READ)
                    rest += self._lines.feed(data)
                    if not data:
                        break
            running.stdout.close()
        rest += self._lines.end()
        self._running = None
        if self._is_preparing and code == 0 and self.is_wanted:
            self._is_preparing, self._is_prepared = False, True
            self.due_s = now_s
            return None, rest
        return code, rest

    def send(self, number: signal.Signals) -> None:
        """Sends a signal; SIGKILL to everything that it started and that has stayed in its group."""
        if self._running is None:
            return
        if number == signal.SIGKILL:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._running.pid, number)
        self._running.send_signal(number)
        if number != signal.SIGKILL:
            self._running.send_signal(signal.SIGCONT)  # a stopped process cannot handle the other
