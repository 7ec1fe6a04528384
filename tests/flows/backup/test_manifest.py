import json
from pathlib import Path
from typing import Any

import pytest

from flows.backup.manifest import (
    FILE,
    FORMAT,
    BackupError,
    FileDigest,
    Manifest,
    check_digests,
    digest_of,
    read_manifest,
    write_manifest,
)
from tests.flows.backup.conftest import ignored

EMPTY = Manifest(FORMAT, "2026-01-01T00:00:00+00:00", {}, {}, {}, [])


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    write_manifest(tmp_path, EMPTY)
    assert read_manifest(tmp_path) == EMPTY


@pytest.mark.parametrize("change", [{"format": FORMAT + 1}, {"format": "1"}, {"files": None}, {"files": [{}]}])
def test_what_another_program_has_written_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    write_manifest(tmp_path, EMPTY)
    (tmp_path / FILE).write_text(json.dumps(json.loads((tmp_path / FILE).read_text()) | change))
    with pytest.raises(BackupError, match="use"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "\xff"])
def test_what_is_no_manifest_is_refused(text: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(text, encoding="latin-1")
    with pytest.raises(BackupError, match="cannot be read"):
        read_manifest(tmp_path)


def test_a_folder_without_one_is_no_backup(tmp_path: Path) -> None:
    with pytest.raises(BackupError, match="is no backup"):
        read_manifest(tmp_path)


def test_a_manifest_cannot_name_other_files_of_the_machine(tmp_path: Path) -> None:
    (tmp_path / "backup").mkdir()
    (tmp_path / "other").write_bytes(b"1")
    other = digest_of(tmp_path, tmp_path / "other")
    manifest = Manifest(FORMAT, "", {}, {}, {}, [FileDigest("../other", other.size, other.sha256)])
    with pytest.raises(BackupError, match="outside"):
        check_digests(tmp_path / "backup", manifest, ignored)
