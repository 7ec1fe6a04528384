import errno

import pytest
import typer
from typer.testing import CliRunner, Result

from flows.command.outcome import CommandError, Commands, ExitCode
from flows.process.disk import DiskFullError
from flows.process.interrupts import Terminated
from flows.settings import SettingsError

MAKE_ROOM = ": make room; its files are kept, and another start goes on"


def of_full_disk(text: str) -> CommandError:
    """A failure that names its cause."""
    error = CommandError(text)
    error.__cause__ = OSError(errno.ENOSPC, "No space left on device")
    return error


def ending(error: BaseException, *flags: str) -> Result:
    app = typer.Typer(cls=Commands, pretty_exceptions_enable=False)

    @app.callback()
    def options(*, debug: bool = False) -> None:
        pass

    @app.command()
    def fail() -> None:
        raise error

    return CliRunner().invoke(app, [*flags, "fail"])


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (CommandError("no way"), ExitCode.FAILED, "marketflow: no way\n"),
        (SettingsError("hub.port: wrong"), ExitCode.WRONG_SETTINGS, "marketflow: hub.port: wrong\n"),
        (DiskFullError("the disk of x is full"), ExitCode.DISK_FULL, "marketflow: the disk of x is full\n"),
        (of_full_disk("no room"), ExitCode.DISK_FULL, f"marketflow: no room{MAKE_ROOM}\n"),
        (typer.Exit(3), 3, ""),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED, ""),
        (Terminated(), ExitCode.TERMINATED, ""),
    ],
)
def test_an_end_has_its_exit_code_and_its_words(error: BaseException, code: int, line: str) -> None:
    ended = ending(error)
    assert (ended.exit_code, ended.stdout, ended.stderr) == (code, "", line)


def test_an_unexpected_error_is_one_line_that_names_the_option_for_more() -> None:
    ended = ending(ZeroDivisionError("of\nzero"))
    assert ended.exit_code == ExitCode.FAILED
    assert ended.stderr.startswith("marketflow: ZeroDivisionError: of zero")
    assert "--debug" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_with_debug_it_has_its_traceback() -> None:
    ended = ending(ZeroDivisionError("of zero"), "--debug")
    assert ended.exit_code == ExitCode.FAILED
    assert "raise error\nZeroDivisionError: of zero\n" in ended.stderr


def test_a_text_as_exit_code_is_a_failure() -> None:
    assert ending(SystemExit("why")).exit_code == ExitCode.FAILED
