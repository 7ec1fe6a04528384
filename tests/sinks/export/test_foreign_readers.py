"""pandas, pyarrow and DuckDB read back what was exported, and the lake, value by value. They are in an environment of
their own, which `make readers` sets up.
"""

import json
import subprocess
from datetime import UTC, datetime
from typing import Any, Final, get_args

import polars as pl
import pytest

from sinks.dataframes import TIMESTAMP
from sinks.export.formats import Encoder, Format
from sinks.export.parquet import write_parquet
from sinks.lake.place import Lake
from sinks.lake.series import LakeSeries
from sinks.lake.writer import SeriesWriter
from tests.fakes.candles import BEGIN
from tests.marked import ROOT
from tests.sinks.lake.test_writer import Stored
from tests.sinks.lake.test_writer import rows as lake_rows

PYTHON: Final = ROOT / ".venv-clients" / "readers" / "bin" / "python"
SCHEMA: Final = {
    "time": pl.Int64(),
    "id": pl.Int64(),
    "price": pl.Float64(),
    "status": pl.String(),
    "sold": pl.Boolean(),
}
ROWS: Final[list[tuple[Any, ...]]] = [
    (BEGIN, 2**53 + 1, 0.1 + 0.2, "=1+1", True),
    (BEGIN + 1, 2**62, 1e-8, 'a "b", c\nd', False),
    (BEGIN + 60_000, 7, 61837.63, None, True),
    (BEGIN + 86_399_999, -1, 123456789012.5, "币安", False),
]
READ: Final = """
import json, sys
import duckdb, pandas, pyarrow, pyarrow.parquet
folder = sys.argv[1]
kinds = {"time": "int64", "id": "int64", "price": "float64", "status": "str", "sold": "bool"}

def rows(frame):
    frame = frame.astype(object).where(frame.notna(), None)
    frame["timestamp"] = [str(pandas.Timestamp(one).tz_convert("UTC").isoformat()) for one in frame["timestamp"]]
    return frame.to_dict("records")

found = {
    "pandas csv": pandas.read_csv(f"{folder}/rows.csv", dtype=kinds, parse_dates=["timestamp"],
                                  float_precision="round_trip"),
    "pandas parquet": pandas.read_parquet(f"{folder}/rows.parquet"),
    "pyarrow parquet": pyarrow.parquet.read_table(f"{folder}/rows.parquet").to_pandas(),
    "pyarrow arrow": pyarrow.ipc.open_stream(f"{folder}/rows.arrow").read_all().to_pandas(),
}
database = duckdb.connect()
database.execute("SET TimeZone = 'UTC'")
for name, source in {
    "duckdb csv": f"read_csv('{folder}/rows.csv', types={{'timestamp': 'TIMESTAMPTZ'}})",
    "duckdb parquet": f"read_parquet('{folder}/rows.parquet')",
}.items():
    found[name] = database.sql(f"SELECT * FROM {source}").fetch_arrow_table().to_pandas()
for ending in ("json", "ndjson"):
    lines = pandas.read_json(f"{folder}/rows.{ending}", lines=ending == "ndjson", dtype=kinds, precise_float=True,
                             convert_dates=False)
    lines["timestamp"] = pandas.to_datetime(lines["time"], unit="ms", utc=True)
    found[f"pandas {ending}"] = lines
read_back = {name: rows(frame) for name, frame in found.items()}
lake = f"read_parquet('{folder}/lake/**/*.parquet', hive_partitioning=true)"
read_back["lake"] = database.sql(f"SELECT venue, kind, symbol, date, id, price FROM {lake} ORDER BY id").fetchall()
print(json.dumps(read_back, default=str))
"""


@pytest.fixture(scope="module")
def read_back(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What each reader has read of each file."""
    if not PYTHON.exists():
        pytest.skip("pandas, pyarrow and duckdb are not installed: make readers")
    folder = tmp_path_factory.mktemp("files")
    frame = pl.DataFrame(ROWS, schema=SCHEMA, orient="row").with_columns(timestamp=pl.col("time").cast(TIMESTAMP))
    for form in get_args(Format):
        path = folder / f"rows.{form}"
        if form == "parquet":
            write_parquet(path, frame.clear(), [frame[:2], frame[2:]])
        else:
            encoder = Encoder(form)
            parts = (encoder.begin(frame.clear()), encoder.rows(frame[:2]), encoder.rows(frame[2:]), encoder.end())
            path.write_bytes(b"".join(parts))
    lake = Lake(folder / "lake")
    with lake.writing():
        series = LakeSeries("binance", "trades", "BTC/USDT")
        SeriesWriter(lake, series, wall_ms=lambda: 7).write("2026-01-01", Stored(lake_rows(4, 5)))
    done = subprocess.run([PYTHON, "-c", READ, folder], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


NAMES: Final = [
    f"{reader} {form}"
    for reader, forms in {
        "pandas": "csv json ndjson parquet", "pyarrow": "arrow parquet", "duckdb": "csv parquet",
    }.items()
    for form in forms.split()
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_every_value_is_read_back(read_back: dict[str, Any], name: str) -> None:
    is_csv = name.endswith("csv")  # where a text that would be a formula begins with an apostrophe
    expected = [
        dict(zip(SCHEMA, row, strict=True))
        | {"timestamp": datetime.fromtimestamp(row[0] / 1_000, UTC).isoformat()}
        | ({"status": f"'{row[3]}"} if is_csv and str(row[3]).startswith("=") else {})
        for row in ROWS
    ]
    read = [{key: row[key] for key in expected[0]} for row in read_back[name]]
    for row in read:
        row["timestamp"] = datetime.fromisoformat(row["timestamp"]).isoformat()
    assert read == expected


def test_duckdb_reads_the_lake_with_its_folders_as_columns(read_back: dict[str, Any]) -> None:
    assert read_back["lake"] == [["binance", "trades", "BTC/USDT", "2026-01-01", number, 1.5] for number in (4, 5)]
