import asyncio
import gc
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve

from sources.connection.transport import (
    MAX_MESSAGE_BYTES,
    NotInstalledError,
    Open,
    Socket,
    TransportError,
    transport_of,
)
from sources.feed import Headers
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.limits import SPOT_LIMITS, Limits
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import Drop, HalfOpen
from tests.fakes.scripted_market import ScriptedMarket, trade_messages

TRADES = trade_messages(3_000)
DATA = [trade.data for trade in TRADES]


@pytest.fixture(params=["websockets", "picows"])
def open_socket(request: pytest.FixtureRequest) -> Open:
    return transport_of(request.param)


class Arrivals:
    """What a socket has handed over."""

    def __init__(self) -> None:
        self.messages: list[bytes] = []
        self._arrived = asyncio.Event()

    def receive(self, message: bytes) -> None:
        self.messages.append(message)
        self._arrived.set()

    async def until(self, count: int) -> list[bytes]:
        async with asyncio.timeout(20):
            while len(self.messages) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.messages


@asynccontextmanager
async def connected(open_socket: Open, url: str, **options: Any) -> AsyncIterator[tuple[Socket, Arrivals]]:
    arrivals = Arrivals()
    socket = await open_socket(url, arrivals.receive, **{"timeout_s": 10.0} | options)
    try:
        yield socket, arrivals
    finally:
        await socket.close()
        gc.collect()  # a forgotten task or socket warns now, and warnings are errors


@asynccontextmanager
async def exchange_of(limits: Limits = SPOT_LIMITS, *, paused: bool = False) -> AsyncIterator[ReplayExchange]:
    async with running_exchange(ScriptedMarket(TRADES), paused=paused, limits=limits) as exchange:
        yield exchange


@asynccontextmanager
async def peer(handle: Any) -> AsyncIterator[str]:
    async with serve(handle, "127.0.0.1", 0, max_size=None) as server:
        yield f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"


async def ended(socket: Socket) -> str:
    async with asyncio.timeout(20):
        return await socket.wait_ended()


async def test_every_message_is_handed_over_in_order(open_socket: Open) -> None:
    async with exchange_of() as exchange, connected(open_socket, f"{exchange.ws_url}/ws") as (socket, arrivals):
        await socket.send('{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":1}')
        assert await arrivals.until(1 + len(DATA)) == [b'{"result":null,"id":1}', *DATA]


async def test_headers_are_part_of_the_handshake_and_their_values_are_not_shown(open_socket: Open) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def note(server: ServerConnection) -> None:
        assert server.request is not None
        seen.put_nowait(server.request.headers["X-MBX-APIKEY"])

    headers = Headers({"X-MBX-APIKEY": "k3y"})
    async with serve(note, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        async with connected(open_socket, f"ws://127.0.0.1:{port}/stream", headers=headers):
            assert await asyncio.wait_for(seen.get(), 20) == "k3y"
    assert repr(headers) == "Headers(X-MBX-APIKEY)"


async def test_a_message_in_fragments_is_one_message(open_socket: Open) -> None:
    async def send(connection: ServerConnection) -> None:
        await connection.send(["one ", "mes", "sage"])
        await connection.send(b"another")
        await connection.wait_closed()

    async with peer(send) as url, connected(open_socket, url) as (_, arrivals):
        assert await arrivals.until(2) == [b"one message", b"another"]


async def test_a_reset_connection_is_cut(open_socket: Open) -> None:
    async with exchange_of() as exchange, connected(open_socket, f"{exchange.ws_url}/ws") as (socket, _):
        exchange.inject(Drop())
        assert (await ended(socket)).startswith("line cut: ")
        with pytest.raises(TransportError, match="line cut"):
            await socket.send("{}")


async def test_a_connection_that_the_venue_closes_says_how(open_socket: Open) -> None:
    async with exchange_of() as exchange, connected(open_socket, f"{exchange.ws_url}/ws") as (socket, _):
        exchange.inject(Drop(close_code=1008))
        assert await ended(socket) == "closed by the venue: 1008"
        async with asyncio.timeout(20):  # the venue hears of the end of the closing handshake
            while exchange.clients:
                await asyncio.sleep(0)


async def test_the_words_of_a_venue_that_closes_are_quoted(open_socket: Open) -> None:
    async def close(connection: ServerConnection) -> None:
        await connection.close(4001, 'bad\n"key"\x1b[1m <b>')

    async with peer(close) as url, connected(open_socket, url) as (socket, _):
        assert await ended(socket) == "closed by the venue: 4001, the exchange says: \"bad 'key' < b>\""


async def test_a_connection_that_is_only_half_open_is_noticed(open_socket: Open) -> None:
    async with (
        exchange_of() as exchange,
        connected(open_socket, f"{exchange.ws_url}/ws", ping_s=0.1) as (socket, _),
    ):
        exchange.inject(HalfOpen())
        assert (await ended(socket)).startswith("line cut: ")


async def test_pings_keep_a_connection_that_has_nothing_to_say(open_socket: Open) -> None:
    limits = Limits(ping_every_s=0.1, pong_within_s=0.1, incoming_per_s=1_000, weight_per_minute=1)
    async with (
        exchange_of(limits, paused=True) as exchange,
        connected(open_socket, f"{exchange.ws_url}/ws", ping_s=0.1) as (socket, arrivals),
    ):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1):
                await socket.wait_ended()
        await socket.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert await arrivals.until(1) == [b'{"result":[],"id":1}']


