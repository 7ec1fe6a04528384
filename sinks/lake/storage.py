"""What a lake needs of the place where it is: a folder, or a bucket of an object store."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple, Protocol

from sinks.lake.manifest import LakeError


class FileState(NamedTuple):
    """What tells one content of a file from another."""

    size: int
    """Bytes."""
    mark: str
    """Another one for another content."""


class Storage(Protocol):
    """A place of files by their names within it. Every method raises `LakeError` when it cannot be reached."""

    def where(self, path: PurePosixPath) -> str:
        """A file as people know it."""
        ...

    def is_there(self) -> bool:
        """Whether there is anything."""
        ...

    def folders(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The folders in a folder, in alphabetical order."""
        ...

    def state(self, path: PurePosixPath) -> FileState | None:
        """The present content of a file; None without one. It may be some seconds old."""
        ...

    def read(self, path: PurePosixPath) -> bytes:
        """A small file."""
        ...

    def local(self, path: PurePosixPath) -> Path:
        """A file of this machine with the content, not to be changed."""
        ...

    def put(self, path: PurePosixPath, file: Path) -> None:
        """Makes a file of `scratch` the content at once; durable when this returns."""
        ...

    def writing(self, wait_s: float) -> AbstractContextManager[None]:
        """Makes this process the only one that writes. `LakeError` when another one still does after `wait_s`."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder for files that are not whole yet; within `writing`."""
        ...


@contextmanager
def naming(name: str) -> Iterator[None]:
    """Makes one error of what the system refuses."""
    try:
        yield
    except OSError as error:
        raise LakeError(f"{error.filename or name}: {error.strerror or error}") from error
