"""One instance at a time works in a folder."""

import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import TextIO

try:
    import fcntl
except ModuleNotFoundError:  # Windows: it has no process groups either, which ending a deployment needs
    fcntl = None  # type: ignore[assignment]


class AlreadyRunningError(Exception):
    """Another instance works in the folder; the text names it."""


def claim(folder: Path) -> TextIO:
    """Claims a folder until this process ends, however it ends; the file that is returned must stay open.
    `AlreadyRunningError` when another instance works in it, `OSError` when its parent folder cannot be written.
    """
    if fcntl is None:
        raise OSError(errno.ENOTSUP, "Windows cannot start the processes together: use WSL 2, or start each by itself")
    path = folder.parent / f"{folder.name}.lock"
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = path.open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.seek(0)
        found = lock.read().strip()
        lock.close()
        raise AlreadyRunningError(f"already running here ({found or path}); it was not touched") from None
    lock.truncate(0)
    lock.write(f"pid {os.getpid()}, since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    lock.flush()
    return lock
