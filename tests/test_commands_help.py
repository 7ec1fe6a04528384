"""Every module and every command that people start explains itself, and starts nothing when it does."""

import os
import runpy
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from flows.command.app import PROGRAM, build_app
from tests.commands_page import commands
from tests.fakes.deployment import ROOT

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


class Done(NamedTuple):
    """How a command has ended."""

    code: int | str | None
    out: str
    err: str


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, which is empty; no settings come from outside."""
    for name in [name for name in os.environ if name.startswith("MARKETFLOW_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def process(folder: Path, *arguments: str) -> Done:
    """Runs `python -m`."""
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    return Done(done.returncode, done.stdout, done.stderr)


def assert_explained(helped: Done, refused: Done, folder: Path, usage: str) -> None:
    """As asked for with `--help`, and with an argument that does not exist."""
    assert (helped.code, helped.err) == (0, "")
    assert usage in helped.out
    assert (refused.code, refused.out) == (2, "")
    assert refused.err
    assert list(folder.iterdir()) == []


@pytest.mark.filterwarnings("ignore:.*found in sys.modules:RuntimeWarning")
@pytest.mark.parametrize("module", MODULES)
def test_help_is_printed_and_a_wrong_argument_is_refused(
    module: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(argument: str) -> Done:
        monkeypatch.setattr(sys, "argv", [module, argument])
        with pytest.raises(SystemExit) as end:
            runpy.run_module(module, run_name="__main__", alter_sys=True)
        return Done(end.value.code, *capsys.readouterr())

    helped = run("--help")
    assert helped.out.startswith("usage: ")
    assert_explained(helped, run("--nonsense"), folder, f"usage: python -m {module}")


@pytest.mark.parametrize("path", ["", *commands()])
def test_the_same_of_every_command(path: str, folder: Path) -> None:
    def run(argument: str) -> Done:
        done = CliRunner().invoke(build_app(), [*path.split(), argument], prog_name=PROGRAM)
        return Done(done.exit_code, done.stdout, done.stderr)

    assert_explained(run("--help"), run("--nonsense"), folder, f"sage: {f'{PROGRAM} {path}'.strip()} ")


@pytest.mark.e2e
@pytest.mark.parametrize(
    ("arguments", "usage"),
    [
        (("sinks.mongod",), "usage: python -m sinks.mongod"),
        (("flows",), "sage: marketflow "),
        (("flows", "replay"), "sage: marketflow replay "),
    ],
)
def test_the_same_of_processes(arguments: tuple[str, ...], usage: str, folder: Path) -> None:
    helped, refused = process(folder, *arguments, "--help"), process(folder, *arguments, "--nonsense")
    assert_explained(helped, refused, folder, usage)
