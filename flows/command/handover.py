"""`marketflow verify`, `record`, `replay`, `mcp`: other commands of the project, with their own options."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any, Final

import typer
from typer.core import TyperCommand

from flows.command.examples import plain_epilog
from flows.command.folder import asked_of
from flows.process.interrupts import end_on_interrupt

HANDED_OVER: Final = {
    "verify": ("flows.verify", "Verifies that the stored candles are what they claim to be."),
    "record": ("sources.record", "Records the exchange into a tape that the replay exchange plays."),
    "replay": ("sources.replay.__main__", "Serves tapes or a synthetic market as an exchange on this machine."),
    "mcp": ("api.mcp.__main__", "Serves tools for agents over the Model Context Protocol."),
}
"""Module, and summary, by command."""
_LOOKS_INTO_STORES: Final = "verify"
"""It needs the folder of `--of` besides its variables."""
_HELP: Final = frozenset(("-h", "--help"))


class _Untouched(TyperCommand):
    """Parses nothing: all arguments are for the module's own parser, `--help` too."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Keeps the arguments as they are."""
        ctx.args = args
        return args


def add_to(app: typer.Typer) -> None:
    """Adds the commands."""
    for name, (module, summary) in HANDED_OVER.items():
        app.command(name, cls=_Untouched, help=summary, add_help_option=False)(_handing_over(name, module))


def _handing_over(name: str, module: str) -> Callable[[typer.Context], None]:
    def hand_over(context: typer.Context) -> None:
        of = asked_of(context) if name == _LOOKS_INTO_STORES else None
        raise typer.Exit(run(name, module, [*(("--folder", str(of)) if of else ()), *context.args]))

    return hand_over


def run(name: str, module: str, arguments: Sequence[str]) -> int:
    """Runs the `main` of a module as a command of this name; its exit code. `SettingsError` for wrong settings, which
    help does not need.
    """
    if not _HELP & set(arguments):
        from flows.settings import load_settings

        load_settings()
    end_on_interrupt(ends_work=True)  # the module says itself from where on it handles one
    main: Callable[..., int | None] = import_module(module).main
    return main(list(arguments), prog=f"marketflow {name}", epilog=plain_epilog(name)) or 0
