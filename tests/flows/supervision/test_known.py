import re
from pathlib import Path

import pytest

from flows.supervision.known import FILE, UnknownDeploymentError, known, remember


def test_what_a_deployment_tells_of_itself_is_known_afterwards(tmp_path: Path) -> None:
    remember(tmp_path / "there", {"A": "1", "B": "a path with spaces"})
    remember(tmp_path / "there", {"A": "2"})
    assert known(tmp_path / "there") == {"A": "2"}


def test_a_folder_without_a_deployment_is_named(tmp_path: Path) -> None:
    with pytest.raises(UnknownDeploymentError, match=re.escape(str(tmp_path))):
        known(tmp_path)


@pytest.mark.parametrize("text", ["", "[1]", '{"A"'])
def test_a_damaged_file_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(UnknownDeploymentError, match=FILE):
        known(tmp_path)
