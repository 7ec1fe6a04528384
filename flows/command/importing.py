"""`marketflow import`: the import of history, with its settings as options."""

import os
import sys
from typing import Annotated

import typer

from flows.command.examples import epilog

ENGINE = ("-m", "bytewax.run", "flows.backfill")


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command("import", epilog=epilog("import"))(import_history)


def import_history(
    *,
    start: Annotated[str, typer.Option(metavar="TIME", help="Begin: a day, or a time; UTC.")] = "",
    end: Annotated[str, typer.Option(metavar="TIME", help="The day after the last one, or a time.")] = "",
    source: Annotated[str, typer.Option(help="archive, rest, or a folder with the exchange's files.")] = "",
    symbols: Annotated[str, typer.Option(metavar="A,B", help="Default: all in a folder, else the settings'.")] = "",
    venue: Annotated[str, typer.Option(help="The exchange; needed where several are followed.")] = "",
    kinds: Annotated[str, typer.Option(help="trades, klines, or both with a comma.")] = "",
    cache: Annotated[str, typer.Option(metavar="FOLDER", help="Where downloaded files are kept.")] = "",
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be read.")] = False,
) -> None:
    """Imports the exchange's public files, or what its REST side has, into the stores.

    An option that is left out is its setting of the section `backfill`. No flow may use the trade store meanwhile.
    """
    given = {"start": start, "end": end, "source": source, "symbols": symbols, "venue": venue}
    given |= {"kinds": kinds, "cache": cache}
    chosen = {key: value for key, value in given.items() if value} | ({"dry_run": "true"} if dry_run else {})
    _check(chosen)
    os.environ.update({f"MARKETFLOW_BACKFILL__{key.upper()}": value for key, value in chosen.items()})
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, *ENGINE])  # noqa: S606 - the engine runs a module by its name


def _check(chosen: dict[str, str]) -> None:
    """Refuses what the import would refuse after seconds of imports. `SettingsError` for wrong settings."""
    from flows.settings import load_settings

    settings = load_settings(backfill=chosen) if chosen else load_settings()
    backfill = settings.to_import().backfill
    if backfill.source in ("archive", "rest") and backfill.start is None:
        raise typer.BadParameter("say from when on, as in --start 2024-10-01", param_hint="--start")
