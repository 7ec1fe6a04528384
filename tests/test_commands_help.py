"""Every module and every command that people start explains itself, and starts nothing when it does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands_page import commands
from tests.fakes.deployment import ROOT

pytestmark = pytest.mark.e2e

MODULES = (
    "api",
    "api.deadman",
    "api.mcp",
    "flows.recovery",
    "flows.verify",
    "sinks.mongod",
    "sources.record",
    "sources.replay",
)


def run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", *arguments]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", MODULES)
def test_help_is_printed_and_a_wrong_argument_is_refused(module: str, tmp_path: Path) -> None:
    helped = run(tmp_path, module, "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"usage: python -m {module}")
    refused = run(tmp_path, module, "--nonsense")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", ["", *commands()])
def test_the_same_of_every_command(path: str, tmp_path: Path) -> None:
    helped = run(tmp_path, "flows", *path.split(), "--help")
    assert (helped.returncode, helped.stderr) == (0, "")
    assert f"sage: {f'marketflow {path}'.strip()} " in helped.stdout
    refused = run(tmp_path, "flows", *path.split(), "--nonsense")
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr
    assert list(tmp_path.iterdir()) == []
