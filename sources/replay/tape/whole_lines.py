"""Reads the lines of a compressed file that may end early, as that of a recorder that was killed does."""

import errno
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import structlog
import zstandard

_CHUNK = 65_536

log = structlog.get_logger(__name__)


class _Decompressor(Protocol):
    """What both libraries have in common."""

    @property
    def eof(self) -> bool:
        """Whether the end of what it decompresses has been read."""

    @property
    def unused_data(self) -> bytes:
        """What was behind that end."""

    def decompress(self, data: bytes, /) -> bytes:
        """What the next bytes hold."""


def check_exists(path: Path) -> None:
    """`FileNotFoundError` with the name where there is no such file or folder."""
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, "no such file", str(path))


def whole_lines(path: Path) -> Iterator[bytes]:
    """The lines of a `.zst` or else gzip file, each with its line end. A file that ends early is read as far as it
    goes, and a warning `tape_ends_early` says how far that is: a last line that was cut short is left out. `ValueError`
    when it cannot be decompressed.
    """
    rest = b""
    count, is_complete = 0, False
    for piece, is_complete in _pieces(path):  # noqa: B007 - that of the last piece is used below
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            yield line + b"\n"
        count += len(lines)
    if rest or not is_complete:
        log.warning(
            "tape_ends_early",
            path=str(path),
            lines=count,
            bytes=path.stat().st_size,
            reason=f"{path} is cut off, as by a recorder that was killed: its first {count} lines are played",
        )


def _pieces(path: Path) -> Iterator[tuple[bytes, bool]]:
    """What a file holds, piece by piece, each with whether the file could end behind it."""
    current = _decompressor(path)
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            while data:
                if current.eof:
                    current = _decompressor(path)
                try:
                    piece = current.decompress(data)
                except (zlib.error, zstandard.ZstdError) as error:
                    raise ValueError(f"{path} cannot be decompressed: {error}") from error
                yield piece, current.eof
                data = current.unused_data


def _decompressor(path: Path) -> _Decompressor:
    if path.suffix == ".zst":
        return zstandard.ZstdDecompressor().decompressobj()
    return zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
