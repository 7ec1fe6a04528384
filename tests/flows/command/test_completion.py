"""Names and options on the tab key, asked for as the shells do."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands_page import commands
from tests.fakes.deployment import ROOT

pytestmark = pytest.mark.e2e

LINES = {
    "sym": ["symbols"],
    "symbols ": ["list", "add", "remove"],
    "symbols add --st": ["--stream"],
    "--of data/demo stat": ["status"],
    "re": ["record", "replay", "restore"],
    "backup --f": ["--folder"],
    "nonsense": [],
}
"""What is offered, by what stands behind the command."""


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    """A home of its own, with the command on its path."""
    command = folder / "bin" / "marketflow"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m flows "$@"\n')
    command.chmod(0o755)
    path = os.pathsep.join((str(command.parent), os.environ["PATH"]))
    return {"HOME": str(folder), "PATH": path, "PYTHONPATH": str(ROOT)}


def in_bash(script: str, environment: dict[str, str]) -> str:
    return subprocess.run(["bash", "-c", script], env=environment, capture_output=True, text=True, check=True).stdout


def pressed(line: str) -> str:
    """The tab key behind a line, as bash calls what the command has told it."""
    words = [*line.split(), *([""] if line.endswith(" ") else [])]
    quoted = " ".join(f"'{word}'" for word in ("marketflow", *words))
    return (
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(words)}; COMPREPLY=(); _marketflow_completion marketflow; "
        f'echo "{line}:${{COMPREPLY[*]}}"'
    )


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_offers_commands_and_options(environment: dict[str, str]) -> None:
    script = "; ".join(('eval "$(marketflow --show-completion)"', *map(pressed, LINES)))
    offered = dict(line.split(":") for line in in_bash(script, environment).splitlines())
    assert {line: sorted(found.split()) for line, found in offered.items()} == {
        line: sorted(expected) for line, expected in LINES.items()
    }


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_has_it_after_it_was_installed(environment: dict[str, str], folder: Path) -> None:
    in_bash("marketflow --install-completion; true", environment)
    assert (folder / ".bashrc").is_file()
    said = in_bash(f". ~/.bashrc; complete -p marketflow; {pressed('sym')}", environment)
    assert "_marketflow_completion marketflow" in said
    assert said.endswith("sym:symbols\n")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_are_told_every_command(shell: str, environment: dict[str, str]) -> None:
    asked = {
        "_MARKETFLOW_COMPLETE": f"complete_{shell}",
        "_TYPER_COMPLETE_ARGS": "marketflow ",
        "_TYPER_COMPLETE_FISH_ACTION": "get-args",
    }
    told = subprocess.run(["marketflow"], env=environment | asked, capture_output=True, text=True, check=False).stdout
    assert {path.split()[0] for path in commands() if path.split()[0] not in told} == set()
