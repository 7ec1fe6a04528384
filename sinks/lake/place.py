"""A lake: reads manifests and files, checks what it reads, and writes so that a kill at any moment leaves a whole one.

A file comes first, its manifest last. One process writes at a time.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from flows.modules.late import late_module
from sinks.lake.folder import FolderStorage
from sinks.lake.manifest import LakeDay, LakeError, LakeManifest, decode_manifest, encode_manifest
from sinks.lake.series import DATA, MANIFEST, LakeSeries
from sinks.lake.storage import FileState, Storage, naming

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

FILE_ROWS: Final = 250_000
"""Rows of a file that are in memory at once."""
_BLOCK: Final = 1 << 20
_DATE: Final = "date="
_REMEDY: Final = (
    "marketflow lake verify names what is damaged, and marketflow lake write makes anew what the stores have"
)


class Lake:
    """A lake in a folder, or in an object store. Every method raises `LakeError` when something cannot be read or
    written.
    """

    def __init__(self, place: Path | str) -> None:
        """A folder, or an address such as `s3://bucket/lake`."""
        self.place = place
        self._storage = storage_of(place)
        self._manifests: dict[LakeSeries, tuple[FileState, LakeManifest]] = {}
        self._checked: dict[PurePosixPath, tuple[FileState, str]] = {}
        """Digests of files that were read before."""

    # --- reading ---

    def is_there(self) -> bool:
        """Whether there is a lake at all."""
        return self._storage.is_there()

    def series(self, venue: str = "", *, kind: str = "") -> list[LakeSeries]:
        """The series with a folder, of a venue, of a kind, or all."""
        found = (LakeSeries.at(folder) for folder in self._folders(PurePosixPath(), 3))
        return [one for one in found if one and venue in ("", one.venue) and kind in ("", one.kind)]

    def _folders(self, path: PurePosixPath, depth: int) -> Iterator[PurePosixPath]:
        if not depth:
            yield path
            return
        for folder in self._storage.folders(path):
            if "=" in folder.name:
                yield from self._folders(folder, depth - 1)

    def where(self, series: LakeSeries, day: str) -> str:
        """The file of a day as people know it."""
        return self._storage.where(series.file(day))

    def manifest(self, series: LakeSeries) -> LakeManifest:
        """The days of a series; none where it has no manifest. It is read again when it has changed."""
        state = self._storage.state(series.manifest)
        if state is None:
            return LakeManifest()
        known = self._manifests.get(series)
        if known is None or known[0] != state:
            try:
                known = state, decode_manifest(self._storage.read(series.manifest))
            except ValueError as error:
                name = self._storage.where(series.manifest)
                raise LakeError(f"{name} cannot be read, {error}: {_REMEDY}") from None
            self._manifests[series] = known
        return known[1]

    def has_file(self, series: LakeSeries, day: str) -> bool:
        """Whether a day has a file."""
        return self._storage.state(series.file(day)) is not None

    def is_of(self, entry: LakeDay, series: LakeSeries, day: str) -> bool:
        """Whether the file of a day is that of a version, by its digest."""
        path = series.file(day)
        state = self._storage.state(path)
        if state is None or not entry.has(state.size):
            return False
        with naming(self.where(series, day)):
            return digest_of(self._storage.local(path)) == entry.sha256

    def present(self, series: LakeSeries, day: str) -> LakeDay:
        """The version of a day whose file is there, as its digest proves, once for each content of a file."""
        path = series.file(day)
        for _ in range(2):  # a writer may be between the file and its manifest
            entry = self.manifest(series).days[day]
            state = self._storage.state(path)
            if state is None:
                raise LakeError(f"{self.where(series, day)} is missing: {_REMEDY}")
            known = self._checked.get(path)
            if known is None or known[0] != state:
                with naming(self.where(series, day)):
                    known = self._checked[path] = state, digest_of(self._storage.local(path))
            for version in (entry, entry.before):
                if version is not None and version.has(state.size, known[1]):
                    return version
            self._manifests.pop(series, None)
        raise LakeError(f"{self.where(series, day)} is not what its manifest says: {_REMEDY}")

    def scan(self, series: LakeSeries, day: str) -> pl.LazyFrame:
        """The rows of a day, after a check of its digest."""
        self.present(series, day)
        return pl.scan_parquet(self._storage.local(series.file(day)), hive_partitioning=False, glob=False)

    def frames(self, series: LakeSeries, day: str) -> Iterator[pl.DataFrame]:
        """The rows of the file of a day, whatever the manifest says of it. `PolarsError` when it cannot be read."""
        whole = pl.scan_parquet(self._storage.local(series.file(day)), hive_partitioning=False, glob=False)
        count: int = whole.select(pl.len()).collect().item()
        for begin in range(0, count, FILE_ROWS):
            yield whole.slice(begin, FILE_ROWS).collect()

    def size_and_digest(self, series: LakeSeries, day: str) -> tuple[int, str]:
        """Bytes and SHA-256 of the file of a day."""
        file = self._storage.local(series.file(day))
        with naming(self.where(series, day)):
            return file.stat().st_size, digest_of(file)

    def days_on_disk(self, series: LakeSeries) -> list[str]:
        """The dates with a file, whether the manifest has them or not."""
        dates = (path for path in self._storage.folders(series.folder) if path.name.startswith(_DATE))
        return [path.name.removeprefix(_DATE) for path in dates if self._storage.state(path / DATA) is not None]

    # --- writing ---

    @contextmanager
    def writing(self, *, wait_s: float = 0.0) -> Iterator[None]:
        """Makes this process the only one that writes, and removes what another one has left half written. `LakeError`
        when another one still writes after `wait_s`.
        """
        with self._storage.writing(wait_s):
            yield

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for files that are not whole yet; within `writing`."""
        with self._storage.scratch() as folder:
            yield folder

    def put_file(self, series: LakeSeries, day: str, file: Path) -> None:
        """Makes a whole file the one of a day; durable when this returns."""
        self._storage.put(series.file(day), file)

    def put_manifest(self, series: LakeSeries, manifest: LakeManifest) -> None:
        """Replaces the manifest of a series; durable when this returns."""
        with self._storage.scratch() as folder:
            new = folder / MANIFEST
            with naming(str(new)):
                new.write_bytes(encode_manifest(manifest, series._asdict()))
            self._storage.put(series.manifest, new)
        self._manifests.pop(series, None)


def storage_of(place: Path | str) -> Storage:
    """A folder, or what an address names. `LakeError` where that cannot be used."""
    if isinstance(place, str) and "://" in place:
        from sinks.lake.objects import ObjectStorage  # noqa: PLC0415 - its library is loaded only where it is used

        return ObjectStorage(place)
    return FolderStorage(Path(place))


def digest_of(path: Path) -> str:
    """SHA-256 of a file."""
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()
