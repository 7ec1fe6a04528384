import json
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from flows.command.app import main
from flows.supervision.known import remember
from tests.commands_page import commands
from tests.fakes.deployment import ROOT

Call = Callable[..., Result]
HEAVY = ("bytewax", "httpx", "pymongo", "polars", "pydantic_settings", "rocksdict", "structlog", "websockets")


def test_the_version_is_that_of_the_project(call: Call) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    ended = call("--version")
    assert (ended.exit_code, ended.stdout) == (0, f"marketflow {project['version']}\n")


@pytest.mark.parametrize("path", commands())
def test_every_command_explains_itself_with_examples(path: str, call: Call) -> None:
    ended = call(*path.split(), "--help")
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert f"marketflow {path}" in ended.stdout
    assert "xamples:" in ended.stdout


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["status", "--nonsense"], ["symbols", "add"], ["config", "nonsense"]]
)
def test_what_cannot_be_understood_is_wrong_usage(arguments: list[str], call: Call) -> None:
    ended = call(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")


@pytest.mark.parametrize("arguments", [[], ["symbols"], ["config"]])
def test_without_a_command_there_is_help(arguments: list[str], call: Call) -> None:
    ended = call(*arguments)
    assert "--help" in ended.stdout


def test_wrong_settings_are_an_exit_code_of_their_own(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_HUB__PORT", "many")
    for arguments in (
        ["status"],
        ["tail"],
        ["symbols", "list"],
        ["config", "show"],
        ["verify"],
        ["replay"],
        ["import"],
    ):
        ended = call(*arguments)
        assert ended.exit_code == 78, arguments
        assert "hub.port" in ended.stderr
        assert "'many'" in ended.stderr


def test_a_command_asks_the_deployment_of_a_folder(call: Call, folder: Path) -> None:
    remember(folder / "there", {"MARKETFLOW_HUB__PORT": "7777"})
    shown = call("--of", "there", "config", "show", "hub", "--changed", "--json")
    assert [(one["setting"], one["value"]) for one in json.loads(shown.stdout)] == [("hub.port", 7777)]


@pytest.mark.parametrize(
    "arguments", [["--of", "nowhere", "status"], ["--of", "there", "demo"], ["--of", "there", "run"]]
)
def test_only_a_deployment_that_was_started_can_be_asked(arguments: list[str], call: Call, folder: Path) -> None:
    remember(folder / "there", {})
    ended = call(*arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "--of" in ended.stderr


def test_the_entry_point_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert main(["nonsense"]) == 2
    assert main(["verify", "--symbols", ""]) == 2
    assert "name at least one" in capsys.readouterr().err


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom flows.command.app import main\n"
        f"assert main(['status', '--help']) == 0\nprint(sorted(set({HEAVY}) & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
