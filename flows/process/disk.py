"""A disk without room: the errors that mean it, a trial before a start, and the sentence that says what to do."""

import errno
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

NO_ROOM: Final = frozenset((errno.ENOSPC, errno.EDQUOT))
"""Numbers of the system's errors: the disk is full, or this user's part of it."""
NEEDED: Final = 4_000_000
"""Bytes that must find room before a start: what the recovered state, its log and a store write first."""
_NO_ROOM: Final = re.compile(
    r"no space left on device|disk quota exceeded|disk is full|\bDiskFull\b|OutOfDiskSpace|\bENOSPC\b", re.IGNORECASE
)
_TRIAL: Final = "room.trial"


class DiskFullError(Exception):
    """A disk has no room: another start can help without any change. The text names the folder and the remedy."""


def says_no_room(text: str) -> bool:
    """Whether a text of the system, SQLite, RocksDB or MongoDB means a full disk."""
    return _NO_ROOM.search(text) is not None


def is_no_room(error: BaseException) -> bool:
    """Whether an error, or what it comes from, means a full disk."""
    return any(
        isinstance(one, DiskFullError) or (isinstance(one, OSError) and one.errno in NO_ROOM) or says_no_room(str(one))
        for one in _causes(error)
    )


def disk_full(path: Path) -> str:
    """The sentence for a disk that has no room for what is to be in `path`."""
    return f"the disk of {path} is full ({_room(path)}): make room; its files are kept, and another start goes on"


def room_again(path: Path) -> str:
    """The sentence for a disk that had no room when it was written to, and has some since."""
    return f"the disk of {path} was full, and has room again ({_room(path)}): another start goes on"


def explained(error: BaseException) -> str:
    """The sentence for an error that means a full disk: its own, where it names the folder, else with the remedy."""
    for one in _causes(error):
        if isinstance(one, DiskFullError):
            return str(one)
        if isinstance(one, OSError) and one.errno in NO_ROOM and (full := one.filename2 or one.filename):
            return disk_full(Path(os.fsdecode(full)))  # of a copy the second name is where it was to be
    return f"{' '.join(str(error).split())}: make room; its files are kept, and another start goes on"


def need_room(folder: Path) -> None:
    """Tries whether `NEEDED` bytes find room in a folder, which is created if need be. `DiskFullError` when they do
    not; any other error is left to those who use the folder.
    """
    trial = folder / _TRIAL
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            with trial.open("wb") as file:
                file.write(os.urandom(NEEDED))  # what a file system can compress would find more room
                file.flush()
                os.fsync(file.fileno())
        finally:
            with suppress(OSError):
                trial.unlink()
    except OSError as error:
        if is_no_room(error):
            raise DiskFullError(disk_full(folder)) from error


@contextmanager
def needs_room(path: Path) -> Iterator[None]:
    """While something new is written to a place, of which nothing stays when that fails: an error that means a full
    disk becomes a `DiskFullError` that names it.
    """
    try:
        yield
    except Exception as error:
        if not is_no_room(error):
            raise
        text = f"the disk of {path} is full ({_room(path)}): make room, and do it again; nothing of it is left there"
        raise DiskFullError(text) from error


@contextmanager
def whole_file(path: Path, *, replaces: bool = False) -> Iterator[Path]:
    """A place beside a file, which takes the file's when the block ends. Where that fails or is interrupted, nothing is
    left of it, and a file that was there stays as it was. `FileExistsError` where one is there, unless this one
    replaces it; then it has the permissions of the old one. What is no file, as /dev/stdout, is its own place.
    """
    if path.exists() and not path.is_file() and not path.is_dir():
        yield path
        return
    if not replaces and path.exists():
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path))
    path = path.resolve()  # a link stays one
    part = path.with_name(f"{path.name}.part")
    try:
        with needs_room(path):
            yield part
        if path.exists():
            shutil.copymode(path, part)
        part.replace(path)
    finally:
        with suppress(OSError):
            part.unlink()


def unwritable(folder: Path) -> str:
    """Why this user cannot write to a folder, or make it where it is not there; empty where nothing prevents it.
    Nothing is written for it.
    """
    existing = _existing(folder)
    if not existing.is_dir():
        return f"{existing} is no folder"
    return "" if os.access(existing, os.W_OK | os.X_OK) else f"{existing} cannot be written by this user"


def free_bytes(path: Path) -> int | None:
    """Free bytes of the disk of a folder, which need not exist; None where they cannot be known."""
    usage = _usage(path)
    return None if usage is None else usage.free


def _room(path: Path) -> str:
    usage = _usage(path)
    if usage is None:
        return "its free space is unknown"
    return f"{usage.free / 1e6:.1f} MB of {usage.total / 1e6:.1f} MB free"


def _usage(path: Path) -> "shutil._ntuple_diskusage | None":
    try:
        return shutil.disk_usage(_existing(path))
    except OSError:
        return None


def _existing(path: Path) -> Path:
    """The path, or the nearest one above it that exists."""
    path = path.absolute()
    for each in (path, *path.parents):
        with suppress(PermissionError):  # in a folder that this user cannot look into
            if each.exists():
                return each
    return path


def _causes(error: BaseException) -> Iterator[BaseException]:
    """The error, and those from which it was raised."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__
