"""What commands load at their start, and how: each case is a process of its own."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]

IMPORTS = """
import ast, gc, importlib, sys
sys.orig_argv = sys.argv[3:]
importlib.import_module(sys.argv[2])
tree = ast.parse(open(sys.argv[1], encoding="utf-8").read())
tree.body = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
exec(compile(tree, sys.argv[1], "exec"))
print(gc.get_threshold()[0], *{name.partition(".")[0] for name, module in sys.modules.items() if module})
"""
"""Does the imports of a file of a package, as the command of the further arguments."""

HEAVY = frozenset(("cryptography", "nats", "numpy", "polars", "pygments", "talib"))
OF_STORES = frozenset(("bson", "pymongo", "rocksdict"))
OF_HTTP = frozenset(("aiohttp", "httpx", "websockets"))
OF_SETTINGS = frozenset(("pydantic", "pydantic_settings", "structlog"))
OF_COMMANDS = frozenset(("click", "rich", "typer"))


@pytest.mark.parametrize(
    ("file", "argv", "absent", "present"),
    [
        pytest.param(
            "flows/main.py",
            ["python", "-m", "bytewax.run", "flows.main"],
            HEAVY | OF_COMMANDS | {"aiohttp"},
            {"bytewax", "pymongo", "rocksdict", "httpx"},
            id="flow",
        ),
        pytest.param(
            "api/__main__.py",
            ["python", "-m", "api"],
            HEAVY | OF_COMMANDS | {"bytewax", "httpx", "zstandard"},
            {"aiohttp", "pymongo"},
            id="api",
        ),
        pytest.param(
            "sinks/mongod/__main__.py",
            ["python", "-m", "sinks.mongod"],
            HEAVY | OF_COMMANDS | OF_HTTP | {"bytewax", "rocksdict"},
            {"pymongo"},
            id="mongod",
        ),
        pytest.param(
            "sources/replay/__main__.py",
            ["python", "-m", "sources.replay"],
            OF_COMMANDS | OF_STORES | {"bytewax", "cryptography", "httpx", "talib"},
            {"aiohttp", "polars"},
            id="replay",
        ),
        pytest.param(
            "flows/command/app.py",
            ["python", "/usr/bin/marketflow"],
            HEAVY | OF_HTTP | OF_SETTINGS | OF_STORES | {"bytewax"},
            {"typer"},
            id="command",
        ),
        pytest.param(
            "flows/supervision/supervisor.py",
            ["python", "-m", "flows"],
            HEAVY | OF_COMMANDS | OF_HTTP | OF_SETTINGS | OF_STORES | {"asyncio", "bytewax"},
            {"subprocess"},
            id="supervisor",
        ),
    ],
)
def test_a_command_does_not_load_what_it_does_not_need(
    file: str, argv: list[str], absent: frozenset[str], present: set[str]
) -> None:
    threshold, *loaded = _loaded(file, argv)
    assert absent.intersection(loaded) == set()
    assert present.difference(loaded) == set()
    assert threshold == "50000"


def test_a_program_that_imports_the_project_loads_as_it_likes() -> None:
    threshold, *loaded = _loaded("flows/process/logs.py", ["python", "program.py"])
    assert threshold == "700"
    assert "rich" in loaded


def test_indicators_are_computed_without_polars() -> None:
    computes = """
import sys
sys.orig_argv = ["python", "-m", "api"]
import api.analytics.indicators as indicators
print(indicators.talib.SMA(indicators.np.arange(4.0), 2).tolist(), "polars" in sys.modules)
from sinks.trades.codec import decode_frame
print(decode_frame([]).height, "polars" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", computes], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ["[nan, 0.5, 1.5, 2.5] False", "0 True"]


def _loaded(file: str, argv: list[str]) -> list[str]:
    """The threshold of the garbage collector, and the packages that are loaded."""
    package = ".".join(Path(file).parts[:-1])
    done = subprocess.run(
        [sys.executable, "-c", IMPORTS, ROOT / file, package, *argv],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.split()
