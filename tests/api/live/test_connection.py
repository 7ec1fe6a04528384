"""A connection to a scripted hub: what is sent, and the reported reason of its end."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
from websockets.asyncio.server import ServerConnection, serve

from api.live import connection as connection_module
from api.live.connection import HubConnection
from api.live.hub_protocol import Cut, Joined, LiveEvent, Replaced
from api.live.messages import HubMessage
from sinks.hub.payloads import iso_utc
from sinks.hub.replies import SubscribedData
from tests.fakes.candles import BEGIN
from tests.fakes.deployment import free_port
from tests.fakes.interface import until

SUBSCRIBED = {
    "type": "Subscribed",
    "data": msgspec.to_builtins(SubscribedData(["Mood"], None, None, "binance", "replay")),
}


def snapshot(seq: int) -> dict[str, Any]:
    return {"type": "Snapshot", "seq": seq, "timestamp": iso_utc(BEGIN), "data": {"messages": [], "complete": True}}


def mood(seq: int) -> dict[str, Any]:
    return {"type": "Mood", "seq": seq, "timestamp": iso_utc(BEGIN), "data": {"symbol": "BTCUSDT"}}


class Script:
    """A hub that sends one list of frames to each connection and closes it, and to the last one nothing."""

    def __init__(self, *scripts: list[Any]) -> None:
        self._scripts: Iterator[list[Any]] = iter(scripts)
        self.received: list[tuple[str, str | None, Any]] = []
        """Of each connection: path, authorization, and the first message."""
        self.left: list[int | None] = []
        """Of each connection that the client has closed: its code."""

    async def __call__(self, connection: ServerConnection) -> None:
        assert connection.request is not None
        first = json.loads(await connection.recv())
        self.received.append((connection.request.path, connection.request.headers.get("Authorization"), first))
        frames = next(self._scripts, None)
        for frame in frames or []:
            await connection.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))
        if frames is None:
            await connection.wait_closed()
            self.left.append(connection.close_code)
        else:
            await connection.close(1001, "that was all")


@asynccontextmanager
async def followed(script: Script, token: str | None = None) -> AsyncIterator[tuple[HubConnection, list[LiveEvent]]]:
    events: list[LiveEvent] = []
    async with serve(script, "127.0.0.1", 0) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        connection = HubConnection(f"ws://127.0.0.1:{port}/ws", token=token, channels=("Mood",), on_event=events.append)
        async with running(connection):
            yield connection, events


@asynccontextmanager
async def running(connection: HubConnection) -> AsyncIterator[None]:
    task = asyncio.create_task(connection.run())
    yield
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled(), "nothing but this ends it"


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The failures in a row after which it tried again, without a pause."""
    failures: list[int] = []

    def no_pause(count: int) -> float:
        failures.append(count)
        return 0.0

    monkeypatch.setattr(connection_module, "backoff_s", no_pause)
    return failures


async def test_a_hub_on_this_machine_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HTTP_PROXY", "ALL_PROXY", "WS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    script = Script([SUBSCRIBED, snapshot(3)])
    async with followed(script):
        await until(lambda: bool(script.received))


async def test_an_interface_that_ends_goes_away_and_is_no_error() -> None:
    script = Script()
    async with followed(script):
        await until(lambda: bool(script.received))
    await until(lambda: script.left == [1001])


async def test_it_sends_the_token_and_resumes_after_a_disconnect() -> None:
    script = Script([SUBSCRIBED, snapshot(3), mood(4)])
    async with followed(script, token="secret") as (connection, events):
        await until(lambda: len(script.received) == 2)
    request = {"op": "subscribe", "channels": ["Mood"]}
    assert script.received == [
        ("/ws?channels=Mood", "Bearer secret", request),
        ("/ws?channels=Mood&resume_after=4", "Bearer secret", request),
    ]
    url = connection.state.url
    joined, replaced, message, cut = events
    assert replaced == Replaced(url, ())
    assert (joined, connection.seq, connection.venue_state.venue) == (
        Joined(url, "binance", resumed=False),
        4,
        "binance",
    )
    assert isinstance(message, HubMessage)
    assert (message.channel, message.seq, message.symbol) == ("Mood", 4, "BTCUSDT")
    assert isinstance(cut, Cut)
    assert "that was all" in cut.reason


async def test_without_a_token_none_is_shown() -> None:
    script = Script()
    async with followed(script):
        await until(lambda: len(script.received) == 1)
    assert script.received[0][1] is None


@pytest.mark.parametrize(
    ("frame", "reason"),
    [
        ("no json", "JSON is malformed"),
        (b'{"type":"\xff"}', "utf-8"),
        ({"type": "Error", "data": {"reason": "no such channel"}}, "no such channel"),
        ({"type": "Mood", "seq": 9, "data": {}}, "Invalid isoformat string"),
        ({"type": "Subscribed", "data": {}}, "missing required field"),
    ],
)
async def test_an_invalid_frame_ends_the_connection_and_it_reconnects(frame: Any, reason: str) -> None:
    script = Script([SUBSCRIBED, snapshot(3), frame])
    async with followed(script) as (connection, events):
        await until(lambda: len(script.received) == 2)
        assert reason in connection.state.reason
        assert [type(event) for event in events] == [Joined, Replaced, Cut]
        assert (connection.state.connected, connection.state.reconnections) == (False, 1)


async def test_a_hub_that_was_reached_begins_the_pauses_anew(at_once: list[int]) -> None:
    script = Script([], [], [SUBSCRIBED], [])
    async with followed(script):
        await until(lambda: len(script.received) == 5)
    assert at_once == [1, 2, 1, 2]


async def test_a_hub_that_is_not_there_is_no_cut_and_is_tried_again(at_once: list[int]) -> None:
    events: list[LiveEvent] = []
    connection = HubConnection(
        f"ws://127.0.0.1:{free_port()}/ws", token=None, channels=("Mood",), on_event=events.append
    )
    assert (connection.state.connected, connection.state.reason) == (False, "not tried yet")
    async with running(connection):
        await until(lambda: len(at_once) >= 3)
    assert at_once[:3] == [1, 2, 3]
    assert "Connect call failed" in connection.state.reason
    assert (events, connection.state.reconnections) == ([], 0)
