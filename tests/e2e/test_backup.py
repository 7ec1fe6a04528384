"""A backup beside a flow that writes, restored elsewhere: it holds what it claims, and what the flow has stored."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from flows.recovery import prepare
from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import environment_of, hub_client, running_flow
from tests.fakes.interface import until
from tests.fakes.true_tape import BEGIN_MS
from tests.fakes.twins import SYMBOLS, begun, candles_of, recovering, settings_for, trades_of

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

SPEED = 30.0
PATIENCE_S = 240
"""Longest wait for something that should take seconds: a bound for broken runs, not a measure."""
PROVEN = 8
"""Confirmed minutes of each symbol before the backup: more than a verification leaves out as too young."""


async def marketflow(folder: Path, settings: dict[str, Any], *words: str) -> tuple[int | None, str]:
    """Exit code and output of a command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows", *words,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT, env=environment_of(settings),
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode, said.decode()


def proven(uri: str, database: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    """By key, the closed candles that the exchange has confirmed."""
    keys = ("symbol", "timeframe", "open_time")
    found = (each for each in candles_of(uri, database) if each["is_closed"] and each["proof"] == "equal")
    return {tuple(each[key] for key in keys): each for each in found}


def minutes(uri: str, database: str) -> int:
    """Minutes from trades of each symbol."""
    confirmed = proven(uri, database).items()
    found = [key[0] for key, each in confirmed if each["status"] == "final" and key[1] == "1m"]
    return min(map(found.count, SYMBOLS))


async def test_a_backup_beside_a_writer_is_restored_elsewhere(mongod_uri: str, tmp_path: Path) -> None:
    live, name = tmp_path / "live", f"restored_{tmp_path.name}"
    live.mkdir()
    prepare(live / "recovery")
    market = SyntheticMarket("spot", SYMBOLS, seed=7, start_ms=BEGIN_MS, trades_per_s=5.0)
    with exchange_in_thread(market, speed=SPEED, paused=True, start_now=True) as exchange:
        ours = settings_for(live, exchange, mongod_uri) | {"mongo__database": tmp_path.name}
        async with running_flow(live, *recovering(live), **ours) as flow, hub_client(flow.hub_url) as client:
            await begun(exchange, client)
            await until(lambda: minutes(mongod_uri, tmp_path.name) >= PROVEN, patience_s=PATIENCE_S)
            before = proven(mongod_uri, tmp_path.name)
            code, said = await marketflow(tmp_path, ours, "backup", "saved")
            assert code == 0, said
            exchange.pause()
            assert await flow.stop() == 0, flow.said()
    theirs = ours | {"mongo__database": name, "trades__path": str(tmp_path / "copy" / "trades")}
    for words in (("restore", "saved", "--folder", "copy"), ("verify", "--json", "report.json")):
        code, said = await marketflow(tmp_path, theirs, *words)
        assert code == 0, said
    report = json.loads((tmp_path / "report.json").read_text())
    assert min(report["symbols"][symbol]["trades"] for symbol in SYMBOLS) > 0
    after, restored = proven(mongod_uri, tmp_path.name), proven(mongod_uri, name)
    assert [key for key, each in before.items() if restored[key] not in (each, after[key])] == []
    written, copied = trades_of(live), trades_of(tmp_path / "copy")
    for symbol in SYMBOLS:
        newest = copied[symbol]["id"][-1]
        assert copied[symbol]["last_id"][-1] >= max(each["last_id"] for key, each in before.items() if key[0] == symbol)
        assert copied[symbol].equals(written[symbol].filter(pl.col("id") <= newest))
