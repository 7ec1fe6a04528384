"""A lake in a bucket of an object store (`s3://bucket/folder`, `gs://`, `az://`), by the library obstore.

A file is an object, which is put as a whole. What is read is copied to this machine first, and kept there while there
is room. Credentials and regions are those of the environment, as each store's own programs read them
(`AWS_ACCESS_KEY_ID`, `AWS_REGION`, `AWS_ENDPOINT_URL`, …). Only the processes of one machine exclude each other.
"""

import hashlib
import shutil
import tempfile
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import Any, Final

from sinks.lake.folder import locked
from sinks.lake.manifest import LakeError
from sinks.lake.storage import FileState, naming

KEPT_BYTES: Final = 1 << 30
"""Copies on this machine; beyond that those go that were not used for the longest time."""
STATE_S: Final = 2.0
"""How long the state of an object is believed."""
GIVES_UP: Final = timedelta(seconds=60)
"""Longest time in which a request is repeated."""


class ObjectStorage:
    """See the module; methods as of `Storage`. Threads may share it."""

    def __init__(self, url: str) -> None:
        """`LakeError` where obstore is not installed, or for an address that is none."""
        try:
            import obstore  # noqa: PLC0415 - only where a lake is in one
            from obstore import exceptions, store  # noqa: PLC0415
        except ModuleNotFoundError:
            text = f"lake.path: {url} is in an object store, which needs pip install 'marketflow-data[lake]'"
            raise LakeError(text) from None
        self._url = url.rstrip("/")
        self._obstore: Any = obstore
        self._errors: tuple[type[Exception], ...] = (exceptions.BaseError, ValueError)
        with self._naming(PurePosixPath()):
            self._store: Any = store.from_url(url, retry_config={"retry_timeout": GIVES_UP})
        self._folder = Path(tempfile.mkdtemp(prefix="marketflow-lake-"))
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._copies: OrderedDict[tuple[PurePosixPath, FileState], Path] = OrderedDict()
        self._states: dict[PurePosixPath, tuple[float, FileState | None]] = {}
        self._turn = threading.RLock()
        self._number = 0

    def where(self, path: PurePosixPath) -> str:
        """An object as people know it."""
        return f"{self._url}/{path}"

    def is_there(self) -> bool:
        """Whether there is any series."""
        return bool(self.folders(PurePosixPath()))

    def folders(self, path: PurePosixPath) -> list[PurePosixPath]:
        """The common begins of names in a folder."""
        with self._naming(path):
            found = self._obstore.list_with_delimiter(self._store, "" if path == PurePosixPath() else str(path))
            return sorted(PurePosixPath(one) for one in found["common_prefixes"])

    def state(self, path: PurePosixPath) -> FileState | None:
        """The content of an object, as it was `STATE_S` ago or later."""
        known = self._states.get(path)
        if known is not None and time.monotonic() - known[0] < STATE_S:
            return known[1]
        found = self._found(path)
        with self._turn:
            self._states[path] = time.monotonic(), found
        return found

    def _found(self, path: PurePosixPath) -> FileState | None:
        with self._naming(path):
            try:
                head = self._obstore.head(self._store, str(path))
            except FileNotFoundError:
                return None
            return FileState(int(head["size"]), f"{head['e_tag']} {head['last_modified']}")

    def read(self, path: PurePosixPath) -> bytes:
        """A small object."""
        with self._naming(path):
            return bytes(self._obstore.get(self._store, str(path)).bytes())

    def local(self, path: PurePosixPath) -> Path:
        """A copy on this machine."""
        with self._turn:
            state = self.state(path)
            if state is None:
                raise LakeError(f"{self.where(path)} is missing")
            copy = self._copies.get((path, state))
            if copy is None:
                copy = self._copied(path)
                self._make_room(state.size)
                self._copies[path, state] = copy
            self._copies.move_to_end((path, state))
            return copy

    def _copied(self, path: PurePosixPath) -> Path:
        self._number += 1
        copy = self._folder / f"{self._number}.parquet"
        with self._naming(path), copy.open("wb") as file:
            for part in self._obstore.get(self._store, str(path)).stream():
                file.write(bytes(part))
        return copy

    def _make_room(self, size: int) -> None:
        kept = sum(state.size for _, state in self._copies) + size
        while self._copies and kept > KEPT_BYTES:
            (_, state), copy = self._copies.popitem(last=False)
            copy.unlink(missing_ok=True)
            kept -= state.size

    def put(self, path: PurePosixPath, file: Path) -> None:
        """Puts an object as a whole."""
        with self._naming(path):
            self._obstore.put(self._store, str(path), file)
        with self._turn:
            self._states.pop(path, None)

    @contextmanager
    def writing(self, wait_s: float) -> Iterator[None]:
        """Holds a lock of this machine."""
        name = hashlib.sha256(self._url.encode()).hexdigest()[:16]
        with locked(Path(tempfile.gettempdir(), f"marketflow-lake-{name}.lock"), self._url, wait_s):
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder of this machine."""
        with tempfile.TemporaryDirectory(prefix="marketflow-lake-") as folder:
            yield Path(folder)

    @contextmanager
    def _naming(self, path: PurePosixPath) -> Iterator[None]:
        with naming(self.where(path)):
            try:
                yield
            except self._errors as error:
                reason = str(error).partition("\n")[0]
                raise LakeError(f"{self.where(path)}: {reason}") from error
