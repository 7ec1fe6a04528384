"""A supervisor in a process of its own, with small processes beneath it, and what it says."""

import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from tests.fakes.deployment import ROOT

PATIENCE_S = 60
"""Longest wait for something that should take a moment: a bound for broken runs, not a measure."""
TALKER = "import os, time; print('begun', os.getpid())\nwhile True: print('going on'); time.sleep(0.05)"
QUIET = "import os, time; print('begun', os.getpid()); time.sleep(600)"
_MAIN = """
import json, sys
from pathlib import Path
from flows.supervision.supervisor import ProcessSpec, supervise
specs = [ProcessSpec(**spec) for spec in json.loads(sys.argv[1])]
sys.exit(supervise(specs, folder=Path("data"), **json.loads(sys.argv[2])))
"""


def python(name: str, code: str, **more: Any) -> dict[str, Any]:
    """The spec of a process that runs a piece of Python."""
    return {"name": name, "argv": (sys.executable, "-c", code), **more}


def command_of(*specs: dict[str, Any], **options: Any) -> list[str]:
    """The command of a supervisor with these processes."""
    return [sys.executable, "-c", _MAIN, json.dumps(specs), json.dumps(options)]


def is_gone(pid: int) -> bool:
    """Whether a process has ended; one that waits for a parent to notice counts as ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return True
    return state == "Z"


def until(condition: Callable[[], bool]) -> None:
    """Waits until it is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, "it has not come"
        time.sleep(0.02)


class Supervised:
    """The running supervisor."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self.said = ""
        """Its output so far."""

    def until_said(self, pattern: str, *, after: int = 0) -> re.Match[str]:
        """Reads on until something is said, from a place in the output on."""
        assert self.process.stdout is not None
        deadline = time.monotonic() + PATIENCE_S
        while not (found := re.compile(pattern).search(self.said, after)):
            assert select.select([self.process.stdout], [], [], deadline - time.monotonic())[0], self.said
            data = os.read(self.process.stdout.fileno(), 65_536)
            assert data, f"it has ended: {self.said}"
            self.said += data.decode()
        return found

    def pid_of(self, name: str, *, after: int = 0) -> int:
        """The pid that a process has said of itself."""
        return int(self.until_said(rf"{name} +\| begun (\d+)\n", after=after)[1])

    def until_end(self) -> int:
        """Reads to the end; gives the exit code."""
        out, _ = self.process.communicate(timeout=PATIENCE_S)
        self.said += out.decode()
        return self.process.returncode

    def ended(self, number: int = signal.SIGTERM) -> int:
        """Sends a signal and reads to the end; gives the exit code."""
        self.process.send_signal(number)
        return self.until_end()


@contextmanager
def supervised(
    folder: Path, *specs: dict[str, Any], environment: Sequence[tuple[str, str]] = (), **options: Any
) -> Iterator[Supervised]:
    """Starts a supervisor in `folder`; kills it at the end, which ends its processes."""
    process = subprocess.Popen(
        command_of(*specs, **options),
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **dict(environment)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        yield Supervised(process)
    finally:
        process.kill()
        process.wait()
        with suppress(OSError):
            if process.stdout is not None:
                process.stdout.close()
