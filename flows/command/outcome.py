"""How a command ends: its exit code, and its words when it fails."""

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from flows.process.interrupts import exit_code_of, raise_on_interrupt


class ExitCode(IntEnum):
    """Exit codes of every command."""

    DONE = 0
    FAILED = 1
    """Something is false, missing or could not be done."""
    WRONG_USAGE = 2
    DISK_FULL = 75
    """`EX_TEMPFAIL` of sysexits.h: a retry helps when there is room."""
    WRONG_SETTINGS = 78
    """`EX_CONFIG` of sysexits.h: a retry is of no use before the settings are changed."""
    INTERRUPTED = 130
    """By Ctrl-C, as in the shell."""
    TERMINATED = 143
    """By SIGTERM, as in the shell."""


class CommandError(Exception):
    """A command cannot do what it was asked for; the text has the reason and the remedy, in one line."""


def say(text: str) -> None:
    """Writes a line for people, beside the results on standard output."""
    sys.stderr.write(f"marketflow: {text}\n")
    sys.stderr.flush()


@contextmanager
def ends_in_words(*, debug: bool) -> Iterator[None]:
    """Turns every error inside into a line and an exit code. With `debug` an unexpected one has its traceback too."""
    try:
        raise_on_interrupt()
        yield
    except (typer.Exit, typer.Abort, typer.TyperException):
        raise
    except BrokenPipeError:
        raise  # typer ends quietly
    except KeyboardInterrupt as interrupt:
        raise typer.Exit(exit_code_of(interrupt)) from None
    except Exception as error:
        raise typer.Exit(_explained(error, debug=debug)) from error


def _explained(error: Exception, *, debug: bool) -> ExitCode:
    from flows.process.disk import explained, is_no_room
    from flows.settings import SettingsError

    if is_no_room(error):
        say(explained(error))
        return ExitCode.DISK_FULL
    if isinstance(error, CommandError):
        say(str(error))
        return ExitCode.FAILED
    if isinstance(error, SettingsError):
        say(str(error))
        return ExitCode.WRONG_SETTINGS
    if debug:
        traceback.print_exception(error, file=sys.stderr)
        return ExitCode.FAILED
    reason = " ".join(str(error).split())
    say(f"{type(error).__name__}{f': {reason}' if reason else ''} (an error of ours; marketflow --debug … shows where)")
    return ExitCode.FAILED


class Commands(TyperGroup):
    """The commands, each of which ends in words."""

    def invoke(self, ctx: Any) -> Any:
        """Runs the command that the arguments name."""
        with ends_in_words(debug=bool(ctx.params.get("debug"))):
            return super().invoke(ctx)
