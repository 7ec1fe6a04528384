"""Opens the files of the archive, from a folder or over HTTP into one, and checks their checksums."""

import hashlib
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

import structlog
from msgspec import structs

from flows.model import Vouched
from sources.archive.csv_file import UNREADABLE
from sources.archive.csv_reader import ArchiveError
from sources.archive.download import RetryPolicy, discard, download
from sources.archive.files import ArchiveFile, file_named, is_archive_name

CHECKSUM = ".CHECKSUM"
DOWNLOADS = 2
"""Attempts for a file that arrives complete with a wrong checksum."""
_MOST_CHECKSUM_BYTES = 4_096
_MISMATCH = "does not match its checksum"

_log = structlog.get_logger(__name__)

OnBytes: TypeAlias = Callable[[str, int, int], None]
"""Called with a file's name, the bytes received and the total (0: unknown)."""


def files_in(folder: Path, symbols: tuple[str, ...] | None = None) -> dict[ArchiveFile, Path]:
    """The archive's files of these symbols (None: all) below a folder, at any depth. `ArchiveError` when two files of
    one name differ, as those of two markets do.
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
    """Checks a file against the checksum beside it, or a zip file without one against its own; returns what confirms
    its completeness. `ArchiveError` when it differs.
    """
    if reason := _fault_of(path, _checksum(path), path.name):
        hint = ": delete both and run again" if reason == _MISMATCH else ""
        raise ArchiveError(f"{path} {reason}{hint}")
    return vouched_by(path)


def _fault_of(path: Path, checksum: Path, name: str) -> str:
    """The fault of a file that is called `name`, by its checksum if there is one, else by its zip structure, and by the
    name of what is in it; empty: none.
    """
    is_zip = name.endswith(".zip")
    if checksum.is_file():
        digest, named = _expected(checksum)
        if named not in ("", name):
            return f"has the checksum of another file: it names {named!r:.100}"
        if digest != digest_of(path):
            return _MISMATCH
        return _fault_of_member(path, name) if is_zip else ""
    return (_fault_of_zip(path) or _fault_of_member(path, name)) if is_zip else ""


def _expected(checksum: Path) -> tuple[str, str]:
    """The digest of a checksum file, and the name of the file that it is of, empty without one."""
    text = checksum.read_bytes()[:_MOST_CHECKSUM_BYTES].decode(errors="replace")
    digest, _, named = text.strip().partition(" ")
    return digest.lower(), named.strip().removeprefix("*").rpartition("/")[2]


def _fault_of_member(path: Path, name: str) -> str:
    """The fault of a zip file that has other data in it than its name says."""
    member = _member(path)
    if Path(member).stem == Path(name).stem or not is_archive_name(member):
        return ""
    return f"has {member!r:.100} in it: it holds another symbol, kind or time than its name says"


def _member(path: Path) -> str:
    """The name of the CSV file in a zip file; empty where that cannot be said, which its reader finds out."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [one for one in archive.namelist() if one.endswith(".csv")]
    except (OSError, EOFError, zipfile.BadZipFile):
        return ""
    return names[0].rpartition("/")[2] if len(names) == 1 else ""


def _checksum(path: Path) -> Path:
    return path.with_name(path.name + CHECKSUM)


def vouched_by(path: Path) -> Vouched:
    """What confirms the completeness of a checked file: nothing, where what is in it was renamed."""
    is_renamed = path.suffix == ".zip" and Path(_member(path)).stem != path.stem
    return "all" if _checksum(path).is_file() and not is_renamed else ""


def digest_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal. `ArchiveError` when it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ArchiveError(f"{path} cannot be read: {error}") from error


def _fault_of_zip(path: Path) -> str:
    """The fault of a zip file, read to its end before the import, so that it does not fail halfway."""
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()
    except UNREADABLE as error:
        return f"cannot be read: {error}"
    return f"cannot be read: {broken} does not match its checksum" if broken else ""


class Downloader:
    """Downloads files into a folder that are missing there or do not match their checksum. A file gets its name only
    when it is complete and checked; an interrupted download is resumed, also one of an earlier run.
    """

    def __init__(
        self, base_url: str, folder: Path, *, on_bytes: OnBytes = lambda *_: None, policy: RetryPolicy | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._folder = folder
        self._on_bytes = on_bytes
        self._policy = policy or RetryPolicy()
        self._is_away = False

    def get(self, file: ArchiveFile, venue: str) -> Path | None:
        """The path of the file; None when the archive does not have it. `ArchiveError` when it cannot be downloaded."""
        path = self.path_of(file, venue)
        try:
            if path.is_file() and self._is_right(path):
                discard(_partial(path))
                return path
            path.parent.mkdir(parents=True, exist_ok=True)
            return self._download(f"{self._base_url}/{file.path}", path)
        except OSError as error:
            raise ArchiveError(f"{path} cannot be written: {error}") from error

    def path_of(self, file: ArchiveFile, venue: str) -> Path:
        """Where a file is, or will be."""
        return self._folder / venue / file.name

    def _is_right(self, path: Path) -> bool:
        """Whether a downloaded file is unchanged. Otherwise it is deleted."""
        if reason := _fault_of(path, _checksum(path), path.name):
            _log.warning("file_invalid", file=path.name, reason=reason)
            path.unlink()
            _checksum(path).unlink(missing_ok=True)
        return not reason

    def _download(self, url: str, path: Path) -> Path | None:
        """Downloads a wrong file once more from its begin: its parts may be of two versions."""
        part, checksum = _partial(path), _partial(_checksum(path))
        reason = ""
        for _ in range(DOWNLOADS):
            if not self._fetch(url, part, path.name):
                return None
            discard(checksum)
            self._fetch(url + CHECKSUM, checksum)
            reason = _fault_of(part, checksum, path.name)
            if not reason:
                return _put_in_place(path)
            _log.warning("download_invalid", url=url, reason=reason)
            discard(part)
            discard(checksum)
        raise ArchiveError(f"{url} is refused, nothing of it is kept: it {reason}, downloaded {DOWNLOADS} times")

    def _fetch(self, url: str, to: Path, name: str = "") -> bool:
        """After a download that failed, later ones are attempted once, until one succeeds."""
        policy = structs.replace(self._policy, tries=1) if self._is_away else self._policy
        on_bytes = partial(self._on_bytes, name) if name else lambda _, __: None
        self._is_away = True
        found = download(url, to, policy=policy, on_bytes=on_bytes)
        self._is_away = False
        return found


def _put_in_place(path: Path) -> Path:
    """Moves the checksum first: a file without one would count as one for which there is none."""
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
