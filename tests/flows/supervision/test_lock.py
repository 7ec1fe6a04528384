"""One instance in a folder."""

import os
from pathlib import Path

import pytest

from flows.supervision.lock import AlreadyRunningError, claim


def test_a_claimed_folder_is_refused_until_the_first_one_has_ended(tmp_path: Path) -> None:
    folder = tmp_path / "new" / "data"
    with claim(folder):
        for _ in range(2):  # a refusal leaves the first one's name
            with pytest.raises(AlreadyRunningError, match=rf"already running here \(pid {os.getpid()}, since"):
                claim(folder)
    claim(folder).close()
    assert not folder.exists()


def test_the_lock_is_beside_the_folder_that_may_be_emptied(tmp_path: Path) -> None:
    with claim(tmp_path / "data"):
        assert (tmp_path / "data.lock").exists()


def test_nothing_is_left_of_a_claim_that_was_given_back(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    claimed = claim(folder)
    claimed.close()
    assert list(tmp_path.iterdir()) == []
    with claim(folder):
        claimed.close()  # what another holds now is left alone
        assert (tmp_path / "data.lock").exists()


def test_a_lock_that_was_removed_meanwhile_is_no_claim(tmp_path: Path) -> None:
    path = tmp_path / "data.lock"
    with claim(tmp_path / "data"):
        path.unlink()  # the folder's file is another one from here on
        with claim(tmp_path / "data"):
            assert path.read_text().startswith(f"pid {os.getpid()}, since ")
