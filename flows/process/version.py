"""The version of this installation."""

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any, Final

DISTRIBUTION: Final = "marketflow-data"
_ROOT: Final = Path(__file__).parents[2]


def version() -> str:
    """The version of the installed package, else that of the checkout."""
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        project = in_checkout()
        return str(project["version"]) if project else "unknown"


def how_to_install(extra: str) -> str:
    """The command that brings the packages of an extra: in a checkout that of its Makefile, whose environment has all
    of them.
    """
    if (_ROOT / "Makefile").is_file() and in_checkout():
        return "make dev"
    return f"pip install '{DISTRIBUTION}[{extra}]'"


def in_checkout() -> dict[str, Any]:
    """The table `project` of the checkout that this file is part of; empty where there is none."""
    path = _ROOT / "pyproject.toml"
    if not path.is_file():
        return {}
    project: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8")).get("project", {})
    return project if project.get("name") == DISTRIBUTION else {}
