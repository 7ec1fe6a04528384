"""Whatever is imported is pinned: by the lock of what runs for the product, by the lock of developers for the tests.

A package that was installed by hand is not missed on the machine where it was, so the locks are asked, not the machine.
"""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CLIENTS = ("tests/conformance/clients", "tests/benchmarks/peer_programs")
"""Folders with modules that run in environments of their own, each with what the locks of `tests/conformance` pin."""
CLIENT_DISTRIBUTIONS = {
    "binance": ("python-binance", "binance-connector", "binance-futures-connector"),
    "binance_sdk_derivatives_trading_usds_futures": ("binance-sdk-derivatives-trading-usds-futures",),
    "binance_sdk_spot": ("binance-sdk-spot",),
}
OURS = {"flows", "sources", "sinks", "api", "tests", "deploy"}
DISTRIBUTIONS = packages_distributions()


def pinned(lock: str) -> set[str]:
    """The names of the distributions in a lock file, as pip normalises them."""
    return set(re.findall(r"^([a-z0-9][a-z0-9.-]*)==", (ROOT / "deploy" / lock).read_text(), re.MULTILINE))


def optional() -> set[str]:
    """The distributions that an extra of the package brings; what imports them says so where they are missing."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    return {normalised(re.split(r"[<>=!~;\[ ]", it)[0]) for names in extras.values() for it in names}


def imported(folder: str) -> Iterator[tuple[Path, str]]:
    """Each module of a folder with each foreign package that it imports, functions' own imports included."""
    for path in sorted((ROOT / folder).rglob("*.py")):
        if folder not in CLIENTS and any(path.is_relative_to(ROOT / clients) for clients in CLIENTS):
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            else:
                continue
            for name in names:
                top = name.partition(".")[0]
                is_beside = folder in CLIENTS and path.with_name(f"{top}.py").exists()
                if top not in OURS and top not in sys.stdlib_module_names and not is_beside:
                    yield path.relative_to(ROOT), top


def normalised(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize(
    ("folder", "lock"),
    [
        ("flows", "requirements.lock"),
        ("sources", "requirements.lock"),
        ("sinks", "requirements.lock"),
        ("api", "requirements.lock"),
        ("tests", "requirements-dev.lock"),
        ("deploy", "requirements-dev.lock"),
    ],
)
def test_every_import_is_pinned(folder: str, lock: str) -> None:
    names = pinned(lock) | optional()
    unpinned = {
        f"{path}: {top}"
        for path, top in imported(folder)
        if not {normalised(it) for it in DISTRIBUTIONS.get(top, [top])} & names
    }
    assert not unpinned


@pytest.mark.parametrize("folder", CLIENTS)
def test_every_import_of_a_foreign_client_is_pinned(folder: str) -> None:
    locks = (ROOT / "tests" / "conformance" / "locks").glob("*.lock")
    names = {name for lock in locks for name in pinned(str(lock))}
    unpinned = {
        f"{path}: {top}"
        for path, top in imported(folder)
        if not {normalised(it) for it in CLIENT_DISTRIBUTIONS.get(top, (top,))} <= names
    }
    assert not unpinned


def test_nothing_needs_what_a_new_environment_happens_to_hold() -> None:
    """`venv` of Python 3.11 brings setuptools, that of 3.12 does not, and an image has no pip either."""
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
        for folder in ("flows", "sources", "sinks", "api")
        for path in sorted((ROOT / folder).rglob("*.py"))
        if path.name != "__main__.py" and path != ROOT / "flows" / "main.py"  # which act when they are imported
    ]
    code = (
        "import importlib, sys\n"
        "sys.modules.update(dict.fromkeys(('pip', 'pkg_resources', 'setuptools', 'wheel')))\n"
        "for name in sys.argv[1:]: importlib.import_module(name)"
    )
    ran = subprocess.run([sys.executable, "-c", code, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
