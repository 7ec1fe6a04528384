"""The folder of a lake: reads manifests and files, and writes them so that a kill at any moment leaves a whole one.

A file is written under a temporary name in `.writing`, brought to the disk, and renamed; the manifest follows, the same
way. One process writes at a time.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple, TextIO

from flows.process.late import late_module
from sinks.lake.manifest import LakeDay, LakeError, LakeManifest, decode_manifest, encode_manifest
from sinks.lake.series import MANIFEST, LakeSeries

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None  # type: ignore[assignment]

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

WRITING: Final = ".writing"
FILE_ROWS: Final = 250_000
"""Rows of a file that are in memory at once."""
_LOCK: Final = ".lock"
_TRY_S: Final = 0.5
_BLOCK: Final = 1 << 20
_REMEDY: Final = (
    "marketflow lake verify names what is damaged, and marketflow lake write makes anew what the stores have"
)


class _State(NamedTuple):
    """What tells one content of a file from another."""

    inode: int
    size: int
    changed_ns: int


class Lake:
    """A lake in a folder. Every method raises `LakeError` when something cannot be read or written."""

    def __init__(self, root: Path) -> None:
        """A folder that does not exist is an empty lake."""
        self.root = root
        self._manifests: dict[LakeSeries, tuple[_State, LakeManifest]] = {}
        self._checked: dict[Path, tuple[_State, str]] = {}
        """Digests of files that were read before."""

    # --- reading ---

    def series(self, venue: str = "", *, kind: str = "") -> list[LakeSeries]:
        """The series with a folder, of a venue, of a kind, or all."""
        with _naming(self.root):
            folders = sorted(self.root.glob("venue=*/kind=*/symbol=*/"))
        found = (LakeSeries.at(PurePosixPath(folder.as_posix())) for folder in folders)
        return [one for one in found if one and venue in ("", one.venue) and kind in ("", one.kind)]

    def manifest(self, series: LakeSeries) -> LakeManifest:
        """The days of a series; none where it has no manifest. It is read again when it has changed."""
        path = self.root / series.manifest
        with _naming(path):
            state = _state(path)
            if state is None:
                return LakeManifest()
            known = self._manifests.get(series)
            if known is None or known[0] != state:
                try:
                    known = state, decode_manifest(path.read_bytes())
                except ValueError as error:
                    raise LakeError(f"{path} cannot be read, {error}: {_REMEDY}") from None
                self._manifests[series] = known
            return known[1]

    def present(self, series: LakeSeries, day: str) -> LakeDay:
        """The version of a day whose file is there, as its digest proves, once for each content of a file."""
        path = self.root / series.file(day)
        for _ in range(2):  # a writer may be between the file and its manifest
            entry = self.manifest(series).days[day]
            with _naming(path):
                state = _state(path)
                if state is None:
                    raise LakeError(f"{path} is missing: {_REMEDY}")
                known = self._checked.get(path)
                if known is None or known[0] != state:
                    known = self._checked[path] = state, digest_of(path)
            for version in (entry, entry.before):
                if version is not None and version.has(state.size, known[1]):
                    return version
            self._manifests.pop(series, None)
        raise LakeError(f"{path} is not what its manifest says: {_REMEDY}")

    def scan(self, series: LakeSeries, day: str) -> pl.LazyFrame:
        """The rows of a day, after a check of its digest."""
        self.present(series, day)
        return pl.scan_parquet(self.root / series.file(day), hive_partitioning=False, glob=False)

    def days_on_disk(self, series: LakeSeries) -> list[str]:
        """The dates with a file, whether the manifest has them or not."""
        with _naming(self.root):
            files = sorted((self.root / series.folder).glob("date=*/data.parquet"))
        return [file.parent.name.removeprefix("date=") for file in files]

    # --- writing ---

    @contextmanager
    def writing(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Makes this process the only one that writes, and removes what another one has left half written. `LakeError`
        when another one still writes after `wait_s`.
        """
        with _naming(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = (self.root / _LOCK).open("a+")
        with lock:
            until_s = time.monotonic() + wait_s
            while not _claimed(lock):
                if time.monotonic() >= until_s:
                    raise LakeError(f"another process writes to {self.root}: wait until it has ended")
                time.sleep(_TRY_S)
            with _naming(self.root):
                shutil.rmtree(self.root / WRITING, ignore_errors=True)
                (self.root / WRITING).mkdir()
            try:
                yield
            finally:
                shutil.rmtree(self.root / WRITING, ignore_errors=True)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for files that are not whole yet, on the disk of the lake; within `writing`."""
        with _naming(self.root), tempfile.TemporaryDirectory(dir=self.root / WRITING) as folder:
            yield Path(folder)

    def put_file(self, series: LakeSeries, day: str, file: Path) -> None:
        """Moves a whole file to the place of a day; durable when this returns."""
        path = self.root / series.file(day)
        with _naming(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            _sync_file(file)
            file.replace(path)
            _sync_folders(path.parent, self.root)

    def put_manifest(self, series: LakeSeries, manifest: LakeManifest) -> None:
        """Replaces the manifest of a series; durable when this returns."""
        path = self.root / series.manifest
        with _naming(path), self.scratch() as folder:
            path.parent.mkdir(parents=True, exist_ok=True)
            new = folder / MANIFEST
            new.write_bytes(encode_manifest(manifest, series._asdict()))
            _sync_file(new)
            new.replace(path)
            _sync_folders(path.parent, self.root)
        self._manifests.pop(series, None)


def _claimed(lock: TextIO) -> bool:
    """Whether the lock is this process's now; where the system has none it always is."""
    if fcntl is not None:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return False
    return True


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def frames_of(path: Path, *, rows: int = FILE_ROWS) -> Iterator[pl.DataFrame]:
    """The rows of a file in their order, so many at a time. `PolarsError` when it cannot be read."""
    whole = pl.scan_parquet(path, hive_partitioning=False, glob=False)
    count: int = whole.select(pl.len()).collect().item()
    for begin in range(0, count, rows):
        yield whole.slice(begin, rows).collect()


def _state(path: Path) -> _State | None:
    """None where there is no such file."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return _State(found.st_ino, found.st_size, found.st_mtime_ns)


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


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Makes one error of what the system refuses."""
    try:
        yield
    except OSError as error:
        raise LakeError(f"{error.filename or path}: {error.strerror or error}") from error
