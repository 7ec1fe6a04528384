"""Becomes a program that does not outlive its parent, however the parent ends.

    python child.py PARENT_PID SIGNAL PROGRAM [ARGUMENT …]

On Linux the kernel sends the signal to the program as soon as the thread that started it has ended (prctl(2),
PR_SET_PDEATHSIG). The setting survives the exec, but must be made between fork and exec: in a process of its own, as
Python code is not safe in the forked copy of a program with threads. Elsewhere there is no such setting: there the
program outlives a parent that is killed with `kill -9`.

It imports nothing of the project, so that it starts fast.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1
CANNOT_EXEC = 126
"""Exit code when the program cannot be run, as in the shell."""


def command(number: int, argv: list[str]) -> list[str]:
    """The command that becomes the program `argv`; `number` is the signal at the end of this process's current
    thread.
    """
    return [sys.executable, "-I", "-S", __file__, str(os.getpid()), str(int(number)), *argv]


def main(parent_pid: int, number: int, argv: list[str]) -> str:
    """Becomes the program. Returns only when that fails, with the reason."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:  # it ended before the setting was made
        return "the parent has ended already"
    try:
        os.execv(argv[0], argv)  # noqa: S606 - the program is the caller's choice
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"


if __name__ == "__main__":
    print(main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:]), file=sys.stderr)  # noqa: T201 - a command writes to its caller
    sys.exit(CANNOT_EXEC)
