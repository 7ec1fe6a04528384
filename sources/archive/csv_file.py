"""The text of a file of trades or klines, zipped or not, and the unit of its times."""

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final

import polars as pl

from flows.bounds import MICROSECONDS_FROM

UNREADABLE: Final = (OSError, EOFError, ValueError, zipfile.BadZipFile, zlib.error)
"""What reading a file raises that is not there, damaged, or another than one of this kind."""


@contextmanager
def opened(path: Path) -> Iterator[IO[bytes]]:
    """The file, or the one CSV file in a `.zip`. One of `UNREADABLE` when there is not exactly one, or it cannot be
    read.
    """
    if path.suffix != ".zip":
        with path.open("rb") as file:
            yield file
        return
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist() if name.endswith(".csv")]
        if len(names) != 1:
            raise ValueError(f"it holds {len(names)} CSV files, and should hold one")
        with archive.open(names[0]) as member:
            yield member


def in_ms(time: pl.Expr) -> pl.Expr:
    """Column of times in milliseconds, of which those in microseconds are reduced."""
    return pl.when(time >= MICROSECONDS_FROM).then(time // 1_000).otherwise(time)
