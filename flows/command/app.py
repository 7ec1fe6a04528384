"""All commands together."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from flows.command import (
    backup,
    config,
    deployment,
    export,
    handover,
    health,
    importing,
    notebook,
    publishing,
    status,
    symbols,
    tail,
)
from flows.command.doctor import command as doctor
from flows.command.lake import command as lake
from flows.command.outcome import Commands
from flows.command.rules import alerts
from flows.process.gc import keep_loaded
from flows.process.interrupts import end_on_interrupt

PROGRAM = "marketflow"
_STARTING = frozenset(("demo", "run"))

_EPILOG = """\
Exit codes: 0 done, 1 something is false, missing or failed, 2 wrong usage, 78 wrong settings, 130 Ctrl-C,
143 SIGTERM.

Every command explains itself: marketflow status --help. Settings: docs/settings.md, or marketflow config init.
"""


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from flows.process.version import version

        typer.echo(f"{PROGRAM} {version()}")
        raise typer.Exit


def _ask(folder: Path, command: str | None) -> None:
    """Puts the variables of a deployment into the environment, where the command finds them."""
    from flows.supervision.known import UnknownDeploymentError, known

    if command in _STARTING:
        raise typer.BadParameter(f"{command} starts a deployment: name its folder by --folder", param_hint="--of")
    try:
        os.environ.update(known(folder))
    except UnknownDeploymentError as error:
        raise typer.BadParameter(str(error), param_hint="--of") from None


def _options(
    context: typer.Context,
    *,
    of: Annotated[
        Path | None, typer.Option(metavar="FOLDER", help="Ask the deployment that was started in this folder.")
    ] = None,
    debug: Annotated[  # noqa: ARG001 - `Commands` takes it from the context
        bool, typer.Option("--debug", help="Show where an unexpected error comes from.")
    ] = False,
    _: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and end.")
    ] = False,
) -> None:
    """Streaming crypto market data: complete, proven, simple to run."""
    if of is not None:
        _ask(of, context.invoked_subcommand)


def build_app() -> typer.Typer:
    """The command with all its subcommands."""
    app = typer.Typer(
        name=PROGRAM,
        cls=Commands,
        epilog=_EPILOG,
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    stored = importing, backup, export, lake, publishing, notebook
    for part in (deployment, status, health, tail, symbols, alerts, handover, *stored, config, doctor):
        part.add_to(app)
    return app


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    try:
        build_app()(list(sys.argv[1:] if arguments is None else arguments), prog_name=PROGRAM)
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
            return 1
        return end.code or 0
    finally:
        end_on_interrupt(ends_work=True)
        keep_loaded()
    return 0
