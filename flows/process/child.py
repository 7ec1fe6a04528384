"""Becomes a program that does not outlive its parent, however the parent ends.

    python child.py [--lend LIBRARY FILE FOLDER] PARENT_PID SIGNAL PROGRAM [ARGUMENT …]

On Linux the kernel sends the signal to the program as soon as the thread that started it has ended (prctl(2),
PR_SET_PDEATHSIG). The setting survives the exec, but must be made between fork and exec: in a process of its own, as
Python code is not safe in the forked copy of a program with threads. Other systems have no such call: there a second
process waits until the pipe that is our standard input is closed, which only the parent holds. It imports nothing of
the project, so that it starts fast.

With `--lend` a program finds a shared library that this system may lack: where the loader finds no LIBRARY, FILE
becomes LIBRARY for this program alone, by a link in FOLDER.
"""

import contextlib
import ctypes
import os
import select
import subprocess
import sys

PR_SET_PDEATHSIG = 1
CANNOT_EXEC = 126
"""Exit code when the program cannot be run, as in the shell."""
LOOK_S = 0.5
"""Time between two looks whether the program still runs, where the kernel does not tell of the parent."""
SEARCH_PATH = "LD_LIBRARY_PATH"
INPUT = subprocess.DEVNULL if sys.platform == "linux" else subprocess.PIPE
"""What the standard input of a `command` must be: where it is a pipe, its end tells of ours."""


def command(number: int, argv: list[str], *, lend: tuple[str, str, str] | None = None) -> list[str]:
    """The command that becomes the program `argv`; `number` is the signal at the end of this process's current
    thread. `lend` are library, file and folder.
    """
    lent = ["--lend", *lend] if lend else []
    return [sys.executable, "-I", "-S", __file__, *lent, str(os.getpid()), str(int(number)), *argv]


def main(parent_pid: int, number: int, argv: list[str], *, platform: str = sys.platform) -> str:
    """Becomes the program. Returns only when that fails, with the reason."""
    if platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, number)
    if os.getppid() != parent_pid:  # it ended before the setting was made
        return "the parent has ended already"
    if platform != "linux":
        _leave_a_watch(number)
    try:
        os.execv(argv[0], argv)  # noqa: S606 - the program is the caller's choice
    except OSError as error:
        return f"{argv[0]} cannot be run: {error.strerror}"


def lend_library(library: str, file: str, folder: str) -> None:
    """Lets what this process becomes find `file` as `library`, unless the system has that. Where the link cannot be
    made, the program's own loader says what is missing.
    """
    with contextlib.suppress(OSError):
        ctypes.CDLL(library)
        return
    link = os.path.join(folder, library)  # noqa: PTH118 - pathlib costs as much as the rest of this process
    with contextlib.suppress(OSError):
        os.makedirs(folder, exist_ok=True)  # noqa: PTH103
        with contextlib.suppress(FileNotFoundError):
            os.unlink(link)  # noqa: PTH108 - the environment may have moved since the last start
        os.symlink(file, link)  # noqa: PTH211
        # the library's own libraries are beside the file, and are looked for beside the link
        places = [folder, os.path.dirname(file), os.environ.get(SEARCH_PATH, "")]  # noqa: PTH120
        os.environ[SEARCH_PATH] = os.pathsep.join(filter(None, places))


def _leave_a_watch(number: int) -> None:
    """Leaves a child that ends this process, whatever it has become, when the parent's end of our input is closed."""
    watched = os.getpid()
    nothing = os.open(os.devnull, os.O_RDWR)
    if os.fork():
        os.dup2(nothing, 0)
        return
    for descriptor in (1, 2):  # else who reads the program's output would wait for the watch too
        os.dup2(nothing, descriptor)
    while os.getppid() == watched:
        ready, _, _ = select.select([0], [], [], LOOK_S)
        if ready and not os.read(0, 1):
            os.kill(watched, number)
            break
    os._exit(0)


if __name__ == "__main__":
    arguments = sys.argv[1:]
    if arguments[0] == "--lend":
        lend_library(*arguments[1:4])
        arguments = arguments[4:]
    print(main(int(arguments[0]), int(arguments[1]), arguments[2:]), file=sys.stderr)  # noqa: T201 - a command writes to its caller
    sys.exit(CANNOT_EXEC)
