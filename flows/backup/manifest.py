"""What a backup says of itself: versions, contents, and the digest of every file."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from sinks.trades.copying import Copied

FILE: Final = "manifest.json"
FORMAT: Final = 1
"""Of the folder; it rises when an older program could not restore it."""
_BLOCK: Final = 1 << 20

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how much of it, and how much there is: an estimate, or 0 where that is not known."""


class BackupError(Exception):
    """A backup cannot be made, or not be restored; the text has the reason and the remedy, in one line."""


class FileDigest(msgspec.Struct, frozen=True):
    """A file of the backup."""

    path: str
    """Relative to the backup, with `/`."""
    size: int
    """Bytes."""
    sha256: str


class DumpedCollection(msgspec.Struct, frozen=True):
    """A collection of MongoDB."""

    files: list[str]
    """Later ones hold newer versions of documents of earlier ones."""
    documents: int
    """In the first file."""
    indexes: list[dict[str, Any]]


class Manifest(msgspec.Struct, frozen=True):
    """The contents of a backup."""

    format: int
    created_at: str
    """ISO 8601, UTC."""
    versions: dict[str, str]
    """Of marketflow, MongoDB and the library of RocksDB that wrote it."""
    collections: dict[str, DumpedCollection]
    """By name; empty where `mongo.enabled` is off."""
    partitions: dict[str, Copied]
    """Of the trade store, by their place in it, e.g. `binance/part-00`; empty where `trades.enabled` is off."""
    files: list[FileDigest]
    """All files but this one."""


def digest_of(folder: Path, file: Path) -> FileDigest:
    """The digest of a file of a backup, which is on the disk when this returns."""
    digest = hashlib.sha256()
    size = 0
    with file.open("rb") as source:
        os.fsync(source.fileno())
        while block := source.read(_BLOCK):
            digest.update(block)
            size += len(block)
    return FileDigest(file.relative_to(folder).as_posix(), size, digest.hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Writes the manifest of a complete backup."""
    with (folder / FILE).open("wb") as out:
        out.write(msgspec.json.format(msgspec.json.encode(manifest), indent=1))
        out.flush()
        os.fsync(out.fileno())


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a backup. `BackupError` when there is none that this program can use."""
    try:
        text = (folder / FILE).read_bytes()
        number = msgspec.json.decode(text)["format"]
        if number != FORMAT:
            raise BackupError(f"{folder} is a backup of format {number}, and this program reads {FORMAT}: use its own")
        return msgspec.json.decode(text, type=Manifest)
    except FileNotFoundError:
        raise BackupError(f"{folder} is no backup: it has no {FILE}") from None
    except (OSError, msgspec.DecodeError, KeyError, TypeError) as error:
        raise BackupError(f"{folder / FILE} cannot be read ({error}): use another backup") from error


def check_digests(folder: Path, manifest: Manifest, on_progress: OnProgress) -> None:
    """Compares every file with its digest. `BackupError` when one is missing, changed, or not of the backup."""
    total, done = sum(file.size for file in manifest.files), 0
    for file in manifest.files:
        path = folder / file.path
        if not path.resolve().is_relative_to(folder.resolve()):
            raise BackupError(f"{folder / FILE} names a file outside of the backup: {file.path}")
        try:
            found = digest_of(folder, path)
        except OSError as error:
            raise BackupError(f"{path} of the backup cannot be read ({error.strerror}): use another backup") from error
        if found != file:
            raise BackupError(f"{path} is not what the backup was made with: use another backup")
        done += file.size
        on_progress("checking files", done, total)
