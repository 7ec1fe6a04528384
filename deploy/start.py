# ruff: noqa: INP001 - a script, and no package: the Makefile starts it by its path
"""Runs the processes of a Procfile as `honcho` does, and ends them all when who started them has gone.

    python deploy/start.py --alone data -f deploy/run.procfile -d . start

One instance at a time works in the folder that `--alone` names; with `--anew` it is emptied first. A second one names
the first and touches nothing.

Honcho itself dies of a closed terminal and hangs on a closed pipe, and its processes go on unseen, on their ports.
"""

import argparse
import os
import select
import shutil
import signal
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import FrameType
from typing import TextIO

from honcho import command, manager

try:
    import fcntl
except ModuleNotFoundError:
    sys.exit("marketflow: Windows cannot start the processes together: use WSL 2, or start each command by itself")

STDOUT = 1
SIGNALLED = 128
"""A shell adds this to the number of the signal that its command died of."""
LOOK_S = 1.0
"""Time between two looks whether the output is read."""


class Output:
    """A text stream that takes everything. When the one behind it takes nothing any more, the process is to end."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_lost = False
        self.encoding = stream.encoding

    def isatty(self) -> bool:
        """Whether people see it."""
        return self._stream.isatty()

    def write(self, text: str) -> int:
        """Takes text; what cannot be written is lost."""
        if not self._is_lost:
            try:
                self._stream.write(text)
            except OSError:
                self._lose()
        return len(text)

    def flush(self) -> None:
        """Hands on what was written."""
        if not self._is_lost:
            try:
                self._stream.flush()
            except OSError:
                self._lose()

    def _lose(self) -> None:
        self._is_lost = True
        # else what is left in its buffer fails once more at the exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())
        _end()


class Manager(manager.Manager):  # type: ignore[misc]
    """Honcho's, which says why it ends everything."""

    def terminate(self) -> None:
        """Ends all processes, since one has ended or it was asked to."""
        if not self._terminating:
            codes = {name: process.get("returncode") for name, process in self._processes.items()}
            name, code = next(((name, code) for name, code in codes.items() if code is not None), ("", 0))
            if name and end_of(code) != "was ended by SIGINT":  # Ctrl-C reaches all at once
                self._system_print(f"{name} {end_of(code)}, so all others are ended: {_hint(name, code)}\n")
        super().terminate()


def end_of(code: int) -> str:
    """How a process has ended, by its exit code; that of a signal is negative, or a shell's."""
    if code == 0:
        return "has ended by itself"
    number = -code if code < 0 else code - SIGNALLED
    try:
        return f"was ended by {signal.Signals(number).name}"
    except ValueError:
        return f"ended with exit code {code}"


def _hint(name: str, code: int) -> str:
    if end_of(code) == "was ended by SIGKILL":
        return (
            f"somebody has killed it, or the system when memory ran out (`dmesg` says so); see the last lines of {name}"
        )
    return f'see the last lines of {name} above, and "Troubleshooting" in docs/operations.md'


def _end(_: int = 0, __: FrameType | None = None) -> None:
    os.kill(os.getpid(), signal.SIGTERM)  # which honcho takes as a request to end


def _look(_: int, __: FrameType | None) -> None:
    """Ends when nobody reads any more. A terminal that closes tells only its first process, which may be `make`."""
    poll = select.poll()
    poll.register(STDOUT, 0)
    if poll.poll(0):
        signal.setitimer(signal.ITIMER_REAL, 0)
        _end()


def claim(folder: Path) -> TextIO:
    """Claims a folder until this process ends, however it ends; the file that is returned must stay open. `SystemExit`
    when another instance works in it.
    """
    path = folder.parent / f"{folder.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        sys.exit(f"marketflow: already running here ({lock.read().strip() or path}); it was not touched")
    lock.truncate(0)
    lock.write(f"pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    lock.flush()
    return lock


def claimed(arguments: list[str]) -> tuple[TextIO | None, list[str]]:
    """The lock of the folder that the arguments name, and those for honcho."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--alone", type=Path)
    parser.add_argument("--anew", action="store_true")
    own, rest = parser.parse_known_args(arguments)
    if own.alone is None:
        return None, rest
    lock = claim(own.alone)
    if own.anew:
        shutil.rmtree(own.alone, ignore_errors=True)
    return lock, rest


if __name__ == "__main__":
    _lock, sys.argv[1:] = claimed(sys.argv[1:])
    signal.signal(signal.SIGHUP, _end)
    signal.signal(signal.SIGALRM, _look)
    signal.setitimer(signal.ITIMER_REAL, LOOK_S, LOOK_S)
    sys.stdout = Output(sys.stdout)
    command.Manager = Manager
    command.main()
