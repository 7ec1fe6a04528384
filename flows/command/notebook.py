"""`marketflow notebook`: the stored data in a marimo notebook."""

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Final

import typer

from flows.command.examples import epilog
from flows.command.outcome import CommandError
from flows.process.disk import whole_file
from flows.process.version import how_to_install

NOTEBOOK: Final = "explore.py"
PACKAGED: Final = Path(__file__).with_name(NOTEBOOK)
"""Where a wheel has it."""
IN_REPOSITORY: Final = Path(__file__).parents[2] / "notebooks" / NOTEBOOK


def add_to(app: typer.Typer) -> None:
    """Adds the command."""
    app.command(epilog=epilog("notebook"))(notebook)


def notebook(
    path: Annotated[Path | None, typer.Argument(help="A notebook of yours; it is made if it is not there.")] = None,
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Show results and controls, not the code.")] = False,
    headless: Annotated[bool, typer.Option("--headless", help="Open no browser; the address is printed.")] = False,
) -> None:
    """Opens a notebook over the stored data, which the flow may be writing.

    Without a name it is the project's own, or `notebooks/explore.py` in the working directory, which an installed
    package makes there, so that yours can be changed.
    """
    if find_spec("marimo") is None or find_spec("altair") is None:
        raise CommandError(f"the notebook needs marimo and altair: {how_to_install('notebooks')}")
    opened = notebook_at(path)
    flags = ["--headless"] if headless else []
    sys.stdout.flush()
    program = [sys.executable, "-m", "marimo", "run" if read_only else "edit", str(opened), *flags]
    os.execv(sys.executable, program)  # noqa: S606 - signals and exit code are the notebook's


def notebook_at(path: Path | None) -> Path:
    """The notebook to open: the repository's own, or a copy in the working directory. `CommandError` when it cannot be
    copied.
    """
    if path is None and IN_REPOSITORY.is_file():
        return IN_REPOSITORY
    target = path or Path("notebooks") / NOTEBOOK
    if target.exists():
        return target
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(target) as place:
            shutil.copyfile(PACKAGED if PACKAGED.is_file() else IN_REPOSITORY, place)
    except OSError as error:
        raise CommandError(
            f"the notebook cannot be copied to {target}: {error.strerror}: name another place"
        ) from error
    return target
