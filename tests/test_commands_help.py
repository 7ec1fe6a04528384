"""Every module that people start explains itself, and starts nothing when it does."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fakes.deployment import ROOT

pytestmark = pytest.mark.e2e

COMMANDS = (
    "api",
    "api.deadman",
    "api.mcp",
    "flows.recovery",
    "flows.supervision",
    "flows.verify",
    "sinks.mongod",
    "sources.record",
    "sources.replay",
)


def run(module: str, argument: str, folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", module, argument]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("module", COMMANDS)
def test_help_is_printed_and_a_wrong_argument_is_refused(module: str, tmp_path: Path) -> None:
    helped = run(module, "--help", tmp_path)
    assert (helped.returncode, helped.stderr) == (0, "")
    assert helped.stdout.startswith(f"usage: python -m {module}")
    refused = run(module, "--nonsense", tmp_path)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert refused.stderr
    assert list(tmp_path.iterdir()) == []
