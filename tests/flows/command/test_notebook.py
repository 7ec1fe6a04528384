import os
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from flows.command import notebook
from flows.command.notebook import IN_REPOSITORY, notebook_at
from flows.command.outcome import CommandError

Call = Callable[..., Result]


def test_in_the_repository_it_is_the_projects_own(folder: Path) -> None:
    assert notebook_at(None) == IN_REPOSITORY
    assert list(folder.iterdir()) == []


def test_another_name_is_a_copy_that_is_kept(folder: Path) -> None:
    path = notebook_at(Path("studies/mine.py"))
    assert (folder / path).read_bytes() == IN_REPOSITORY.read_bytes()
    path.write_text("# mine\n")
    assert notebook_at(path).read_text() == "# mine\n"


def test_without_the_repository_it_is_a_copy_of_the_packages(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    packaged = folder / "packaged.py"
    packaged.write_text("# packaged\n")
    monkeypatch.setattr(notebook, "PACKAGED", packaged)
    monkeypatch.setattr(notebook, "IN_REPOSITORY", folder / "absent.py")
    path = notebook_at(None)
    assert (path, path.read_text()) == (Path("notebooks/explore.py"), "# packaged\n")


def test_a_place_that_cannot_be_written_is_named(folder: Path) -> None:
    (folder / "file").write_text("")
    with pytest.raises(CommandError, match=r"file/mine\.py"):
        notebook_at(Path("file/mine.py"))


def test_it_becomes_marimo(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    became: list[list[str]] = []
    monkeypatch.setattr(os, "execv", lambda _, program: became.append(program))
    assert call("notebook", "--read-only", "--headless").exit_code == 0
    assert became[0][1:] == ["-m", "marimo", "run", str(IN_REPOSITORY), "--headless"]


def test_without_marimo_it_says_how_to_install_it(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notebook, "find_spec", lambda _: None)
    ended = call("notebook")
    assert (ended.exit_code, ended.stdout) == (1, "")
    assert "the notebook needs marimo and altair: make dev" in ended.stderr
