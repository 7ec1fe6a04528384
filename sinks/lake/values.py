"""The digest of values, however a file encodes them or frames cut them, and what is counted beside it."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, Final

from flows.modules.late import late_module
from sinks.lake.series import INCIDENTS, TRADES, LakeSeries

if TYPE_CHECKING:
    import numpy as np
    import polars as pl
else:
    np = late_module("numpy")
    pl = late_module("polars")

_SEPARATOR: Final = "\x00"


class DayValues:
    """Follows the rows of a day, frame by frame."""

    def __init__(self, *, time: str, first_id: str = "", last_id: str = "") -> None:
        """The names of the columns that have the time of a row, and the ids of its trades; without a name there are
        none.
        """
        self._time, self._ids = time, (first_id, last_id)
        self._columns: dict[str, Any] = {}
        self.rows = 0
        self.first_time = self.last_time = -1
        self.first_id = self.last_id = -1

    def add(self, frame: pl.DataFrame) -> None:
        """Takes the next rows, in the order of time."""
        if not frame.height:
            return
        for name in frame.columns:
            column = frame[name]
            self._columns.setdefault(name, hashlib.sha256()).update(_bytes_of(column))
            if column.null_count():
                unknown = (column.is_null().arg_true() + self.rows).to_list()
                self._columns.setdefault(f"{name} is null", hashlib.sha256()).update(
                    "".join(f"{row};" for row in unknown).encode()
                )
        times = frame[self._time]
        self.first_time = times.item(0) if not self.rows else self.first_time
        self.last_time = times.item(-1)
        self.rows += frame.height
        if all(self._ids):
            first, last = (frame[name].to_numpy() for name in self._ids)
            known = first[first >= 0]
            lowest = [int(known.min())] if known.size else []
            self.first_id = min([*lowest, *([self.first_id] if self.first_id >= 0 else [])], default=-1)
            self.last_id = max(self.last_id, int(last.max()))

    def digest(self) -> str:
        """SHA-256 of all values, by the names of their columns."""
        whole = hashlib.sha256(f"{self.rows}".encode())
        for name, digest in sorted(self._columns.items()):
            whole.update(f"{name}:{digest.hexdigest()};".encode())
        return whole.hexdigest()


def values_of(series: LakeSeries) -> DayValues:
    """What follows the rows of a day of a series."""
    if series.kind == TRADES:
        return DayValues(time="time", first_id="id", last_id="id")
    if series.kind == INCIDENTS:
        return DayValues(time="begin")
    return DayValues(time="open_time", first_id="first_id", last_id="last_id")


def _bytes_of(column: pl.Series) -> bytes:
    """The values of a column; one that is not known counts as nothing."""
    if column.dtype == pl.String:
        return "".join(f"{text}{_SEPARATOR}" for text in column.fill_null("")).encode()
    if column.dtype == pl.Enum:
        column = column.to_physical()
    values = (column.fill_null(0) if column.null_count() else column).to_numpy()
    return np.ascontiguousarray(values.astype(values.dtype.newbyteorder("<"), copy=False)).tobytes()
