"""Stored trades of a candle that the exchange has refuted, when the flow is killed before it could fetch the true ones:
the verification names them, a restart or a repair brings them.
"""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from sources.replay.faults import content_faults as contents
from sources.replay.faults import orders as faults
from tests.fakes.deployment import START_S, environment_of
from tests.fakes.playing import PACED_S, SYMBOLS, Deployment, playing
from tests.fakes.young_market import YoungMarket

pytestmark = pytest.mark.e2e

BEGIN_MS = 1_767_225_600_000
WRONG = "31337"
"""A quantity, ten thousand times the usual one."""
SAVED_S = 4.0
"""The engine saves the state every second."""
SETTLE_S = 2
"""What is younger is not verified; the wrong trade is older."""


async def verified(deployment: Deployment, settings: dict[str, Any], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows.verify", "--json", "-",
        "--timeframes", "1s", "--settle", str(SETTLE_S), *arguments,
        cwd=deployment.folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env=environment_of(settings),
    )  # fmt: skip
    out, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode in (0, 1), said.decode()
    return process.returncode, json.loads(out)


async def killed_before_the_answer(deployment: Deployment) -> None:
    """A trade with a wrong quantity is stored, the exchange refutes its candle, and its trades cannot be had when the
    flow is killed.
    """
    await deployment.inject(faults.WrongAnswer(path="/api/v3/aggTrades", form="cut", count=None))
    await deployment.inject(contents.WrongValue(stream="btcusdt@aggTrade", field="q", text=WRONG))
    await deployment.incident("mismatch", "ours wrong")
    await asyncio.sleep(SAVED_S)
    await deployment.end(kill=True)


async def refuted(deployment: Deployment, settings: dict[str, Any]) -> dict[str, Any]:
    """The finding about the wrong trade; there is no other of its kind."""
    code, report = await verified(deployment, settings)
    finding: dict[str, Any]
    [finding] = [one for one in report["findings"] if one["kind"] == "refuted"]
    assert (code, finding["symbol"], finding["timeframe"]) == (1, SYMBOLS[0], "1s")
    return finding


@pytest.mark.parametrize("is_repaired", [False, True], ids=["restart", "repair"])
async def test_killed_before_the_true_trades_came_they_come_afterwards(
    mongod_uri: str, tmp_path: Path, is_repaired: bool
) -> None:
    market = YoungMarket(SYMBOLS, start_ms=BEGIN_MS, trades_per_s=15)
    async with playing(tmp_path / "flow", mongod_uri, market) as deployment:
        settings = deployment.settings
        await asyncio.sleep(PACED_S)
        await killed_before_the_answer(deployment)
        finding = await refuted(deployment, settings)
        await asyncio.to_thread(deployment.exchange.clear_faults)
        if is_repaired:
            code, report = await verified(deployment, settings, "--repair", "--against", "rest")
            assert (code, report["refilled"]) == (1, 1), report
            assert report["republished"] >= 1
            _, again = await verified(deployment, settings)
            assert [one for one in again["findings"] if one["kind"] == "refuted"] == []
        await deployment.start()
        if not is_repaired:
            replaced = await deployment.incident("mismatch", "stored with other values")
            assert "its REST side has the new ones" in replaced["outcome"]
        await deployment.goes_on()
        await deployment.assert_stored()
        code, report = await verified(deployment, settings, "--settle", "5")
        assert finding["open_time"] not in {one["open_time"] for one in report["findings"]}, report
        assert (code, report["totals"]) == (0, {}), report
