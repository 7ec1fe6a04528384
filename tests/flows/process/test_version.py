"""What an installation says of itself."""

from pathlib import Path

import pytest

from flows.process import version
from flows.process.version import how_to_install


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"Makefile": "", "pyproject.toml": '[project]\nname = "marketflow-data"'}, "make dev"),
        ({"pyproject.toml": '[project]\nname = "marketflow-data"'}, "pip install 'marketflow-data[keys]'"),
        ({"Makefile": "", "pyproject.toml": '[project]\nname = "another"'}, "pip install 'marketflow-data[keys]'"),
        ({"Makefile": ""}, "pip install 'marketflow-data[keys]'"),
        ({}, "pip install 'marketflow-data[keys]'"),
    ],
)
def test_a_checkout_with_a_makefile_installs_by_it_and_everything_else_by_pip(
    files: dict[str, str], command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(version, "_ROOT", tmp_path)
    assert how_to_install("keys") == command
