"""The official JavaScript client, as `make conformance` installs it, against the whole interface."""

import asyncio
import json
import os
from pathlib import Path
from typing import Any

from api.routes.protocols.signalr import PATH
from tests.fakes.interface import PATIENCE_S, Deployment, fill, interface, price
from tests.fakes.node import NODE, PACKAGES, needs_signalr

WAYS = ("json", "messagepack", "without negotiation", "events", "polling", "polling messagepack")


@needs_signalr
async def test_it_calls_subscribes_and_streams_in_both_encodings(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, token="secret") as served:
        process = await asyncio.create_subprocess_exec(
            str(NODE),
            str(Path(__file__).with_name("client.cjs")),
            served.url + PATH,
            "secret",
            env={**os.environ, "NODE_PATH": str(PACKAGES)},
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        for number, way in enumerate(WAYS):

            async def said() -> Any:
                assert process.stdout is not None
                async with asyncio.timeout(PATIENCE_S):
                    step = json.loads(await process.stdout.readline())
                assert step.pop("name", None) == way, step  # noqa: B023 - awaited within the round
                return step

            assert await said() == {"prices": ["BTCUSDT"]}
            refused = await said()
            assert "unknown_symbol" in refused["refused"]
            assert await said() == {"item": 50.0}
            heard = [await said(), await said()]
            before = 776.0 + number if number else 100.0
            assert sorted(heard, key=str) == [{"channels": ["MarketData"]}, {"push": ["BTCUSDT", before]}]
            deployment.tell(price(700.0 + number))
            assert await said() == {"push": ["BTCUSDT", 700.0 + number]}
            deployment.tell(price(777.0 + number))
            assert await said() == {"push": ["BTCUSDT", 777 + number]}
            assert await said() == {"state": "Disconnected"}
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
