"""Stateful reconnects: the official client through a line that is cut; what the server grants, refuses and forgets."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.routes.protocols.signalr import PATH
from flows.model import TradeBatch
from tests.fakes.deployment import free_port
from tests.fakes.interface import NOW, PATIENCE_S, Deployment, Interface, fill, interface, trade, until
from tests.fakes.node import NODE, PACKAGES, needs_signalr
from tests.fakes.signalr import Peer, connection, peer, records_of
from tests.fakes.slow_line import slow_line

CUTS, TRADES = 5, 20


def tell_trade(deployment: Deployment, number: int) -> None:
    deployment.tell(TradeBatch("binance", "BTCUSDT", [trade(number, NOW + number)]))


def sort(step: dict[str, Any], trades: list[int], answers: list[dict[str, Any]]) -> None:
    if "trade" in step:
        trades.append(step["trade"])
    else:
        answers.append(step)


class Official:
    """The official client in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def say(self, line: bytes) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + b"\n")

    async def said(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            step: dict[str, Any] = json.loads(await self.process.stdout.readline())
        return step


@asynccontextmanager
async def official(port: int, *arguments: str) -> AsyncIterator[Official]:
    """Subscribed to trades; it is stopped in the end."""
    process = await asyncio.create_subprocess_exec(
        str(NODE),
        str(Path(__file__).with_name("resume.cjs")),
        f"http://127.0.0.1:{port}{PATH}",
        "secret",
        *arguments,
        env={**os.environ, "NODE_PATH": str(PACKAGES)},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    client = Official(process)
    try:
        assert await client.said() == {"state": "subscribed"}
        yield client
        client.say(b"stop")
        assert await client.said() == {"state": "closed"}
        async with asyncio.timeout(PATIENCE_S):
            assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


@needs_signalr
@pytest.mark.parametrize("encoding", ["json", "messagepack"])
async def test_nothing_is_lost_and_nothing_comes_twice(deployment: Deployment, encoding: str) -> None:
    fill(deployment)
    async with (
        interface(deployment, token="secret") as served,
        slow_line(port_of(served)) as line,
        official(line.port, encoding) as client,
    ):
        line.delay_s = 0.02  # what is under way when it is cut never arrives
        trades: list[int] = []
        answers: list[dict[str, Any]] = []
        for number in range(CUTS * TRADES):
            tell_trade(deployment, number)
            if number % TRADES == TRADES // 2:
                client.say(b"1")
                await asyncio.sleep(0.01)
                assert line.cut()
                client.say(b"1")
                while len(answers) < 2 * (number // TRADES + 1):
                    sort(await client.said(), trades, answers)  # so it is there again
        while len(trades) < CUTS * TRADES:
            sort(await client.said(), trades, answers)
        assert trades == list(range(CUTS * TRADES))
        assert answers == [{"answer": 50, "number": number, "same": True} for number in range(1, CUTS * 2 + 1)]


@needs_signalr
@pytest.mark.parametrize("kind", ["stateful", "stateless"])
async def test_after_the_end_of_the_server_the_client_begins_anew(deployment: Deployment, kind: str) -> None:
    fill(deployment)
    port = free_port()
    async with AsyncExitStack() as first, AsyncExitStack() as second:
        await first.enter_async_context(interface(deployment, token="secret", port=port))
        client = await second.enter_async_context(official(port, "json", kind))
        await first.aclose()
        assert await client.said() == {"state": "reconnecting"}
        async with interface(deployment, token="secret", port=port):
            assert await client.said() == {"state": "reconnected"}
            client.say(b"1")
            assert await client.said() == {"answer": 50, "number": 1, "same": False}
            await second.aclose()


def port_of(served: Interface) -> int:
    return int(served.url.rpartition(":")[2])


async def negotiated(served: Interface, *, version: int = 1) -> str:
    """The query of a connection that may come back."""
    asked = {"negotiateVersion": str(version), "useStatefulReconnect": "true"}
    async with served.session.post(f"{served.url}{PATH}/negotiate", params=asked) as response:
        answer = await response.json()
    assert answer["useStatefulReconnect"] is True
    return f"?id={answer['connectionToken' if version else 'connectionId']}"


class Line:
    """A WebSocket whose acknowledgements are kept apart, as they and pings come at any time."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self.acknowledged = 0

    async def frame(self) -> list[dict[str, Any]]:
        """What else there is in the next frame."""
        async with asyncio.timeout(PATIENCE_S):
            messages = records_of(str(await self.connection.recv()).encode(), packed=False)
        for message in messages:
            if message["type"] == 8:
                self.acknowledged = message["sequenceId"]
        return [message for message in messages if message["type"] not in (6, 8)]

    async def received(self) -> list[dict[str, Any]]:
        """The messages of the next frame that has some."""
        while not (messages := await self.frame()):
            pass
        return messages


async def refused(served: Interface, query: str, **options: Any) -> int:
    with pytest.raises(InvalidStatus) as error:
        async with connection(served, query, **options):
            pass
    return error.value.response.status_code


async def subscribed(client: Peer, deployment: Deployment) -> None:
    """With one trade that it has, and one that is told."""
    assert "result" in await client.call("Subscribe", ["Trade"])
    tell_trade(deployment, 1)
    assert (await client.hear())["target"] == "TradeUpdate"


async def test_a_connection_that_still_seems_to_be_there_gives_way(served: Interface, deployment: Deployment) -> None:
    query = await negotiated(served)
    async with peer(served, query, version=2) as client:
        await subscribed(client, deployment)
        async with connection(served, query) as line:
            connected = Line(line)
            first, *again = await connected.received()
            assert first == {"type": 9, "sequenceId": 1}
            assert [one["type"] for one in again] == [3, 1]
            with pytest.raises(ConnectionClosed):
                while True:
                    await client.line.recv()
            call = '{"type":1,"target":"GetPrices","arguments":[["ETHUSDT"]],"invocationId":"%d"}\x1e'
            await line.send(call % 2 + '{"type":9,"sequenceId":1}\x1e' + call % 1 + call % 2)
            (answer,) = await connected.received()
            assert (answer["invocationId"], answer["result"][0]["price"]) == ("2", 50.0), "only what is new is served"
            while connected.acknowledged < 2:
                assert not await connected.frame()
            tell_trade(deployment, 2)
            assert [one["arguments"][0]["trades"][0]["id"] for one in await connected.received()] == [2]
            await line.send('{"type":8,"sequenceId":4}\x1e{"type":6}\x1e' + call % 3)
            assert (await connected.received())[0]["invocationId"] == "3"
            line.transport.abort()
        async with connection(served, query) as line:
            connected = Line(line)
            first, *again = await connected.received()
            assert first == {"type": 9, "sequenceId": 5}
            assert [one["invocationId"] for one in again] == ["3"]
            await line.send('{"type":7}\x1e')
            with pytest.raises(ConnectionClosed):
                while True:
                    await line.recv()
        await until(lambda: gone(served, query))


async def gone(served: Interface, query: str) -> bool:
    """Whether the connection has ended: it is refused, and not resumed."""
    try:
        async with connection(served, query):
            return False
    except InvalidStatus as error:
        return error.response.status_code == 404


async def test_it_is_granted_when_it_is_wanted_and_to_whom_it_was(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, token="secret", account_token="own") as served:
        served.session.headers["Authorization"] = "Bearer secret"
        async with served.session.post(f"{served.url}{PATH}/negotiate?negotiateVersion=1") as response:
            assert "useStatefulReconnect" not in await response.json()
        mine: dict[str, Any] = {"additional_headers": {"Authorization": "Bearer secret"}}
        own: dict[str, Any] = {"additional_headers": {"Authorization": "Bearer own"}}
        query = await negotiated(served)
        async with peer(served, query, **mine):
            assert await refused(served, query, **mine) == 409, "its handshake was of version 1"
        query = await negotiated(served, version=0)
        async with connection(served, query, **mine):
            assert await refused(served, query, **mine) == 409, "there was no handshake"
        query = await negotiated(served)
        async with peer(served, query, version=2, **mine) as client:
            assert await refused(served, query) == 401
            assert await refused(served, query, **own) == 403
            await client.call("GetPrices", ["ETHUSDT"])
            await client.line.close(1000)
        await until(lambda: _is(404, served, query, mine))


async def _is(status: int, served: Interface, query: str, options: dict[str, Any]) -> bool:
    return await refused(served, query, **options) == status


async def test_whoever_is_away_too_long_or_misses_too_much_begins_anew(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    deployment.hub["capacity"] = 10
    fill(deployment)
    async with interface(deployment) as served:
        query = await negotiated(served)
        async with peer(served, query, version=2) as client:
            await subscribed(client, deployment)
            client.line.transport.abort()
        monkeypatch.setattr("sinks.hub.client.FULL_MS", 0)
        counters = served.services.gateway.relay.counters
        big = [TradeBatch("binance", "BTCUSDT", [trade(number, NOW)] * 1_000) for number in range(40)]
        for batch in big:  # 100 kB each; a megabyte is kept, and then ten
            deployment.tell(batch)
        await until(lambda: counters.clients == 0)
        assert counters.dropped
        assert await refused(served, query) == 404
        query = await negotiated(served)
        monkeypatch.setattr("api.signalr.resumption.WINDOW_MS", 0)
        async with peer(served, query, version=2) as client:
            await client.call("GetPrices", ["ETHUSDT"])
            client.line.transport.abort()
        await until(lambda: gone(served, query))
