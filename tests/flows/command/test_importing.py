import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from tests.fakes.deployment import ROOT

Call = Callable[..., Result]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ([], 2),
        (["--source", "rest"], 2),
        (["--start", "yesterday"], 78),
        (["--start", "2024-10-02", "--end", "2024-10-01"], 78),
        (["--start", "2024-10-02", "--kinds", "books"], 78),
    ],
)
def test_what_cannot_be_imported_starts_nothing(options: list[str], code: int, call: Call, folder: Path) -> None:
    assert call("import", *options).exit_code == code
    assert list(folder.iterdir()) == []


def test_of_several_venues_one_is_to_be_named(call: Call, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MARKETFLOW_VENUES__BINANCE__SYMBOLS", "BTCUSDT")
    monkeypatch.setenv("MARKETFLOW_VENUES__KRAKEN__SYMBOLS", "BTC-USD")
    result = call("import", "--start", "2024-10-02")
    assert result.exit_code == 78
    assert "name one, by --venue, of binance, kraken" in result.stderr
    assert call("import", "--start", "2024-10-02", "--venue", "coinbase").exit_code == 78
    assert list(folder.iterdir()) == []


@pytest.mark.e2e
def test_options_are_the_settings_of_the_import(folder: Path) -> None:
    options = ["--start", "2024-10-01", "--end", "2024-10-03", "--symbols", "BTCUSDT", "--kinds", "trades", "--dry-run"]
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}
    command = [sys.executable, "-m", "flows", "import", *options]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "BTCUSDT-aggTrades-2024-10-01.zip",
        "BTCUSDT-aggTrades-2024-10-02.zip",
        "2 files to read, of 1 symbol; 0 of 2 spans imported before",
    ]
