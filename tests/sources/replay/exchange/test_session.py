import asyncio
import json

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed
from websockets.frames import Frame, Opcode

from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.exchange.server import running_exchange
from tests.fakes.scripted_market import ScriptedMarket, trade_messages


class MuteClient(ClientConnection):
    """Answers no ping, and takes note of what was in it."""

    def __init__(self, *args: object, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)  # type: ignore[arg-type]
        self.pings: list[bytes] = []
        answer = self.protocol.recv_frame

        def recv_frame(frame: Frame) -> None:
            if frame.opcode is Opcode.PING:
                self.pings.append(bytes(frame.data))
            else:
                answer(frame)

        self.protocol.recv_frame = recv_frame  # type: ignore[method-assign]


async def read_to_the_end(client: ClientConnection) -> None:
    while True:
        await client.recv()


async def closing_of(client: ClientConnection) -> tuple[int, str]:
    with pytest.raises(ConnectionClosed) as closed:
        await read_to_the_end(client)
    assert closed.value.rcvd is not None
    return closed.value.rcvd.code, closed.value.rcvd.reason


async def test_a_client_that_answers_no_ping_is_cut() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, ping_every_s=0.02, pong_within_s=0.1)
    async with (
        running_exchange(ScriptedMarket(), limits=limits) as exchange,
        connect(exchange.ws_url + "/ws", create_connection=MuteClient) as client,
    ):
        assert await closing_of(client) == (1008, "Pong timeout")
        assert isinstance(client, MuteClient)
        assert len(client.pings) >= 2
        assert all(ping.isdigit() for ping in client.pings)


async def test_a_client_that_answers_lives_on_and_its_pongs_count_as_messages() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, ping_every_s=0.01, pong_within_s=5)
    async with (
        running_exchange(ScriptedMarket(), limits=limits) as exchange,
        connect(exchange.ws_url + "/ws") as client,
    ):
        assert await closing_of(client) == (1008, "Too many requests")


async def test_a_ping_of_the_client_is_answered() -> None:
    async with running_exchange(ScriptedMarket()) as exchange, connect(exchange.ws_url + "/ws") as client:
        await (await client.ping(b"there?"))


async def test_a_connection_ends_at_its_greatest_age() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, life_s=0.05)
    async with (
        running_exchange(ScriptedMarket(), limits=limits) as exchange,
        connect(exchange.ws_url + "/ws") as client,
    ):
        assert await closing_of(client) == (1001, "Connection expired")


async def test_a_message_that_is_too_long_ends_the_connection() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, message_bytes=100)
    async with (
        running_exchange(ScriptedMarket(), limits=limits) as exchange,
        connect(exchange.ws_url + "/ws") as client,
    ):
        await client.send(json.dumps({"method": "SUBSCRIBE", "params": ["x" * 100], "id": 1}))
        assert (await closing_of(client))[0] == 1009


async def test_a_market_at_full_speed_waits_for_a_client_that_does_not_read() -> None:
    trades = trade_messages(60_000)
    async with (
        running_exchange(ScriptedMarket(trades)) as exchange,
        connect(exchange.ws_url + "/ws/btcusdt@trade", compression=None, max_queue=1) as client,
    ):
        played = [-1, -2]
        while played[-1] != played[-2]:  # until the market stands, its client's buffers being full
            await asyncio.sleep(0.05)
            played.append(exchange.state(0)["played"])
        assert played[-1] < len(trades)
        assert [await client.recv(decode=False) for _ in trades] == [trade.data for trade in trades]
        await exchange.finished.wait()


async def test_a_market_with_a_pace_of_its_own_cuts_a_client_that_does_not_read() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, backlog_bytes=100_000)
    async with (
        running_exchange(ScriptedMarket(trade_messages(60_000)), limits=limits, speed=1e9) as exchange,
        connect(exchange.ws_url + "/ws/btcusdt@trade", compression=None, max_queue=1) as client,
    ):
        await exchange.finished.wait()
        with pytest.raises(ConnectionClosed):
            await read_to_the_end(client)
        assert client.close_code == 1006
