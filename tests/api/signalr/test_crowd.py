"""Two hundred clients and one that does not read."""

import asyncio
import socket
from contextlib import AsyncExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed

from flows.model import TradeBatch
from tests.fakes.interface import NOW, Deployment, Interface, fill, interface, trade, until
from tests.fakes.signalr import Peer, peer

CLIENTS, WAVES, WAVE, CAPACITY = 200, 10, 40, 100
BUFFER = 4_608
"""Bytes that wait in each of the buffers between a client and its queue."""


async def ids(client: Peer, count: int) -> list[int]:
    """The next trades that a client gets."""
    return [(await trade_of(client))["id"] for _ in range(count)]


async def trade_of(client: Peer) -> dict[str, Any]:
    message = await client.hear()
    assert message.get("target") == "TradeUpdate", message
    found: dict[str, Any]
    (found,) = message["arguments"][0]["trades"]
    return found


async def unread_socket(served: Interface) -> socket.socket:
    """A connection whose buffer is small."""
    line = socket.socket()
    line.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
    line.setblocking(False)
    await asyncio.get_running_loop().sock_connect(line, ("127.0.0.1", int(served.url.rpartition(":")[2])))
    return line


async def test_others_see_everything_and_one_that_does_not_read_is_told_what_it_lost(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.hub["capacity"] = CAPACITY
    monkeypatch.setattr("api.gateway.socket.KERNEL_BYTES", BUFFER)
    monkeypatch.setattr("api.gateway.socket.WRITE_LIMITS", (BUFFER, BUFFER // 2))
    monkeypatch.setattr("sinks.hub.client.FULL_MS", 10**9)
    fill(deployment)
    numbers = iter(range(10**6))

    def tell(count: int) -> list[int]:
        told = [next(numbers) for _ in range(count)]
        deployment.tell(*(TradeBatch("binance", "BTCUSDT", [trade(number, NOW)]) for number in told))
        return told

    async with interface(deployment) as served, AsyncExitStack() as stack:
        counters = served.services.gateway.relay.counters
        others = [await stack.enter_async_context(peer(served, packed=number % 2 > 0)) for number in range(CLIENTS)]
        slow = await stack.enter_async_context(peer(served, sock=await unread_socket(served), max_queue=1))
        for client in (*others, slow):
            assert "result" in await client.call("Subscribe", ["Trade"])
        for _ in range(WAVES):
            told = tell(WAVE)
            assert all(seen == told for seen in await asyncio.gather(*(ids(other, WAVE) for other in others)))
        assert counters.dropped > 0
        seen: list[int] = []
        while (message := await slow.hear()).get("target") == "TradeUpdate":
            seen.append(message["arguments"][0]["trades"][0]["id"])
        assert message.get("target") == "Lagged", message
        (dropped,) = message["arguments"]
        assert seen == list(range(len(seen)))
        assert await ids(slow, CAPACITY) == list(range(len(seen) + dropped, WAVES * WAVE))
        assert len(seen) + dropped + CAPACITY == WAVES * WAVE

        monkeypatch.setattr("sinks.hub.client.FULL_MS", 0)
        while counters.clients > CLIENTS:
            told = tell(WAVE)
            assert all(seen == told for seen in await asyncio.gather(*(ids(other, WAVE) for other in others)))
        with pytest.raises(ConnectionClosed):
            while True:
                await slow.hear()
        await until(lambda: counters.clients == CLIENTS)
