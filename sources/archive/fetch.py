"""Gets the files of the archive: from a folder, or over HTTP into one; checked against their checksums."""

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
from msgspec import structs

from flows.model import Vouched
from sources.archive.download import Patience, discard, download
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import ArchiveError

CHECKSUM = ".CHECKSUM"
DOWNLOADS = 2
"""Of a file that comes whole and is wrong."""
_MOST_CHECKSUM_BYTES = 4_096
_MISMATCH = "does not match its checksum"

_log = structlog.get_logger(__name__)

OnBytes: TypeAlias = Callable[[str, int, int], None]
"""Called with a file's name, the bytes of it that are there and how many there will be (0: unknown)."""


def files_in(folder: Path, symbols: tuple[str, ...] | None = None) -> dict[ArchiveFile, Path]:
    """The archive's files of these symbols below a folder, however deep; of all without any. `ArchiveError` when two
    files of one name differ, as those of two markets do.
    """
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is no folder: set backfill.source to one that holds the archive's files")
    found: dict[ArchiveFile, Path] = {}
    for path in sorted(folder.rglob("*")):
        file = file_named(path.name)
        if file is None or (symbols is not None and file.symbol not in symbols) or not path.is_file():
            continue
        if file in found and digest_of(found[file]) != digest_of(path):
            raise ArchiveError(f"{found[file]} and {path} differ: name the folder that holds one of them")
        found.setdefault(file, path)
    return found


def check(path: Path) -> Vouched:
    """Compares a file with the checksum beside it, or a zip file without one with its own; gives what vouches for it,
    which is nothing where there is nothing to compare. `ArchiveError` when it differs.
    """
    if reason := _fault_of(path, _checksum(path), zipped=path.suffix == ".zip"):
        hint = ": delete both and run again" if reason == _MISMATCH else ""
        raise ArchiveError(f"{path} {reason}{hint}")
    return vouched_by(path)


def _fault_of(path: Path, checksum: Path, *, zipped: bool) -> str:
    """What is wrong with a file, as it says itself or its checksum, if there is one; empty when nothing is."""
    if checksum.is_file():
        told = checksum.read_bytes()[:_MOST_CHECKSUM_BYTES].decode(errors="replace").split()
        is_right = told and told[0].lower() == digest_of(path)
        return "" if is_right else _MISMATCH
    return _fault_of_zip(path) if zipped else ""


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def vouched_by(path: Path) -> Vouched:
    """What vouches for it that a checked file is all that there was."""
    return "all" if _checksum(path).is_file() else ""


def digest_of(path: Path) -> str:
    """By what a file is known, and what its checksum says. `ArchiveError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _fault_of_zip(path: Path) -> str:
    """A file that is broken in its middle must not be found out when half of it is imported."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        return f"cannot be read: {error}"
    return f"cannot be read: {broken} does not match its checksum" if broken else ""


class Downloader:
    """Downloads into a folder what is not there yet, or is not what its checksum says. A file appears under its name
    only when it is whole and checked; of one that broke off, also in an earlier run, only the rest is asked for.
    """

    def __init__(
        self, base_url: str, folder: Path, *, on_bytes: OnBytes = lambda *_: None, patience: Patience | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._folder = folder
        self._on_bytes = on_bytes
        self._patience = patience or Patience()
        self._is_away = False

    def get(self, file: ArchiveFile, venue: str) -> Path | None:
        """The file; None when the archive does not have it. `ArchiveError` when it cannot be had."""
        path = self.path_of(file, venue)
        try:
            if path.is_file() and self._is_right(path):
                discard(_partial(path))
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._download(f"{self._base_url}/{file.path(venue)}", path)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be written: {error}") from error

    def path_of(self, file: ArchiveFile, venue: str) -> Path:
        """Where a file is, or will be."""
        return self._folder / venue / file.name

    def _is_right(self, path: Path) -> bool:
        """Whether a file is what it was when it was downloaded. Otherwise it is taken away."""
        if reason := _fault_of(path, _checksum(path), zipped=path.suffix == ".zip"):
            _log.warning("to be downloaded again", file=path.name, reason=reason)
            path.unlink()
            _checksum(path).unlink(missing_ok=True)
        return not reason

    def _download(self, url: str, path: Path) -> Path | None:
        """A file that is wrong is downloaded once more from its begin: parts of two versions may have come together."""
        part, checksum = _partial(path), _partial(_checksum(path))
        reason = ""
        for _ in range(DOWNLOADS):
            if not self._fetch(url, part, path.name):
                return None
            discard(checksum)
            self._fetch(url + CHECKSUM, checksum)
            reason = _fault_of(part, checksum, zipped=path.suffix == ".zip")
            if not reason:
                return _put_in_place(path)
            _log.warning("download is wrong", url=url, reason=reason)
            discard(part)
            discard(checksum)
        raise ArchiveError(f"{url} is refused, nothing of it is kept: it {reason}, downloaded {DOWNLOADS} times")

    def _fetch(self, url: str, to: Path, name: str = "") -> bool:
        """Behind a file for which the archive could not be reached the next ones are asked for once, until it can."""
        patience = structs.replace(self._patience, tries=1) if self._is_away else self._patience
        on_bytes = partial(self._on_bytes, name) if name else lambda _, __: None
        self._is_away = True
        found = download(url, to, patience=patience, on_bytes=on_bytes)
        self._is_away = False
        return found


def _put_in_place(path: Path) -> Path:
    """The checksum first: a file without one would be taken for one that never had any."""
    checksum = _checksum(path)
    if _partial(checksum).is_file():
        _partial(checksum).replace(checksum)
    else:
        checksum.unlink(missing_ok=True)
    _partial(path).replace(path)
    discard(_partial(path))
    discard(_partial(checksum))
    return path


def _partial(path: Path) -> Path:
    return path.with_name(path.name + ".part")
