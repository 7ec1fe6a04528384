"""The side file of an export: what file it belongs to, what that holds, and what proves it."""

import hashlib
import os
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from flows.process.disk import whole_file
from sinks.export.proof import SpanProof

ENDING: Final = ".proof.json"
FORMAT: Final = 1
_BLOCK: Final = 1 << 20
_OF_OPEN_FILES: Final = (Path("/dev"), Path("/dev/fd"), Path("/proc/self/fd"))


class SideFile(Struct, frozen=True, kw_only=True):
    """What stands beside a file."""

    format: int = FORMAT
    file: str
    """Its name."""
    size: int
    """Bytes."""
    sha256: str
    rows: int
    kind: str
    venue: str
    symbol: str
    timeframe: str
    """Of candles; of bars their kind and size, as in `tick 500`."""
    completeness: SpanProof
    made_at: str
    """ISO-8601, UTC."""
    version: str
    """Of marketflow."""


def side_path(file: Path) -> Path:
    """Where the side file of a file is."""
    return file.with_name(f"{file.name}{ENDING}")


def can_have_side_file(file: Path) -> bool:
    """Whether what was written to this path stays there to be read: not what went to another program by a pipe, nor
    what is only an open file's number, as /dev/stdout.
    """
    return (file.is_file() or not file.exists()) and file.absolute().parent not in _OF_OPEN_FILES


def drop_side_file(file: Path) -> None:
    """Removes what is said of an earlier file of this name."""
    side_path(file).unlink(missing_ok=True)


def size_and_digest(file: Path) -> tuple[int, str]:
    """Bytes and SHA-256 of a file."""
    digest = hashlib.sha256()
    with file.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
        return os.fstat(source.fileno()).st_size, digest.hexdigest()


def write_side_file(file: Path, content: SideFile) -> None:
    """Writes the side file of a file; it appears when it is complete."""
    with whole_file(side_path(file), replaces=True) as place:
        place.write_bytes(msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n")
