"""What a user sees at the start and the end of the flow: wrong settings, a taken port, no network, Ctrl-C."""

import asyncio
import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

from flows.process.exit_codes import CANNOT_RUN
from sources.replay.exchange.server import running_exchange
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import ROOT, flow_settings, hub_client, running_flow

pytestmark = pytest.mark.e2e

NO_STORES = {"mongo__enabled": False, "trades__enabled": False}


async def failed_start(folder: Path, **environment: str) -> str:
    """Starts the flow, waits for it to give up, and gives what it said."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "bytewax.run", "flows.main",
        cwd=folder, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        env={**os.environ, **environment, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    said, _ = await process.communicate()
    assert process.returncode == CANNOT_RUN
    assert b"Traceback" not in said
    return said.decode()


async def test_a_wrong_key_in_the_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "marketflow.toml").write_text('[feed]\nsymbol = ["BTCUSDT"]\n')
    assert "feed.symbol" in await failed_start(tmp_path)


async def test_symbols_none_of_which_is_listed_are_named_with_their_neighbours(tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT", "ETHUSDT"), seed=1, start_ms=1_767_225_600_000)
    async with running_exchange(market, speed=1.0) as exchange:
        said = await failed_start(
            tmp_path,
            MARKETFLOW_FEED__SYMBOLS="ETHUSD,BTCUSD",
            MARKETFLOW_FEED__ORIGIN="replay",
            MARKETFLOW_FEED__WS_URL=exchange.ws_url,
            MARKETFLOW_FEED__REST_URL=exchange.rest_url,
        )
    assert "feed.symbols: ETHUSD is not traded there; did you mean ETHUSDT" in said
    assert "BTCUSD is not traded there; did you mean BTCUSDT" in said


async def test_a_taken_port_is_named(tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT", "ETHUSDT"), seed=1, start_ms=1_767_225_600_000)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        async with running_exchange(market, speed=1.0) as exchange:
            said = await failed_start(
                tmp_path,
                MARKETFLOW_HUB__PORT=str(taken.getsockname()[1]),
                MARKETFLOW_FEED__ORIGIN="replay",
                MARKETFLOW_FEED__WS_URL=exchange.ws_url,
                MARKETFLOW_FEED__REST_URL=exchange.rest_url,
            )
    assert "hub.port" in said


async def test_another_origin_needs_its_address(tmp_path: Path) -> None:
    assert "set feed.rest_url" in await failed_start(tmp_path, MARKETFLOW_FEED__ORIGIN="replay")


async def test_without_a_network_it_says_so_keeps_trying_and_ends_when_asked(tmp_path: Path) -> None:
    unreachable: dict[str, Any] = {"feed__ws_url": "ws://127.0.0.1:9", "feed__rest_url": "http://127.0.0.1:9"}
    async with (
        running_flow(tmp_path, **unreachable, **NO_STORES, feed__backoff_min_s=0.05, feed__backoff_max_s=0.05) as flow,
        hub_client(flow.hub_url) as client,
    ):
        await client.subscribe("Status", "Incident")
        if not any("feed_down" in str(message) for message in client.messages):
            await client.until(lambda m: m["type"] == "Incident" and m["data"]["kind"] == "feed_down")
        assert flow.running
        assert await flow.stop(signal.SIGINT) == 0
        said = flow.said()
    assert "ws://127.0.0.1:9/stream cannot be reached" in said
    assert "make demo" in said
    assert "symbols_not_checked" in said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_drains_and_ends_with_zero(number: signal.Signals, mongod_uri: str, tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT", "ETHUSDT"), seed=1, start_ms=1_767_225_600_000)
    async with running_exchange(market, speed=5.0) as exchange:
        settings = flow_settings(tmp_path, exchange.rest_url, mongod_uri, feed__origin="synthetic")
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.until(lambda message: message["type"] == "ChartUpdate")
            assert await flow.stop(number) == 0
            said = flow.said()
    assert '"event": "trades_stored"' in said
    assert '"event": "candles_stored"' in said
    assert "Traceback" not in said
    assert "not stored" not in said
