import re
from pathlib import Path

import pytest

from flows.settings import Settings
from tests.picture import README, current, picture
from tests.settings_table import current_table, table

ROOT = Path(__file__).parents[1]


def test_the_picture_of_the_flow_is_current() -> None:
    assert current() == picture(), "run `make picture`"


def test_every_command_of_the_readme_exists() -> None:
    made = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"`?make ([a-z]+)", README.read_text()))
    assert {"run", "demo", "test", "check", "bench"} <= named <= made


def test_every_module_that_the_readme_runs_exists() -> None:
    for module in re.findall(r"python -m ((?:sources|sinks|api)[\w.]*)", README.read_text()):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").is_file() or (path / "__main__.py").is_file(), module


@pytest.mark.parametrize("section", list(Settings.model_fields))
def test_every_setting_stands_in_the_readme_with_its_default(section: str) -> None:
    text = README.read_text()
    model = Settings.model_fields[section].annotation
    for key in model.model_fields:  # type: ignore[union-attr]
        assert f"`{section}.{key}`" in text, f"{section}.{key} is missing: run `make picture`"


def test_the_settings_table_is_current() -> None:
    assert current_table() == table(), "run `make picture`"


def test_the_code_speaks_of_itself_only() -> None:
    """No machine's paths, no registry's address in what is committed."""
    lock = (ROOT / "deploy" / "requirements.lock").read_text()
    assert not re.search(r"https?://|file:", lock)
