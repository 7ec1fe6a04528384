"""Ctrl-C while a command is still being imported: the process ends at once, without a traceback.

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
_WITH_VALUE = frozenset(("-X", "-W", "--check-hash-based-pycs"))


def end_on_interrupt() -> None:
    """From here on SIGINT ends the process, until the command installs its own handler."""
    if is_command(sys.orig_argv) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)


def raise_on_interrupt() -> None:
    """From here on SIGINT raises `KeyboardInterrupt` again, for a command that handles it."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
