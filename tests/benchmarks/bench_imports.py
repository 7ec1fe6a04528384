"""Imports: what the whole importer holds in memory, and what kills at any moment leave behind."""

import asyncio
import sys
import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from flows.backfill import MANIFEST
from sinks.mongod.server import running_mongod
from sources.archive.files import file_named
from tests.benchmarks.rows import Row
from tests.fakes.importer import Kills, ended, killed, started
from tests.fakes.imports import seal
from tests.fakes.old_days import daily_kline, days, months
from tests.fakes.warm import WarmProcess

ROWS = 10_000_000
PASSES = 200
"""So many times the file goes through its month from the begin to the end: no order is further from that of the ids."""
MOST_MB = 300
NAME = "MIXEDUSDT-aggTrades-2024-10.csv"
SAMPLE_S = 0.1
TIMEFRAMES = "1m,5m,15m,1h,4h,1d"

KILLS = 20
DAYS = 16
"""Of each of two symbols: enough that some are noted as imported before the import is over."""
MOST_TOLD = 10
"""Differences that are printed."""


# --- memory ---


def interleaved_month(folder: Path, rows: int = ROWS) -> Path:
    """A month of made-up trades; rows that follow each other are `PASSES` ids apart."""
    path, chance = folder / NAME, np.random.default_rng(11)
    file = file_named(NAME)
    assert file is not None
    with path.open("wb") as to:
        for first in range(PASSES):
            ids = np.arange(first, rows, PASSES)
            block = {
                "id": ids + 1,
                "price": np.round(90_000 + 1_000 * np.sin(ids / rows * 50) + chance.normal(0, 5, ids.size), 2),
                "quantity": np.round(chance.exponential(0.02, ids.size) + 0.00001, 5),
                "first": 2 * ids + 1,
                "last": 2 * ids + 2,
                "time": file.begin + ids * (file.end - file.begin) // rows,
                "maker": chance.random(ids.size) < 0.5,
            }
            pl.DataFrame(block).write_csv(to, include_header=False)
    seal(path)
    return path


async def peak_mb(source: Path, folder: Path, uri: str) -> float:
    """The most memory that an import of a folder ever has in use, as the system counts it, in MB."""
    process = await started(folder, source, uri, feed__timeframes=TIMEFRAMES)
    watching = asyncio.create_task(_peak_mb(process))
    code, said = await ended(process)
    assert code == 0, said
    assert f'"trades": {ROWS},' in said.splitlines()[-1], said
    return await watching


async def _peak_mb(process: WarmProcess) -> float:
    """The system keeps the highest mark itself, so that only the last moment can be missed."""
    status, highest = Path(f"/proc/{process.pid}/status"), 0
    while process.returncode is None:
        try:
            lines = status.read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):  # it has just ended
            break
        highest = max([highest, *(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))])
        await asyncio.sleep(SAMPLE_S)
    return highest / 1_024


# --- kills ---


def kills_in(folder: Path, uri: str) -> Kills:
    """Files by day without checksums, one of them missing, and by month; with klines for some of them."""
    source = days(folder / "source", DAYS)
    (source / "PEPEUSDT-aggTrades-2024-10-30.csv").unlink()
    months(source, DAYS, symbol="TWINUSDT")
    for number in range(0, DAYS, 2):
        daily_kline(source, number)
        daily_kline(source, number, symbol="TWINUSDT")
    found = asyncio.run(
        killed(folder, source, uri, symbols=("PEPEUSDT", "TWINUSDT"), kills=KILLS, seed=20, on_kill=_count)
    )
    trades = sum(map(len, found.undisturbed.trades.values()))
    moments = ", ".join(f"{at_s:.1f}" for at_s in found.at_s)
    _say(f"\r  {len(found.undisturbed.candles)} candles, {trades} trades, {len(found.undisturbed.holes)} holes; ")
    _say(f"{found.imports} imports killed at {moments} s of {found.undisturbed_s:.1f} s\n")
    _say("".join(f"    {difference}\n" for difference in found.differing[:MOST_TOLD]))
    return found


def _count(kill: int) -> None:
    _say(f"\r  kill {kill} of {KILLS}")


def _say(text: str) -> None:
    print(text, end="", file=sys.stderr, flush=True)  # noqa: T201 - progress of minutes of work


def run() -> list[Row]:
    """Both, in five to ten minutes."""
    with tempfile.TemporaryDirectory() as name, running_mongod(Path(name) / "mongod") as uri:
        folder, source = Path(name) / "memory", Path(name) / "interleaved"
        folder.mkdir()
        source.mkdir()
        interleaved_month(source)
        first_mb = asyncio.run(peak_mb(source, folder, uri))
        (folder / "archive" / MANIFEST).unlink()
        again_mb = asyncio.run(peak_mb(source, folder, uri))
        found = kills_in(Path(name), uri)
    what = f"import of {ROWS / 1e6:.0f} M rows in no order, both stores"
    kills = f"{KILLS} kills of the importer at any moment"
    return [
        Row(what, "most memory, MB", "", first_mb, MOST_MB, at_most=True),
        Row("the same over what is stored", "most memory, MB", "", again_mb, MOST_MB, at_most=True),
        Row(kills, "candles, trades and holes that differ", "an undisturbed import", len(found.differing), 0, True),
    ]
