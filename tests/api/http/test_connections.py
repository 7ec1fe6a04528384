"""Limits of the server, with peers that send incomplete requests."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest
from aiohttp import ClientSession, WSMsgType, web
from aiohttp.typedefs import Handler

from api.__main__ import running_api
from api.http.connections import Connections, connection_of
from tests.fakes.deployment import ROOT
from tests.fakes.interface import Deployment, until

PATIENCE_S = 30
HALF_A_HEADER = b"GET /fast HTTP/1.1\r\nHost: 127.0.0.1\r\n"
HALF_A_BODY = b"POST /body HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 10\r\n\r\n12345"
WHOLE = b"GET /fast HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
FEW_DESCRIPTORS = """
import asyncio, resource, sys
from tests.api.http.test_connections import served
async def main():
    resource.setrlimit(resource.RLIMIT_NOFILE, (512, 512))
    async with served() as (port, _):
        print(port, flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
asyncio.run(main())
"""


@web.middleware
async def marking(request: web.Request, handler: Handler) -> web.StreamResponse:
    connection = connection_of(request)
    assert connection is not None
    connection.on_header(request.content)
    try:
        response: web.StreamResponse = await handler(request)
        return response
    finally:
        connection.on_answer()


async def fast(_: web.Request) -> web.Response:
    return web.Response(text="fast")


async def slow(_: web.Request) -> web.Response:
    await asyncio.sleep(1)
    return web.Response(text="slow")


async def body(request: web.Request) -> web.Response:
    try:
        return web.Response(text=await request.text())
    except ConnectionError:
        return web.Response(status=400)


async def echo(request: web.Request) -> web.WebSocketResponse:
    line = web.WebSocketResponse()
    await line.prepare(request)
    async for message in line:
        await line.send_str(message.data)
    return line


@asynccontextmanager
async def served(
    *, request_s: float = 60, most_open: int = 4_096, most_waiting: int = 256
) -> AsyncIterator[tuple[int, Connections]]:
    app = web.Application(middlewares=[marking])
    app.add_routes([web.get("/fast", fast), web.get("/slow", slow), web.post("/body", body), web.get("/echo", echo)])
    connections = Connections(request_s=request_s, most_open=most_open, most_waiting=most_waiting)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    assert runner.server is not None
    listener = await connections.listen(runner.server, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1], connections
    finally:
        listener.close()
        await runner.cleanup()
        connections.close()


class Peer:
    """A connection that sends what it is given."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def answers(self) -> bytes:
        """All bytes until the end."""
        async with asyncio.timeout(PATIENCE_S):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b"reset"


@asynccontextmanager
async def peers(port: int, count: int, sent: bytes) -> AsyncIterator[list[Peer]]:
    found = []
    try:
        for _ in range(count):
            found.append(Peer(*await asyncio.open_connection("127.0.0.1", port)))
            found[-1].writer.write(sent)
        yield found
    finally:
        for peer in found:
            peer.writer.close()
        await asyncio.gather(*(peer.writer.wait_closed() for peer in found), return_exceptions=True)


@pytest.mark.parametrize("sent", [b"", HALF_A_HEADER, b"G"], ids=["nothing", "half a header", "a letter"])
async def test_a_header_that_does_not_come_is_waited_for_so_long(sent: bytes) -> None:
    async with (
        served(request_s=0.5) as (port, connections),
        peers(port, 200, sent) as found,
        ClientSession() as session,
    ):
        async with session.get(f"http://127.0.0.1:{port}/fast") as response:
            assert await response.text() == "fast"
        answers = await asyncio.gather(*(peer.answers() for peer in found))
        assert {answer[:12] for answer in answers} == {b"HTTP/1.1 408"}
        async with session.get(f"http://127.0.0.1:{port}/fast") as response:
            assert response.status == 200
        assert connections.waiting == 0


async def test_a_body_that_does_not_come_is_waited_for_so_long() -> None:
    # long enough for a busy machine to read all headers: a request without one would be answered
    async with served(request_s=5) as (port, connections), peers(port, 200, HALF_A_BODY) as found:
        assert {await peer.answers() for peer in found} <= {b"", b"reset"}
        assert connections.waiting == 0


async def test_who_sends_a_letter_now_and_then_wins_no_time() -> None:
    async with served(request_s=0.5) as (port, _), peers(port, 1, HALF_A_HEADER) as [peer]:
        ended = asyncio.create_task(peer.answers())
        while not ended.done():
            peer.writer.write(b"a")
            await asyncio.sleep(0.05)
        assert (await ended)[:12] in {b"HTTP/1.1 408", b"reset"}


async def test_of_too_many_the_oldest_ends_and_good_requests_are_served() -> None:
    async with served(most_waiting=10) as (port, connections):
        async with peers(port, 100, HALF_A_HEADER) as found, ClientSession() as session:
            for _ in range(5):
                async with session.get(f"http://127.0.0.1:{port}/fast") as response:
                    assert await response.text() == "fast"
            assert (await found[0].answers())[:12] == b"HTTP/1.1 408"
            assert connections.waiting <= 10
        await until(lambda: connections.waiting == 0)


async def test_so_many_connections_are_open_at_a_time() -> None:
    async with served(most_open=3) as (port, _):
        async with peers(port, 3, WHOLE) as held:
            for peer in held:
                await asyncio.wait_for(peer.reader.readuntil(b"fast"), PATIENCE_S)
            async with peers(port, 1, WHOLE) as [refused]:
                answer = await refused.answers()
            assert answer.startswith(b"HTTP/1.1 503")
            error = json.loads(answer.partition(b"\r\n\r\n")[2])["error"]
            assert (error["code"], error["message"]) == ("too_many_connections", "too many connections: 3 are open")

        async def is_served() -> bool:
            async with peers(port, 1, WHOLE) as [peer]:
                return b"fast" in await asyncio.wait_for(peer.reader.read(1_000), PATIENCE_S)

        await until(is_served)


async def test_every_request_on_a_connection_has_its_own_time() -> None:
    async with served(request_s=0.5) as (port, connections), peers(port, 1, WHOLE) as [peer]:
        async with asyncio.timeout(PATIENCE_S):
            assert b"fast" in await peer.reader.readuntil(b"fast")
            await asyncio.sleep(1)  # idle connections live on
            peer.writer.write(WHOLE)
            assert b"fast" in await peer.reader.readuntil(b"fast")
        assert connections.waiting == 0
        peer.writer.write(HALF_A_HEADER)
        assert (await peer.answers())[:12] == b"HTTP/1.1 408"


async def test_what_takes_its_time_to_answer_and_websockets_are_not_late() -> None:
    async with served(request_s=0.2) as (port, _), ClientSession() as session:
        url = f"http://127.0.0.1:{port}"
        async with session.get(f"{url}/slow") as response:
            assert await response.text() == "slow"
        async with session.post(f"{url}/body", data=b"0123456789") as response:
            assert await response.text() == "0123456789"
        async with session.ws_connect(f"{url}/echo") as line:
            for number in range(4):
                await line.send_str(str(number))
                message = await line.receive(timeout=PATIENCE_S)
                assert (message.type, message.data) == (WSMsgType.TEXT, str(number))
                await asyncio.sleep(0.1)


@pytest.mark.e2e
@pytest.mark.skipif(not hasattr(resource, "RLIMIT_NOFILE"), reason="there is no limit here")
async def test_beyond_the_descriptors_there_is_an_answer_and_the_process_lives_on() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", FEW_DESCRIPTORS, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    port = int(await process.stdout.readline())
    async with AsyncExitStack() as stack:
        held = await stack.enter_async_context(peers(port, 600, WHOLE))
        served_, refused = await held[0].reader.readuntil(b"fast"), await held[-1].answers()
        assert served_.startswith(b"HTTP/1.1 200")
        assert refused == b"reset" or not refused or refused.startswith(b"HTTP/1.1 503")
    async with asyncio.timeout(PATIENCE_S):
        answer = b""
        while not answer.startswith(b"HTTP/1.1 200"):  # until it is noticed that the others have gone
            async with peers(port, 1, WHOLE) as [peer]:
                answer = await peer.reader.read(1_000)
    assert process.stdin is not None
    process.stdin.write(b"\n")
    assert await asyncio.wait_for(process.wait(), PATIENCE_S) == 0


async def test_the_interface_is_served_behind_these_bounds(deployment: Deployment) -> None:
    bounds = Connections(request_s=0.5)
    post = HALF_A_BODY.replace(b"/body", b"/api/symbols").replace(
        b"\r\n\r\n", b"\r\nContent-Type: application/json\r\n\r\n"
    )
    async with running_api(deployment.settings(), connections=bounds) as (url, _), ClientSession() as session:
        port = int(url.rpartition(":")[2])
        async with peers(port, 20, post) as bodies, peers(port, 20, HALF_A_HEADER) as headers:
            assert {await peer.answers() for peer in bodies} <= {b"", b"reset"}
            assert {(await peer.answers())[:12] for peer in headers} == {b"HTTP/1.1 408"}
        for path in ("/health/live", "/", "/static/main.js"):
            async with session.get(url + path) as response:
                assert response.status == 200
        assert bounds.waiting == 0
