"""`marketflow export`, over stores of a deployment."""

import csv
import json
import os
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from typer.testing import Result

from tests.fakes.candles import BEGIN, gap
from tests.fakes.interface import Deployment, stored_candles, trade

Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployment(mongod_uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Ten minutes, an incident and three trades, in the test's own stores."""
    made = Deployment(folder / "there", mongod_uri)
    made.store([*stored_candles(), gap()])
    made.store_trades([trade(number, BEGIN + number * 1_000) for number in (1, 2, 3)])
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", mongod_uri)
    monkeypatch.setenv("MARKETFLOW_MONGO__DATABASE", made.database)
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", str(made.trades_path))
    return made


def test_rows_are_written_to_standard_output_and_to_files(call: Call, folder: Path) -> None:
    written = call("export", "candles", "btcusdt", "--start", "2026-01-01T00:02", "--end", str(BEGIN + 5 * 60_000))
    assert (written.exit_code, written.stderr) == (0, "marketflow: 3 rows\n")
    assert [row["close"] for row in csv.DictReader(StringIO(written.stdout))] == ["102", "103", "104"]

    closes = [100.0 + minute for minute in range(10)]
    assert call("export", "candles", "BTCUSDT", "--out", "all.parquet").stderr == "marketflow: 10 rows in all.parquet\n"
    assert pl.read_parquet(folder / "all.parquet")["close"].to_list() == closes
    assert call("export", "candles", "BTCUSDT", "--out", "all.arrow").exit_code == 0
    assert pl.read_ipc_stream(folder / "all.arrow")["close"].to_list() == closes
    assert call("export", "trades", "BTCUSDT", "-f", "json", "-o", "trades").exit_code == 0
    assert [one["id"] for one in json.loads((folder / "trades").read_text())] == [1, 2, 3]
    lines = call("export", "incidents", "-f", "ndjson").stdout.splitlines()
    assert [json.loads(line)["first_id"] for line in lines] == [7]
    files = ["all.arrow", "all.parquet", "trades"]
    beside = [f"{name}.proof.json" for name in files]
    assert sorted(path.name for path in folder.iterdir()) == sorted([*files, *beside, "there"])


def test_a_side_file_is_of_the_file_beside_it_or_is_not_there(call: Call, folder: Path) -> None:
    export = "export", "candles", "BTCUSDT", "-f", "csv", "--out"
    assert call(*export, "file").exit_code == 0
    assert (folder / "file.proof.json").exists()
    assert call(*export, "file", "--no-proof", "--end", "2026-01-01T00:02").stderr == "marketflow: 2 rows in file\n"
    assert not (folder / "file.proof.json").exists()

    reading, writing = os.pipe()
    (folder / "pipe").symlink_to(f"/proc/self/fd/{writing}")
    assert call(*export, "pipe").exit_code == 0
    os.close(writing)
    with os.fdopen(reading) as read:
        assert len(list(csv.DictReader(read))) == 10
    assert sorted(path.name for path in folder.iterdir()) == ["file", "pipe", "there"]


@pytest.mark.parametrize(
    ("arguments", "code", "reason"),
    [
        (["export", "trades"], 2, "name the symbol"),
        (["export", "candles", "BTCUSDT", "-f", "parquet"], 2, "Parquet needs a file"),
        (["export", "candles", "BTCUSDT", "--start", "soon"], 2, "is no time"),
        (["export", "candles", "BTCUSDT", "-t", "7m"], 2, "is no timeframe"),
        (["export", "trades", "BTCUSDT", "--venue", "kraken"], 1, "kraken"),
        (["export", "candles", "BTCUSDT", "-o", "nowhere/file.csv"], 1, "nowhere"),
        (["export", "candles", "BTCUSD"], 1, "no candles of BTCUSD are stored at binance; did you mean BTCUSDT?"),
        (["export", "bars", "NOPE", "-o", "bars.csv"], 1, "no trades of NOPE are stored at binance"),
    ],
)
def test_what_cannot_be_written_is_a_line_and_an_exit_code(
    call: Call, folder: Path, arguments: list[str], code: int, reason: str
) -> None:
    ended = call(*arguments)
    assert (ended.exit_code, ended.stdout) == (code, "")
    assert reason in ended.stderr
    assert [path.name for path in folder.iterdir()] == ["there"]
