"""The pages name their modules, so that a browser asks for all of them at once."""

import re
from pathlib import Path, PurePosixPath

import pytest

from api.routes.static import DASHBOARD

IMPORT = re.compile(r"""^(?:import|export)\b[^"]*?from "(\.[^"]+)\"""", flags=re.MULTILINE)
PRELOAD = re.compile(r'<link rel="modulepreload" href="/static/([^"]+)">')
ENTRY = re.compile(r'<script type="module" src="/static/([^"]+)">')


def imported(path: Path) -> set[Path]:
    """The modules that a module imports, and those that these import."""
    found: set[Path] = set()
    left = [path]
    while left:
        module = left.pop()
        for name in IMPORT.findall(module.read_text()):
            other = (module.parent / name).resolve()
            if other not in found:
                found.add(other)
                left.append(other)
    return found


@pytest.mark.parametrize("page", ["index.html", "quality.html", "operations.html", "docs.html"])
def test_a_page_preloads_what_it_imports_and_nothing_else(page: str) -> None:
    text = (DASHBOARD / page).read_text()
    [entry] = ENTRY.findall(text)
    wanted = {str(PurePosixPath(one.relative_to(DASHBOARD))) for one in imported(DASHBOARD / entry)}
    named = [name for name in PRELOAD.findall(text) if not name.startswith("vendor/")]
    assert sorted(named) == sorted(wanted)
