"""What a user sees when a store cannot be used at start: one line, and exit code 78."""

import asyncio
import fcntl
import sys
from pathlib import Path

import pytest

from flows.model import TradeBatch
from flows.process.exit_codes import CANNOT_RUN
from flows.recovery import prepare
from sinks.trades.writer import TradeWriter
from tests.fakes.deployment import environment_of
from tests.fakes.trades import trade

pytestmark = pytest.mark.e2e

UNREACHABLE = {
    "feed__ws_url": "ws://127.0.0.1:9",
    "feed__rest_url": "http://127.0.0.1:9",
    "mongo__enabled": False,
    "hub__enabled": False,
    "metrics__enabled": False,
}


async def refusal(folder: Path, trades_path: Path) -> str:
    """Starts the flow, which must give up, and gives its last words."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bytewax.run", "flows.main", "-r", str(folder / "recovery"), "-s", "1", "-b", "0",
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env=environment_of(UNREACHABLE | {"trades__path": str(trades_path)}),
    )  # fmt: skip
    said, _ = await process.communicate()
    text = said.decode()
    assert process.returncode == CANNOT_RUN, text
    assert "Traceback" not in text
    assert "panicked" not in text
    [line] = [line for line in text.splitlines() if line.startswith("marketflow: ")]
    assert text.endswith(f"{line}\n")
    return line


def stored(folder: Path) -> Path:
    """A trade store with a table, and its partition."""
    part = folder / "trades" / "binance" / "part-00"
    writer = TradeWriter(part, venue="binance", retention_days=0)
    writer.write([TradeBatch("binance", "BTCUSDT", [trade(number, number) for number in range(100)])])
    writer.close()
    return part


async def test_a_damaged_recovery_file(tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    (tmp_path / "recovery" / "part-0.sqlite3").write_bytes(b"no database")
    line = await refusal(tmp_path, tmp_path / "trades")
    assert f"move {tmp_path / 'recovery'} away and start again" in line


async def test_a_directory_without_recovered_state(tmp_path: Path) -> None:
    assert "prepare it with python -m flows.recovery" in await refusal(tmp_path, tmp_path / "trades")


async def test_a_trade_store_that_lacks_a_table(tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    [table] = stored(tmp_path).glob("*.sst")
    table.unlink()
    line = await refusal(tmp_path, tmp_path / "trades")
    assert str(table.parent) in line
    assert "move it away and start again" in line


@pytest.mark.parametrize("path", ["{folder}/with_a_file", "/proc/marketflow"])
async def test_a_path_where_no_store_can_be_made(tmp_path: Path, path: str) -> None:
    prepare(tmp_path / "recovery")
    (tmp_path / "with_a_file").mkdir()
    (tmp_path / "with_a_file" / "binance").write_text("")
    line = await refusal(tmp_path, Path(path.format(folder=tmp_path)))
    assert "cannot be made" in line
    assert "set trades.path to a directory" in line


async def test_a_store_that_another_process_writes(tmp_path: Path) -> None:
    prepare(tmp_path / "recovery")
    part = stored(tmp_path)
    with (part / "LOCK").open("r+b") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        line = await refusal(tmp_path, tmp_path / "trades")
    assert "another process writes to it" in line
