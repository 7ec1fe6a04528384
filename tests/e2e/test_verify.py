"""`python -m flows.verify` beside a flow that writes on."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from pymongo import MongoClient

from sinks.mongo.documents import MARKET_DATA
from sources.replay.exchange.threaded import exchange_in_thread
from tests.fakes.deployment import ROOT, START_S, environment_of, flow_settings, hub_client, running_flow
from tests.fakes.tapes import spot_recording
from tests.fakes.twins import begun

pytestmark = pytest.mark.e2e

WHOLE = 1_723_161_300_000
"""From here on the recording has all trades of each period."""
MINUTES = 7
"""So many are stored before they are verified; the last one or two may not be settled then."""
SPEED = 20.0


async def verified(folder: Path, settings: dict[str, Any], *arguments: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report of the command."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flows.verify", "--json", "-", *arguments,
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        env={**environment_of(settings), "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    out, said = await asyncio.wait_for(process.communicate(), START_S)
    assert process.returncode in (0, 1), said.decode()
    return process.returncode, json.loads(out)


async def test_a_live_flow_holds_what_it_claims(mongod_uri: str, tmp_path: Path) -> None:
    # again and again: a busy machine takes longer than one round
    market = spot_recording(loop=True)
    with (
        exchange_in_thread(market, speed=SPEED, paused=True, start_now=True) as exchange,
        MongoClient[dict[str, Any]](mongod_uri) as client,
    ):
        minutes = client[tmp_path.name][MARKET_DATA]
        ours = {"symbol": "BTCUSDT", "timeframe": "1m", "status": "final", "open_time": {"$gte": WHOLE}}
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__symbols=["BTCUSDT", "ETHUSDT"],
            feed__streams=["aggTrade", "kline"],
            feed__proof_grace_ms=500,
            feed__request_pause_ms=0,
        )  # fmt: skip
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as hub:
            await begun(exchange, hub)
            await hub.close()
            async with asyncio.timeout(START_S * 3):
                while minutes.count_documents(ours) < MINUTES:
                    await asyncio.sleep(0.1)

            code, report = await verified(tmp_path, settings, "--settle", "60", "--start", str(WHOLE))
            assert (report["findings"], code) == ([], 0), report["findings"]
            counts = report["symbols"]["BTCUSDT"]
            assert counts["recomputed"] >= 4
            assert counts["trades"] > 1_000

            of = minutes.find_one(ours, sort=[("open_time", 1)])
            assert of is not None
            minutes.update_one({"_id": of["_id"]}, {"$inc": {"trades": 1}})
            code, report = await verified(
                tmp_path, settings, "--settle", "60", "--start", str(WHOLE), "--symbols", "BTCUSDT"
            )
            assert (code, [f["open_time"] for f in report["findings"]]) == (1, [of["open_time"]])
            assert flow.running
