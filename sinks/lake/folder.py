"""A lake in a folder: a file is written under a temporary name in `.writing`, brought to the disk, and renamed."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Final, TextIO

from sinks.lake.manifest import LakeError
from sinks.lake.storage import FileState, naming

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

WRITING: Final = ".writing"
_LOCK: Final = ".lock"
_TRY_S: Final = 0.5


class FolderStorage:
    """See the module; methods as of `Storage`. A folder that does not exist is empty."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def where(self, path: PurePosixPath) -> str:
        """A file as people know it."""
        return str(self._root / path)

    def is_there(self) -> bool:
        """Whether it is a folder."""
        return self._root.is_dir()

    def folders(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The folders in a folder."""
        with naming(self.where(path)):
            return [path / found.name for found in sorted((self._root / path).glob("*/"))]

    def state(self, path: PurePosixPath) -> FileState | None:
        """The present content of a file."""
        with naming(self.where(path)):
            try:
                found = (self._root / path).stat()
            except FileNotFoundError:
                return None
            return FileState(found.st_size, f"{found.st_ino} {found.st_mtime_ns}")

    def read(self, path: PurePosixPath) -> bytes:
        """A small file."""
        with naming(self.where(path)):
            return (self._root / path).read_bytes()

    def local(self, path: PurePosixPath) -> Path:
        """The file itself."""
        return self._root / path

    def put(self, path: PurePosixPath, file: Path) -> None:
        """Renames a file of `scratch`."""
        target = self._root / path
        with naming(self.where(path)):
            target.parent.mkdir(parents=True, exist_ok=True)
            _sync_file(file)
            file.replace(target)
            _sync_folders(target.parent, self._root)

    @contextmanager
    def writing(self, wait_s: float) -> Iterator[None]:
        """Holds the lock of the folder, and removes what another process has left half written."""
        with naming(str(self._root)):
            self._root.mkdir(parents=True, exist_ok=True)
        with locked(self._root / _LOCK, str(self._root), wait_s):
            with naming(str(self._root)):
                shutil.rmtree(self._root / WRITING, ignore_errors=True)
                (self._root / WRITING).mkdir()
            try:
                yield
            finally:
                shutil.rmtree(self._root / WRITING, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder on the disk of the lake."""
        with naming(str(self._root)), tempfile.TemporaryDirectory(dir=self._root / WRITING) as folder:
            yield Path(folder)


@contextmanager
def locked(path: Path, name: str, wait_s: float) -> Iterator[None]:
    """Holds a lock of this machine, which ends with the process however that ends."""
    with naming(name):
        lock = path.open("a+")
    with lock:
        until_s = time.monotonic() + wait_s
        while not _claimed(lock):
            if time.monotonic() >= until_s:
                raise LakeError(f"another process writes to {name}: wait until it has ended")
            time.sleep(_TRY_S)
        yield


def _claimed(lock: TextIO) -> bool:
    """Whether the lock is this process's now; where the system has none it always is."""
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def _sync_file(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _sync_folders(folder: Path, root: Path) -> None:
    """Brings the entries of a folder, and of those above it up to the lake's own, to the disk."""
    if os.name == "nt":  # where a directory cannot be opened, and its entries are in the journal
        return
    for each in (folder, *folder.parents):
        number = os.open(each, os.O_RDONLY)
        try:
            os.fsync(number)
        finally:
            os.close(number)
        if each == root:
            return
