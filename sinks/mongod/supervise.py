"""Runs a program that does not outlive its parent, however the parent ends.

    python supervise.py PARENT_PID PROGRAM [ARGUMENT …]

The kernel sends SIGTERM to the program as soon as the thread that started it has ended (prctl(2), PR_SET_PDEATHSIG;
Linux only). The setting survives the exec, but must be made between fork and exec: in a process of its own, as Python
code is not safe in the forked copy of a program with threads. It imports nothing of the project, so that it starts
fast.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
CANNOT_RUN = 126
"""Exit code when the program cannot be run, as in the shell."""


def main(parent_pid: int, program: list[str]) -> str:
    """Becomes the program. Returns only when that fails, with the reason."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent_pid:
        return "the parent has ended already"
    try:
        os.execv(program[0], program)  # noqa: S606 - the program is the caller's choice
    except OSError as error:
        return f"{program[0]} cannot be run: {error.strerror}"


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2:]), file=sys.stderr)  # noqa: T201 - a command writes to its caller
    sys.exit(CANNOT_RUN)
