"""One instance at a time works in a folder."""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Self, TextIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows: it has no process groups either, which ending a deployment needs
    fcntl = None  # type: ignore[assignment]


class AlreadyRunningError(Exception):
    """Another instance works in the folder; the text names it."""


class Claim:
    """A folder that belongs to this process, until it is closed or the process ends, however it ends."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self._path = path
        self._file = file

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the folder back and removes the file, while it is still this process's own."""
        if not self._file.closed:
            with suppress(OSError):
                self._path.unlink()
            self._file.close()


def claim(folder: Path) -> Claim:
    """Claims a folder for this process. `AlreadyRunningError` when another instance works in it, `OSError` when its
    parent folder cannot be written.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "Windows cannot start the processes together: use WSL 2, or start each by itself")
    path = folder.parent / f"{folder.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    while True:
        lock = path.open("a+")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            lock.seek(0)
            found = lock.read().strip()
            lock.close()
            raise AlreadyRunningError(f"already running here ({found or path}); it was not touched") from None
        if _is_at(path, lock):
            break
        lock.close()  # the one that held it has removed it meanwhile
    claimed = Claim(path, lock)
    try:
        lock.truncate(0)
        lock.write(f"pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
        lock.flush()
    except OSError:
        with suppress(OSError):  # what is buffered fails once more
            claimed.close()
        raise
    return claimed


def _is_at(path: Path, file: TextIO) -> bool:
    """Whether an open file is still the one at its path."""
    try:
        return os.path.samestat(path.stat(), os.fstat(file.fileno()))
    except FileNotFoundError:
        return False
