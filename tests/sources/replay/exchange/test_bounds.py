"""All faults at once, clients that read and clients that do not: the exchange's memory has a bound, and it goes on."""

import asyncio
import contextlib
import tracemalloc
from collections.abc import Iterator
from contextlib import AsyncExitStack

import httpx
import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.budget import MEGABYTE
from sources.replay.faults.content_faults import Foreign, Huge
from sources.replay.faults.orders import FAULTS, Send, decode_fault, describe
from tests.fakes.scripted_market import ScriptedMarket, trade_messages

MADE = 2 * MEGABYTE
IN_ALL = 6 * MEGABYTE
LIMITS = msgspec.structs.replace(
    SPOT_LIMITS, backlog_bytes=4 * MEGABYTE, all_backlog_bytes=IN_ALL, fault_bytes_per_s=MADE
)
COPIES = 4
"""How often what is made in a second is in memory at most: as messages, as frames of two encodings, joined, and at the
clients of this test.
"""
TRADES = 3_000
OVER = {"drop", "half_open", "shutdown", "gap", "silence"}
"""Faults that leave nothing for the others to act on."""


@pytest.fixture
def traced() -> Iterator[None]:
    tracemalloc.start()
    yield
    tracemalloc.stop()


def endless(kind: type) -> bytes:
    """The example order of a fault, for every stream and without end."""
    order = msgspec.json.decode(describe(kind).example)
    names = set(kind.__struct_fields__)  # type: ignore[attr-defined]
    wide = {"stream": "*", "count": 10**9, "megabytes": 1, "client": None, "insert": kind is not Foreign}
    return msgspec.json.encode(order | {name: value for name, value in wide.items() if name in names and value})


async def read(client: ClientConnection) -> int:
    count = 0
    with contextlib.suppress(ConnectionClosed):
        while True:
            await client.recv(decode=False)
            count += 1
    return count


@pytest.mark.usefixtures("traced")
async def test_all_faults_at_once_have_a_bound() -> None:
    market = ScriptedMarket(trade_messages(TRADES))
    async with (
        running_exchange(market, limits=LIMITS, speed=1.0, paused=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        AsyncExitStack() as stack,
    ):

        async def client(path: str) -> ClientConnection:
            return await stack.enter_async_context(
                connect(exchange.ws_url + path, compression=None, max_size=None, max_queue=1, close_timeout=0.1)
            )

        paths = ("/ws/btcusdt@trade", "/stream?streams=btcusdt@trade")
        mute = [await client(path) for path in paths for _ in range(3)]
        readers = [asyncio.create_task(read(await client(path))) for path in paths]
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        for kind in (*reversed(FAULTS), *FAULTS, *FAULTS):
            order = endless(kind)
            if msgspec.json.decode(order)["fault"] not in OVER:
                assert (await http.post("/control/faults", content=order)).status_code == 200
        exchange.resume()
        async with asyncio.timeout(300):
            await exchange.finished.wait()
        _, peak = tracemalloc.get_traced_memory()
        state = exchange.state(0.0)
        assert peak - before <= IN_ALL + COPIES * MADE
        assert state["played"] == TRADES
        assert state["fault_budget"]["dropped"] > 0
        assert state["backlog_bytes"] <= IN_ALL
        exchange.clear_faults()
        assert exchange.state(0.0)["fault_budget"]["held_bytes"] == 0
        del mute
    assert all([await reader > 0 for reader in readers])


async def test_clients_that_do_not_read_share_a_bound() -> None:
    limits = msgspec.structs.replace(LIMITS, all_backlog_bytes=6 * MEGABYTE, fault_bytes_per_s=50 * MEGABYTE)
    async with running_exchange(ScriptedMarket(), limits=limits) as exchange, AsyncExitStack() as stack:
        for _ in range(8):
            await stack.enter_async_context(
                connect(exchange.ws_url + "/ws", max_size=None, max_queue=1, close_timeout=0.1)
            )
        for _ in range(12):
            exchange.inject(Send(text="x" * 60_000, times=50))
            assert exchange.state(0.0)["backlog_bytes"] <= 6 * MEGABYTE
            await asyncio.sleep(0)
        assert exchange.state(0.0)["clients_cut"] > 0


async def test_what_cannot_be_done_is_refused_with_a_sentence() -> None:
    async with (
        running_exchange(ScriptedMarket(), limits=LIMITS) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        connect(exchange.ws_url + "/ws") as client,
    ):

        async def refused(order: dict[str, object]) -> str:
            answer = await http.post("/control/faults", json=order)
            assert answer.status_code == 400
            return str(answer.json()["error"])

        too_much = {"fault": "send", "text": "x" * 60_000, "times": 100_000}
        assert "6,000,000,000 bytes at once; at most 50,331,648" in await refused(too_much)
        assert "<= 3600" in await refused({"fault": "shutdown", "close_after_s": 1e300})
        assert "<= 65536" in await refused({"fault": "odd_reply", "text": "x" * 100_000})
        assert "may in this second" in await refused({"fault": "send", "text": "x" * 30_000, "times": 100})
        for _ in range(10):
            await http.post("/control/faults", json={"fault": "shutdown", "close_after_s": 3_600})
        assert "announced already" in await refused({"fault": "shutdown"})
        assert exchange.state(0.0)["faults"] == []
        assert decode_fault(b'{"fault":"huge"}') == Huge()
        await client.close()
