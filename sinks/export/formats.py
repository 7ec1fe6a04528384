"""Frames as the bytes of a file, a frame at a time: CSV, JSON, NDJSON and Arrow's IPC stream.

All frames of a file have the same columns, of which the last is `timestamp`, the time of a row as UTC datetime.

| format | rows |
|---|---|
| CSV (RFC 4180) | a header; `timestamp` first, as ISO-8601 with `Z`; decimal numbers; what is unknown is empty |
| JSON | one array of objects; times as integers, what is unknown is null |
| NDJSON | the same objects, one a line |
| Arrow | the columns with their types |

A text that a spreadsheet would take for a formula begins with `'` in CSV.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from io import BytesIO
from typing import TYPE_CHECKING, Final, Literal, NamedTuple, TypeAlias, get_args

from flows.modules.late import late_module
from sinks.export.arrow import END, arrow_parts

if TYPE_CHECKING:
    import polars as pl
else:
    pl = late_module("polars")

Format: TypeAlias = Literal["csv", "json", "ndjson", "arrow", "parquet"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)
BOM: Final = b"\xef\xbb\xbf"
"""What Excel needs to read UTF-8."""
LEVEL: Final = 1
"""Compression of Parquet by zstd: a file is a seventh larger than at the usual level, and made in two thirds of the
time."""
_MINUTE_MS: Final = 60_000
_FORMULA: Final = r"^[=+\-@\t\r]"


class FileKind(NamedTuple):
    """How a format is named in HTTP, and whether compression makes it smaller."""

    media: str
    is_text: bool


KINDS: Final[Mapping[Format, FileKind]] = {
    "csv": FileKind("text/csv", True),
    "json": FileKind("application/json", True),
    "ndjson": FileKind("application/x-ndjson", True),
    "arrow": FileKind("application/vnd.apache.arrow.stream", False),
    "parquet": FileKind("application/vnd.apache.parquet", False),
}


class Encoder:
    """Writes one file of a format that consists of parts, which Parquet does not."""

    def __init__(self, form: Format, *, bom: bool = False) -> None:
        """`bom` begins a CSV file with the byte order mark."""
        self._rows = _ROWS[form]
        self._form = form
        self._head = BOM if bom and form == "csv" else b""
        self._has_rows = False

    def begin(self, empty: pl.DataFrame) -> bytes:
        """The begin of the file, of a frame of its columns without rows."""
        match self._form:
            case "csv":
                return self._head + _csv(empty, header=True)
            case "json":
                return b"["
            case "arrow":
                return arrow_parts(empty).head
        return b""

    def rows(self, frame: pl.DataFrame) -> bytes:
        """The next rows."""
        if frame.is_empty():
            return b""
        separator = b"," if self._form == "json" and self._has_rows else b""
        self._has_rows = True
        return separator + self._rows(frame)

    def end(self) -> bytes:
        """The end of the file."""
        return {"json": b"]\n", "arrow": END}.get(self._form, b"")


def _csv(frame: pl.DataFrame, *, header: bool = False) -> bytes:
    text = pl.selectors.string()
    shown = frame.with_columns(
        _iso(frame["timestamp"]),
        pl.selectors.float().fill_nan(None),
        pl.when(text.str.contains(_FORMULA)).then("'" + text).otherwise(text).name.keep(),
    ).select("timestamp", *frame.columns[:-1])
    out = BytesIO()
    shown.write_csv(out, include_header=header, float_scientific=False)
    return out.getvalue()


def _iso(times: pl.Series) -> pl.Series:
    """Times as ISO-8601 with `Z`: those of a minute begin with the same text, which is made once."""
    ms = times.cast(pl.Int64)
    minutes = ms // _MINUTE_MS
    known = minutes.unique().sort()
    begins = (known * _MINUTE_MS).cast(times.dtype).dt.strftime("%Y-%m-%dT%H:%M:")
    return (begins.gather(known.search_sorted(minutes)) + _ends().gather(ms % _MINUTE_MS)).alias(times.name)


@cache
def _ends() -> pl.Series:
    """Seconds and milliseconds of every time of a minute."""
    return pl.Series([f"{ms // 1_000:02}.{ms % 1_000:03}Z" for ms in range(_MINUTE_MS)])


def _ndjson(frame: pl.DataFrame) -> bytes:
    out = BytesIO()
    frame.drop("timestamp").with_columns(pl.selectors.float().fill_nan(None)).write_ndjson(out)
    return out.getvalue()


def _json(frame: pl.DataFrame) -> bytes:
    return _ndjson(frame).rstrip(b"\n").replace(b"\n", b",")


def _arrow(frame: pl.DataFrame) -> bytes:
    return arrow_parts(frame).batch


_ROWS: Final[Mapping[Format, Callable[[pl.DataFrame], bytes]]] = {
    "csv": _csv,
    "json": _json,
    "ndjson": _ndjson,
    "arrow": _arrow,
}
