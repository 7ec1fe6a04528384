"""Gets the files of the archive: from a folder, or over HTTP into one; checked against their checksums."""

import hashlib
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import httpx

from flows.model import Vouched
from flows.proxy import is_loopback
from sources.archive.names import ArchiveFile, file_named
from sources.archive.rows import ArchiveError

CHECKSUM = ".CHECKSUM"
TIMEOUT_S = 30.0
_CHUNK = 1 << 20
_NOT_FOUND = 404

OnBytes = Callable[[int, int], None]
"""Called with the bytes that have come and how many there will be (0: unknown)."""


def files_in(folder: Path, symbols: tuple[str, ...]) -> dict[ArchiveFile, Path]:
    """The archive's files of these symbols below a folder, however deep."""
    if not folder.is_dir():
        raise ArchiveError(f"{folder} is no folder: set backfill.source to one that holds the archive's files")
    named = [(file, path) for path in sorted(folder.rglob("*")) if (file := file_named(path.name)) and path.is_file()]
    return {file: path for file, path in named if file.symbol in symbols}


def check(path: Path) -> Vouched:
    """Compares a file with the checksum beside it, or a zip file without one with its own; gives what vouches for it,
    which is nothing where there is nothing to compare. `ArchiveError` when it differs.
    """
    vouched = vouched_by(path)
    if vouched == "all":
        told = path.with_name(path.name + CHECKSUM).read_text().split()
        if not told or told[0].lower() != digest_of(path):
            raise ArchiveError(f"{path} does not match its checksum: delete both and run again")
    elif vouched == "content":
        _check_zip(path)
    return vouched


def vouched_by(path: Path) -> Vouched:
    """What vouches for it that a checked file is all that there was."""
    if path.with_name(path.name + CHECKSUM).is_file():
        return "all"
    return "content" if path.suffix == ".zip" else ""


def digest_of(path: Path) -> str:
    """By what a file is known, and what its checksum says. `ArchiveError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _check_zip(path: Path) -> None:
    """A file that is broken in its middle must not be found out when half of it is imported."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error
    if broken:
        raise ArchiveError(f"{path} cannot be read: {broken} does not match its checksum")


class Downloader:
    """Downloads into a folder what is not there yet; a file appears under its name only when it is whole."""

    def __init__(self, base_url: str, folder: Path, *, on_bytes: OnBytes = lambda _, __: None) -> None:
        self._base_url = base_url.rstrip("/")
        self._folder = folder
        self._on_bytes = on_bytes

    def get(self, file: ArchiveFile, venue: str) -> Path | None:
        """The file; None when the archive does not have it. `ArchiveError` when it cannot be had."""
        path = self.path_of(file, venue)
        if not path.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            url = f"{self._base_url}/{file.path(venue)}"
            if not self._download(url, path):
                return None
            self._download(url + CHECKSUM, path.with_name(path.name + CHECKSUM))
        check(path)
        return path

    def path_of(self, file: ArchiveFile, venue: str) -> Path:
        """Where a file is, or will be."""
        return self._folder / venue / file.name

    def _download(self, url: str, path: Path) -> bool:
        partial = path.with_name(path.name + ".part")
        try:
            with (
                httpx.stream(
                    "GET", url, timeout=TIMEOUT_S, follow_redirects=True, trust_env=not is_loopback(url)
                ) as response,
                partial.open("wb") as to,
            ):
                if response.status_code == _NOT_FOUND:
                    return False
                response.raise_for_status()
                total = int(response.headers.get("Content-Length", 0))
                for chunk in response.iter_bytes(_CHUNK):
                    to.write(chunk)
                    self._on_bytes(to.tell(), total)
        except (httpx.HTTPError, OSError) as error:
            raise ArchiveError(f"{url} cannot be had: {error or type(error).__name__}") from error
        else:
            partial.replace(path)
            return True
        finally:
            partial.unlink(missing_ok=True)
