"""`marketflow lake`, over stores of a deployment."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from flows.model import DAY_MS
from sinks.lake.place import Lake
from tests.fakes.candles import BEGIN
from tests.fakes.interface import Deployment, stored_candles, trade

Call = Callable[..., Result]


@pytest.fixture(autouse=True)
def deployment(mongod_uri: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Ten minutes of candles, and trades of two days."""
    made = Deployment(folder / "there", mongod_uri)
    made.store(stored_candles())
    made.store_trades([trade(number, BEGIN + number * DAY_MS // 4) for number in range(8)])
    monkeypatch.setenv("MARKETFLOW_FEED__ORIGIN", "replay")
    monkeypatch.setenv("MARKETFLOW_MONGO__URI", mongod_uri)
    monkeypatch.setenv("MARKETFLOW_MONGO__DATABASE", made.database)
    monkeypatch.setenv("MARKETFLOW_TRADES__PATH", str(made.trades_path))
    return made


def test_a_lake_is_written_verified_and_mended(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = call("lake", "write", "--lake", "lake")
    assert (made.exit_code, made.stdout) == (0, "")
    assert made.stderr.splitlines()[-1] == "marketflow: 2 days written; 14 rows"
    monkeypatch.setenv("MARKETFLOW_LAKE__PATH", "lake")
    again = call("lake")  # the same as lake write
    assert again.stderr.splitlines()[-1] == "marketflow: 0 days written, 2 compared and unchanged; 0 rows"

    verified = call("lake", "verify", "--json")
    assert verified.exit_code == 0
    candles, trades = json.loads(verified.stdout)["series"]
    assert (candles["kind"], candles["rows"], candles["unproven"]) == ("candles-1m", 10, 1)
    assert (trades["kind"], trades["rows"], trades["first"]) == ("trades", 4, "2026-01-01")
    table = call("lake", "verify", "--kind", "trades").stdout.splitlines()
    assert [line.split()[:4] for line in table] == [
        ["venue", "kind", "symbol", "days"], ["binance", "trades", "BTCUSDT", "1"],
    ]  # fmt: skip

    [series] = Lake(folder / "lake").series(kind="trades")
    file = folder / "lake" / series.file("2026-01-01")
    content = file.read_bytes()
    file.write_bytes(content[:-1])
    damaged = call("lake", "verify")
    assert damaged.exit_code == 1
    assert "binance trades BTCUSDT 2026-01-01: its file is not the one that was written" in damaged.stderr
    file.unlink()
    assert "its file is missing" in call("lake", "verify").stderr
    assert call("lake", "write").stderr.splitlines()[-1].startswith("marketflow: 0 days written, 1 again")
    (folder / "lake" / series.manifest).unlink()
    unlisted = call("lake", "verify")
    assert (unlisted.exit_code, "its file is not in the manifest" in unlisted.stderr) == (1, True)
    assert call("lake", "write").exit_code == 0
    assert call("lake", "verify").exit_code == 0


def test_what_cannot_be_done_is_a_line_and_an_exit_code(call: Call, folder: Path) -> None:
    for arguments in (["lake", "write"], ["lake"]):
        assert call(*arguments).exit_code == 2  # no folder is named
    nowhere = call("lake", "verify", "--lake", "nowhere")
    assert (nowhere.exit_code, nowhere.stderr.count("\n")) == (1, 1)
    assert call("lake", "write", "--lake", "lake", "--start", "soon").exit_code == 2
    with Lake(folder / "lake").writing():
        ended = call("lake", "write", "--lake", "lake")
    assert (ended.exit_code, "another process writes" in ended.stderr) == (1, True)
