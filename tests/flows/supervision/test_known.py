import re
import shutil
from pathlib import Path

import pytest

from flows.supervision.known import FILE, UnknownDeploymentError, holds_another, known, remember


def test_what_a_deployment_tells_of_itself_is_known_afterwards(tmp_path: Path) -> None:
    remember(tmp_path / "there", {"A": "1", "B": "a path with spaces"})
    remember(tmp_path / "there", {"A": "2"})
    assert known(tmp_path / "there") == {"A": "2"}


def test_a_copy_of_a_folder_has_the_trades_that_are_in_it(tmp_path: Path) -> None:
    there, copy = tmp_path / "there", tmp_path / "elsewhere" / "copy"
    remember(there, {"MARKETFLOW_TRADES__PATH": str(there / "trades"), "A": "1"})
    shutil.copytree(there, copy)
    assert known(there) == {"MARKETFLOW_TRADES__PATH": str(there / "trades"), "A": "1"}
    assert known(copy) == {"MARKETFLOW_TRADES__PATH": str(copy / "trades"), "A": "1"}


def test_trades_in_another_place_stay_there(tmp_path: Path) -> None:
    there, copy = tmp_path / "there", tmp_path / "copy"
    remember(there, {"MARKETFLOW_TRADES__PATH": str(tmp_path / "disk" / "trades")})
    shutil.copytree(there, copy)
    assert known(copy) == {"MARKETFLOW_TRADES__PATH": str(tmp_path / "disk" / "trades")}


def test_a_folder_without_a_deployment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownDeploymentError, match=re.escape(str(tmp_path))):
        known(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"A"'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UnknownDeploymentError, match=FILE):
        known(tmp_path)


def test_only_what_a_demo_has_left_may_be_emptied(tmp_path: Path) -> None:
    folder = tmp_path / "there"
    assert not holds_another(folder)
    folder.mkdir()
    assert not holds_another(folder)
    remember(folder, {"MARKETFLOW_FEED__ORIGIN": "synthetic"})
    assert not holds_another(folder)
    remember(folder, {"MARKETFLOW_TRADES__PATH": "of a live one"})
    assert holds_another(folder)
    (folder / FILE).rename(folder / "letters.txt")
    assert holds_another(folder)
    assert holds_another(folder / "letters.txt")
