"""More clients than a process has descriptors for: the line to the exchange comes back all the same."""

import asyncio
import resource
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from sources.replay.exchange.threaded import exchange_in_thread
from sources.replay.faults.orders import Drop
from sources.replay.synthetic.market import SyntheticMarket
from tests.fakes.deployment import flow_settings, hub_client, running_flow

pytestmark = [pytest.mark.e2e, pytest.mark.skipif(sys.platform != "linux", reason="limits of another process")]

LIMIT = 512


async def test_clients_never_take_the_descriptor_that_the_line_needs(tmp_path: Path) -> None:
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=1, start_ms=1_767_225_600_000)
    with exchange_in_thread(market, speed=1.0) as exchange:
        settings = flow_settings(
            tmp_path,
            exchange.rest_url,
            "mongodb://127.0.0.1:9",
            mongo__enabled=False,
            feed__symbols=["BTCUSDT"],
            feed__streams=["aggTrade"],
            feed__backoff_min_s=0.1,
        )
        async with (
            running_flow(tmp_path, **settings) as flow,
            hub_client(flow.hub_url) as watcher,
            AsyncExitStack() as all_,
        ):
            await watcher.subscribe("Status", "Incident")
            await watcher.until_live(1)
            psutil.Process(flow.pid).rlimit(resource.RLIMIT_NOFILE, (LIMIT, LIMIT))
            clients = 0
            with pytest.raises(InvalidStatus) as refused:
                while clients < LIMIT:
                    await all_.enter_async_context(connect(flow.hub_url, compression=None))
                    clients += 1
            for _ in range(LIMIT):  # and as many that say nothing
                _, writer = await asyncio.open_connection("127.0.0.1", int(flow.hub_url.rpartition(":")[2][:-3]))
                all_.callback(writer.close)

            exchange.inject(Drop())
            await watcher.until(lambda m: m["type"] == "Incident" and m["data"]["kind"] == "reconnect")

            assert refused.value.response.status_code == 503
            assert b"descriptors of the process" in bytes(refused.value.response.body or b"")
            assert clients > LIMIT // 4
            assert psutil.Process(flow.pid).num_fds() < LIMIT
            assert flow.said().count("out of system resource") == 0
