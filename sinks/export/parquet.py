"""A Parquet file of many frames with flat memory: each frame is a file of its own first, and polars joins them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from flows.process.late import late_module

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")


_PART: Final = "part-{:06}.parquet"
_WHOLE: Final = "whole.parquet"


class ParquetParts:
    """Frames of the same columns, kept in a folder until they are joined."""

    def __init__(self, folder: Path, empty: pl.DataFrame) -> None:
        """`empty` has the columns."""
        self._folder = folder
        self._count = 0
        self.add(empty)

    def add(self, frame: pl.DataFrame) -> None:
        """The next rows."""
        frame.write_parquet(self._folder / _PART.format(self._count))
        self._count += 1

    def join(self) -> Path:
        """The file of all rows, in their order."""
        whole = self._folder / _WHOLE
        parts = [self._folder / _PART.format(number) for number in range(self._count)]
        pl.scan_parquet(parts).sink_parquet(whole)
        for part in parts:
            part.unlink()
        return whole
