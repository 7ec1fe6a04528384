"""What the flow tells Prometheus is what was played."""

import asyncio
from collections import Counter
from pathlib import Path

import httpx
import pytest

from sources.replay.exchange.threaded import exchange_in_thread
from tests.e2e.test_spot_and_usdm import trade_ids
from tests.fakes.deployment import SHORT_POLL, flow_settings, free_port, hub_client, running_flow
from tests.fakes.exposition import samples
from tests.fakes.recordings import recording
from tests.fakes.tapes import market_of

pytestmark = pytest.mark.e2e
PATIENCE_S = 60


async def scraped(url: str) -> dict[tuple[str, ...], float]:
    async with httpx.AsyncClient(timeout=60) as client:
        return samples((await client.get(url)).raise_for_status().text)


async def test_the_flow_tells_what_was_played(mongod_uri: str, tmp_path: Path) -> None:
    folder, port = recording("binance-spot-2024-08-08"), free_port()
    ids = trade_ids(folder)
    played = sum(map(len, ids.values()))
    with exchange_in_thread(market_of([folder], kind="spot"), speed="max", paused=True) as exchange:
        settings = flow_settings(
            tmp_path, exchange.rest_url, mongod_uri,
            feed__symbols=list(ids),
            feed__streams=["trade", "kline"],
            feed__poll_frames=SHORT_POLL,
            metrics__enabled=True,
            metrics__port=port,
        )  # fmt: skip
        async with running_flow(tmp_path, **settings) as flow, hub_client(flow.hub_url) as client:
            await client.subscribe("Trade", "ChartUpdate", "Incident", "Status")
            await client.until_live(lines=1)
            exchange.resume()
            async with asyncio.timeout(PATIENCE_S):
                url = f"http://127.0.0.1:{port}/metrics"
                while (values := await scraped(url))["market_data_storage_writes_total", "trades", "rocksdb"] < played:
                    await asyncio.sleep(0.05)
                for channel in ("Trade", "ChartUpdate"):
                    while len(client.of_type(channel)) < values["market_data_updates_total", channel]:
                        await client.until(lambda _: True)
                values |= await scraped(url)  # what the client was told meanwhile is counted too
            assert await flow.stop() == 0, flow.said()
    assert values["market_data_storage_writes_total", "trades", "rocksdb"] == played
    assert sum(len(batch["trades"]) for batch in client.of_type("Trade")) == played
    assert values["market_data_broadcast_clients",] == 1
    assert values["market_data_errors_total", "binance"] == values["market_data_broadcast_dropped_total",] == 0
    kinds = Counter(incident["kind"] for incident in client.of_type("Incident"))
    assert all(values["market_data_incidents_total", kind, "binance"] >= count for kind, count in kinds.items())
    assert values["market_data_exchange_to_broadcast_seconds_count", "binance"] > 0
