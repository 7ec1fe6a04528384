"""Ctrl-C while a command is still being imported: the process ends at once, without a traceback. While a command works,
SIGTERM ends it as Ctrl-C does: what it has half done is removed, as files that are not whole.

Each of the project's packages first calls `end_on_interrupt` at its import. It only acts in a process that was started
as one of the project's commands: a program that imports the project keeps its own handling.
"""

import os
import signal
import sys
from collections.abc import Sequence
from types import FrameType

PACKAGES = frozenset(("api", "flows", "sinks", "sources"))
SCRIPT = "marketflow"
"""What the installed package puts beside the interpreter."""
ENGINE = "bytewax.run"
"""Runs the flows: its argument names the module."""
_works = False
"""Whether a command works, which handles interrupts."""
_WITH_VALUE = frozenset(("-X", "-W", "--check-hash-based-pycs"))


class Terminated(KeyboardInterrupt):
    """SIGTERM has come: handled as Ctrl-C, but for the exit code."""


def end_on_interrupt(*, ends_work: bool = False) -> None:
    """From here on SIGINT ends the process, until the command installs its own handler. While it works, a package that
    is only imported then changes nothing: `ends_work` says that the work is done.
    """
    global _works  # noqa: PLW0603 - signal handlers are of the process too
    if _works and not ends_work:
        return
    _works = False
    if is_command(sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def raise_on_interrupt() -> None:
    """From here on SIGINT raises `KeyboardInterrupt` again, and SIGTERM `Terminated`, for a command that handles it."""
    global _works  # noqa: PLW0603 - as above
    _works = True
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)


def exit_code_of(interrupt: KeyboardInterrupt) -> int:
    """The exit code of a process that ends for this reason, as the shell has it."""
    return 128 + (signal.SIGTERM if isinstance(interrupt, Terminated) else signal.SIGINT)


def _terminate(_: int, __: FrameType | None) -> None:
    raise Terminated


def _leave(number: int, _: FrameType | None) -> None:
    """Ends the process. The default action would do, but an imported library (polars) replaces it, and then nothing
    happens.
    """
    os._exit(128 + number)


def is_command(argv: Sequence[str]) -> bool:
    """Whether the interpreter was started, with these arguments, as one of the project's commands."""
    rest = iter(argv[1:])
    for argument in rest:
        if argument in _WITH_VALUE:
            next(rest, None)
        elif argument.startswith("-m"):
            module = argument[2:] or next(rest, "")
            named = rest if module == ENGINE else [module]
            return any(name.partition(":")[0].partition(".")[0] in PACKAGES for name in named)
        elif argument == "-c" or not argument.startswith("-"):
            return argument.rpartition("/")[2] == SCRIPT
    return False
