"""Becomes a program that does not outlive the supervisor.

    python child.py PARENT_PID PROGRAM [ARGUMENT …]

On Linux the kernel sends SIGKILL to the program as soon as the thread that started it has ended (prctl(2),
PR_SET_PDEATHSIG), also after a `kill -9`. The setting survives the exec, but must be made between fork and exec: in a
process of its own, as Python code is not safe in a forked copy. Elsewhere there is no such setting: there the program
outlives a supervisor that is killed with `kill -9`, and only that.

It imports nothing of the project, so that it starts fast.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
NOT_FOUND = 127
"""Exit code when the program cannot be run, as in the shell."""


def main(parent_pid: int, argv: list[str]) -> str:
    """Becomes the program. Returns only when that fails, with the reason."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent_pid:  # it ended before the setting was made
        return "the supervisor has ended already"
    try:
        os.execv(argv[0], argv)  # noqa: S606 - the program is the caller's choice
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"


if __name__ == "__main__":
    print(main(int(sys.argv[1]), sys.argv[2:]), file=sys.stderr)  # noqa: T201 - a command writes to its caller
    sys.exit(NOT_FOUND)
