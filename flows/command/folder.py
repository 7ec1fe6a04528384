"""The folder of a deployment, as commands take it that look into its stores themselves."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from flows.supervision.spec import LIVE_FOLDER

Folder: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="Where the deployment has its stores; default: that of --of, else data.", show_default=False),
]


def folder_of(context: typer.Context, folder: Path | None) -> Path:
    """The folder that was named, else that of `--of`, else the live one."""
    return folder or asked_of(context) or LIVE_FOLDER


def asked_of(context: typer.Context) -> Path | None:
    """The folder of `--of`."""
    of: Path | None = context.find_root().params.get("of")  # that of the whole command, also from within a group
    return of
