"""What a deployment tells other commands of itself: the settings by which they find it, in a file of its folder."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

FILE: Final = "deployment.json"
_ORIGIN: Final = "MARKETFLOW_FEED__ORIGIN"
_TRADES: Final = "MARKETFLOW_TRADES__PATH"
"""Kept as it lies in the folder, where it does: a copy of the folder must not lead to the stores of the original."""


class UnknownDeploymentError(Exception):
    """No deployment has been started in the folder; the text says so, and what to do."""


def remember(folder: Path, variables: Mapping[str, str]) -> None:
    """Writes the variables of a deployment that starts. `OSError` when the folder cannot be written."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / f"{FILE}.new"
    new.write_text(json.dumps({**variables, **_trades_within(folder, variables)}, indent=1))
    new.replace(folder / FILE)


def holds_another(folder: Path) -> bool:
    """Whether there is something in a folder, or in its place, that no demo has left: it must not be emptied."""
    try:
        if not any(folder.iterdir()):
            return False
        return known(folder).get(_ORIGIN) != "synthetic"
    except FileNotFoundError:
        return False
    except (OSError, UnknownDeploymentError):
        return True


def known(folder: Path) -> dict[str, str]:
    """The variables of the deployment that was started last in a folder. `UnknownDeploymentError` without one."""
    try:
        read = json.loads((folder / FILE).read_text())
        variables = {str(name): str(value) for name, value in read.items()}
    except FileNotFoundError:
        raise UnknownDeploymentError(f"no deployment has been started in {folder}: see marketflow run --help") from None
    except (OSError, ValueError, AttributeError) as error:
        raise UnknownDeploymentError(f"{folder / FILE} cannot be read ({error}): start the deployment again") from None
    if _TRADES in variables:
        variables[_TRADES] = str(folder.absolute() / variables[_TRADES])
    return variables


def _trades_within(folder: Path, variables: Mapping[str, str]) -> dict[str, str]:
    """The path of the trades from the folder, where they are in it."""
    trades, place = Path(variables.get(_TRADES, "")), folder.absolute()
    return {_TRADES: str(trades.relative_to(place))} if trades.is_relative_to(place) else {}
