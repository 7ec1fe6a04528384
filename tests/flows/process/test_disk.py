"""A disk without room, by its errors."""

import errno
import os
from pathlib import Path

import pytest

from flows.process.disk import (
    NEEDED,
    DiskFullError,
    disk_full,
    explained,
    free_bytes,
    is_no_room,
    need_room,
    unwritable,
    whole_file,
)


def raised(text: str, cause: Exception) -> Exception:
    """An error that was raised from another one."""
    error = ValueError(text)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "is_full"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), True),
        (OSError(errno.EACCES, "Permission denied"), False),
        (DiskFullError("the disk of data is full"), True),
        (raised("log.file: x cannot be written", OSError(errno.ENOSPC, "x")), True),
        (raised("log.file: x cannot be written", OSError(errno.EROFS, "x")), False),
        # as the engine and RocksDB's binding have it
        (RuntimeError('SqliteFailure(Error { code: DiskFull }, Some("database or disk is full"))'), True),
        (RuntimeError('SqliteFailure(Error { code: DatabaseBusy }, Some("database is locked"))'), False),
        (Exception("IO error: No space left on device: While appending to file: /data/000009.sst"), True),
    ],
)
def test_which_errors_mean_it(error: Exception, is_full: bool) -> None:
    assert is_no_room(error) == is_full


def test_the_sentence_names_the_folder_and_the_remedy(tmp_path: Path) -> None:
    folder = tmp_path / "not" / "made"
    said = disk_full(folder)
    assert said.startswith(f"the disk of {folder} is full (")
    assert said.endswith(" MB free): make room; its files are kept, and another start goes on")
    assert explained(OSError(errno.ENOSPC, "No space", str(folder))).startswith(f"the disk of {folder} is full (")
    assert explained(OSError(errno.ENOSPC, "No space", "from", None, str(folder))).startswith(
        f"the disk of {folder} is"
    )
    assert explained(DiskFullError("it is full")) == "it is full"
    assert explained(Exception("IO error:\n No space left on device")) == (
        "IO error: No space left on device: make room; its files are kept, and another start goes on"
    )


def test_a_folder_is_writable_if_the_nearest_that_exists_is_one_and_may_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    assert unwritable(tmp_path / "not" / "made") == ""
    assert unwritable(tmp_path / "file" / "in" / "it") == f"{tmp_path / 'file'} is no folder"
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)  # whoever tests may write everywhere
    assert unwritable(tmp_path / "not" / "made") == f"{tmp_path} cannot be written by this user"
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


@pytest.mark.parametrize("end", [OSError(errno.EIO, "Input/output error"), KeyboardInterrupt()])
@pytest.mark.parametrize("old", [None, "old"])
def test_a_file_is_written_whole_or_stays_as_it_was(tmp_path: Path, end: BaseException, old: str | None) -> None:
    path = tmp_path / "file"
    if old is not None:
        path.write_text(old)
    with pytest.raises(type(end)), whole_file(path, replaces=True) as place:
        place.write_text("a part")
        raise end
    assert [found.read_text() for found in tmp_path.iterdir()] == ([] if old is None else [old])
    with whole_file(path, replaces=True) as place:
        place.write_text("whole")
    assert [found.read_text() for found in tmp_path.iterdir()] == ["whole"]
    with pytest.raises(FileExistsError), whole_file(path) as place:
        place.write_text("another")
    assert [found.read_text() for found in tmp_path.iterdir()] == ["whole"]


def test_a_file_that_is_replaced_keeps_its_permissions_and_a_link_to_it_stays(tmp_path: Path) -> None:
    path, link = tmp_path / "file", tmp_path / "link"
    path.write_text("old")
    path.chmod(0o600)
    link.symlink_to(path)
    with whole_file(link, replaces=True) as place:
        place.write_text("new")
    assert (path.read_text(), path.stat().st_mode & 0o777, link.is_symlink()) == ("new", 0o600, True)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space"), ValueError("No space left on device (os error 28)")]
)
def test_a_file_for_which_there_is_no_room_is_named(error: Exception, tmp_path: Path) -> None:
    path = tmp_path / "file"
    with (
        pytest.raises(DiskFullError, match=f"the disk of {path} is full .*: make room, and do it again"),
        whole_file(path),
    ):
        raise error
    assert list(tmp_path.iterdir()) == []


def test_a_device_is_written_itself() -> None:
    with whole_file(Path(os.devnull)) as place:
        assert place == Path(os.devnull)


def test_a_pipe_is_written_itself_by_whatever_name(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    link = tmp_path / "stdout"
    link.symlink_to(f"/proc/self/fd/{writing}")
    with whole_file(link) as place:
        place.write_text("whole")
    os.close(writing)
    with os.fdopen(reading) as read:
        assert read.read() == "whole"
    assert list(tmp_path.iterdir()) == [link]


def test_room_is_tried_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, tried = tmp_path / "recovery", []
    fsync = os.fsync

    def noted(descriptor: int) -> None:
        tried.append(os.fstat(descriptor).st_size)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    need_room(folder)
    assert tried == [NEEDED]
    assert list(folder.iterdir()) == []
    free = free_bytes(folder)
    assert free is not None
    assert free > 0


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_folder_without_room_is_refused_and_nothing_is_left(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(DiskFullError, match=f"^the disk of {tmp_path} is full"):
        need_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_other_errors_are_left_to_those_who_use_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    need_room(tmp_path / "file")