async def test_a_venue_that_is_not_there_or_refuses_is_an_error(open_socket: Open) -> None:
    with pytest.raises(TransportError):
        await open_socket("ws://127.0.0.1:9/stream", print, timeout_s=5)
    limits = Limits(ping_every_s=20, pong_within_s=60, incoming_per_s=5, weight_per_minute=1, connections_per_5min=0)
    async with exchange_of(limits) as exchange:
        with pytest.raises(TransportError, match="429"):
            await open_socket(f"{exchange.ws_url}/ws", print, timeout_s=5)


async def test_a_peer_that_never_answers_is_an_error_in_time(open_socket: Open) -> None:
    given_up = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()  # the request, and the end
        writer.close()
        given_up.set()

    server = await asyncio.start_server(hold, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(TransportError):
            await open_socket(f"ws://127.0.0.1:{port}", print, timeout_s=0.2)
        await given_up.wait()


@pytest.mark.slow
async def test_a_paused_socket_makes_the_venue_wait(open_socket: Open) -> None:
    sent = 0

    async def flood(connection: ServerConnection) -> None:
        nonlocal sent
        for sent in range(1, 10_001):
            await connection.send(b"%d" % sent + b" " * 10_000)
        await connection.wait_closed()

    async with peer(flood) as url, connected(open_socket, url) as (socket, arrivals):
        await arrivals.until(1)
        socket.pause()
        before = -1
        while sent != before:  # until nothing moves any more
            before = sent
            await asyncio.sleep(0.3)
        assert len(arrivals.messages) < sent < 10_000
        socket.resume()
        messages = await arrivals.until(10_000)
        assert [int(message) for message in messages] == list(range(1, 10_001))


async def test_a_message_that_is_too_long_ends_the_connection(open_socket: Open) -> None:
    async def send(connection: ServerConnection) -> None:
        await connection.send([b" " * (MAX_MESSAGE_BYTES // 2)] * 3)
        await connection.wait_closed()

    async with peer(send) as url, connected(open_socket, url) as (socket, arrivals):
        assert (await ended(socket)).startswith("line cut: ")
        assert arrivals.messages == []


async def test_a_bug_of_the_receiver_is_not_hidden(open_socket: Open) -> None:
    def stumble(_: bytes) -> None:
        raise ZeroDivisionError

    async def send(connection: ServerConnection) -> None:
        await connection.send("x")
        await connection.wait_closed()

    async with peer(send) as url:
        socket = await open_socket(url, stumble, timeout_s=5)
        with pytest.raises(ZeroDivisionError):
            await ended(socket)
        await socket.close()


async def test_a_close_is_graceful_and_may_be_repeated(open_socket: Open) -> None:
    codes: list[int | None] = []
    over = asyncio.Event()

    async def note(connection: ServerConnection) -> None:
        await connection.wait_closed()
        codes.append(connection.close_code)
        over.set()

    async with peer(note) as url, connected(open_socket, url) as (socket, _):
        await socket.close()
        await socket.close()
        await over.wait()
        assert codes == [1000]


async def test_a_peer_that_does_not_close_is_left_in_time(open_socket: Open) -> None:
    async with exchange_of() as exchange, connected(open_socket, f"{exchange.ws_url}/ws") as (socket, _):
        exchange.inject(HalfOpen())
        async with asyncio.timeout(10):
            await socket.close()


async def test_an_opening_that_is_given_up_leaves_nothing_behind(open_socket: Open) -> None:
    asked, answer = asyncio.Event(), asyncio.Event()

    async def answer_late(*_: Any) -> None:
        asked.set()
        await answer.wait()

    async def stay(connection: ServerConnection) -> None:
        await connection.wait_closed()

    async with serve(stay, "127.0.0.1", 0, process_request=answer_late) as server:
        url = f"ws://127.0.0.1:{next(iter(server.sockets)).getsockname()[1]}"
        opening = asyncio.ensure_future(open_socket(url, print, timeout_s=10))
        await asked.wait()
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        answer.set()
    # the server has ended, and waited for its connections
    assert opening.cancelled()


def test_a_library_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "picows", None)
    monkeypatch.delitem(sys.modules, "sources.connection.picows_transport", raising=False)
    with pytest.raises(NotInstalledError, match="not installed: make dev, or choose websockets"):
        transport_of("picows")
