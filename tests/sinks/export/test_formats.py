"""Each format holds the rows that it was given, also in several parts."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from io import BytesIO, StringIO
from math import nan
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.dataframes import TIMESTAMP
from sinks.export.formats import BOM, FORMATS, KINDS, Encoder, Format
from sinks.export.parquet import write_parquet
from tests.fakes.candles import BEGIN
from tests.marked import ROOT

SCHEMA = {"time": pl.Int64(), "price": pl.Float64(), "status": pl.String(), "is_closed": pl.Boolean()}
ROWS: list[dict[str, Any]] = [
    {"time": BEGIN, "price": 8.12e-06, "status": "=1+1", "is_closed": True},
    {"time": BEGIN + 1, "price": nan, "status": 'a "b", c', "is_closed": None},
    {"time": BEGIN + 60_000, "price": 61837.63, "status": None, "is_closed": False},
]
UNKNOWN = [{**row, "price": None if row["price"] != row["price"] else row["price"]} for row in ROWS]


def frame_of(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=SCHEMA).with_columns(timestamp=pl.col("time").cast(TIMESTAMP))


def encoded(form: Format, *parts: pl.DataFrame, **options: Any) -> bytes:
    encoder = Encoder(form, **options)
    return b"".join([encoder.begin(frame_of()), *map(encoder.rows, parts), encoder.end()])


def test_csv_is_what_spreadsheets_and_pandas_read() -> None:
    text = encoded("csv", frame_of(*ROWS[:2]), frame_of(ROWS[2])).decode()
    assert list(csv.reader(StringIO(text))) == [
        ["timestamp", "time", "price", "status", "is_closed"],
        ["2026-01-01T00:00:00.000Z", str(BEGIN), "0.00000812", "'=1+1", "true"],
        ["2026-01-01T00:00:00.001Z", str(BEGIN + 1), "", 'a "b", c', ""],
        ["2026-01-01T00:01:00.000Z", str(BEGIN + 60_000), "61837.63", "", "false"],
    ]
    assert encoded("csv", bom=True) == BOM + b"timestamp,time,price,status,is_closed\n"


@pytest.mark.parametrize("parts", [[], ROWS[:1], ROWS])
def test_json_is_one_array_and_ndjson_its_lines(parts: list[dict[str, Any]]) -> None:
    frames = [frame_of(row) for row in parts]
    assert json.loads(encoded("json", *frames)) == UNKNOWN[: len(parts)]
    assert [json.loads(line) for line in encoded("ndjson", *frames).splitlines()] == UNKNOWN[: len(parts)]


@pytest.mark.parametrize("count", [0, 1, 3])
def test_arrow_and_parquet_have_the_columns_with_their_types(tmp_path: Path, count: int) -> None:
    rows = [frame_of(row) for row in ROWS[:count]]
    assert pl.read_ipc_stream(BytesIO(encoded("arrow", *rows))).equals(frame_of(*ROWS[:count]))
    file = tmp_path / "file"
    write_parquet(file, frame_of(), rows, level=1)
    assert pl.read_parquet(file).equals(frame_of(*ROWS[:count]))
    assert list(tmp_path.iterdir()) == [file]


def test_what_the_rows_raise_ends_a_parquet_file(tmp_path: Path) -> None:
    def rows() -> Iterator[pl.DataFrame]:
        yield frame_of(*ROWS)
        raise BufferError("no more")

    with pytest.raises(BufferError, match="no more"):
        write_parquet(tmp_path / "file", frame_of(), rows())


@given(st.lists(st.integers(0, 4_102_444_800_000), min_size=1, max_size=9))
def test_times_are_iso_8601_in_csv(times: list[int]) -> None:
    frame = pl.DataFrame({"time": times}).with_columns(timestamp=pl.col("time").cast(TIMESTAMP))
    encoder = Encoder("csv")
    lines = (encoder.begin(frame.clear()) + encoder.rows(frame)).decode().splitlines()
    written = [
        datetime.fromtimestamp(one // 1_000, UTC).strftime(f"%Y-%m-%dT%H:%M:%S.{one % 1_000:03}Z") for one in times
    ]
    assert lines == ["timestamp,time", *(f"{text},{one}" for text, one in zip(written, times, strict=True))]


def test_each_format_has_a_content_type() -> None:
    assert KINDS.keys() == set(FORMATS)


PEAK_OF = """
import sys
from pathlib import Path
import numpy, polars
from sinks.export.parquet import write_parquet
rng = numpy.random.default_rng(1)
rows = (polars.DataFrame({"a": rng.random(100_000), "b": rng.random(100_000)}) for _ in range(int(sys.argv[1])))
write_parquet(Path(sys.argv[2]), polars.DataFrame(schema={"a": polars.Float64, "b": polars.Float64}), rows)
peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(int(peak.split()[1]) * 1_024)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_a_parquet_file_of_any_length_takes_the_memory_of_a_short_one(tmp_path: Path) -> None:
    def peak(frames: int) -> int:
        command = sys.executable, "-c", PEAK_OF, str(frames), str(tmp_path / "file")
        return int(subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout)

    short, long = peak(10), peak(160)
    assert pl.scan_parquet(tmp_path / "file").select(pl.len()).collect().item() == 16_000_000
    assert long - short < 80_000_000  # of 256 MB of rows
