"""The SignalR hub of the whole interface, by a small client that speaks the protocol itself."""

import asyncio
import json
from typing import Any

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from api.routes.protocols.signalr import PATH
from tests.fakes.hubs import PATIENCE_S
from tests.fakes.interface import Deployment, Interface, fill, interface, price
from tests.fakes.signalr import peer


async def refusal(served: Interface, query: str) -> int:
    """The status of a WebSocket that is refused."""
    with pytest.raises(InvalidStatus) as refused:
        async with peer(served, query):
            pass
    return refused.value.response.status_code


WRONG: list[tuple[Any, ...]] = [
    ("GetPrices", 5),
    ("GetPrices", ["x"], "nosuch"),
    ("GetCandles",),
    ("Nonsense",),
    ("StreamPrices",),
    ("Subscribe", ["Nonsense"]),
    ("Subscribe", "Trade"),
    ("Subscribe", []),
    ("Subscribe", None, None, None, ["nosuch"]),
]
"""Calls that are answered with an error."""


@pytest.mark.parametrize("packed", [False, True])
async def test_methods_pushes_and_streams(served: Interface, deployment: Deployment, packed: bool) -> None:
    async with peer(served, packed=packed) as client:
        prices = (await client.call("GetPrices", ["BTCUSDT"]))["result"]
        assert [(one["symbol"], one["price"]) for one in prices] == [("BTCUSDT", 100.0)]
        candles = (await client.call("GetCandles", "BTCUSDT", "1m", 3))["result"]
        assert [candle["close"] for candle in candles["candles"]][:2] == [108.0, 109.0]
        for wrong in WRONG:
            assert (await client.call(*wrong)).get("error"), wrong
        joined = (await client.call("Subscribe", ["MarketData"], ["ethusdt"]))["result"]
        assert (joined["channels"], joined["symbols"]) == (["MarketData"], ["ETHUSDT"])
        present = await client.hear()
        assert (present["target"], present["arguments"][0]["price"]) == ("PriceUpdate", 50.0)
        await client.send({"type": 4, "target": "StreamPrices", "arguments": [["BTCUSDT"]], "invocationId": "s"})
        assert (await client.hear())["item"]["price"] == 100.0
        deployment.tell(price(101.0))
        assert (await client.hear())["item"]["price"] == 101.0
        deployment.tell(price(51.0, "ETHUSDT"))
        assert (await client.hear())["arguments"][0]["price"] == 51.0
        await client.send({"type": 5, "invocationId": "s"}, {"type": 5, "invocationId": "never"})
        assert await client.hear() == {"type": 3, "invocationId": "s"}
        await client.call("Unsubscribe", None, ["ETHUSDT"])
        await client.call("Subscribe", ["MarketData"], ["BTCUSDT"])
        assert (await client.hear())["arguments"][0]["price"] == 101.0
        deployment.tell(price(52.0, "ETHUSDT"), price(102.0))
        assert (await client.hear())["arguments"][0]["price"] == 102.0


async def test_negotiation_access_and_refusals(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment, token="secret", account_token="own") as served:
        address = f"{PATH}/negotiate"
        assert (await served.error(address.replace("negotiate", "")[:-1]))[0] == 401
        async with served.session.post(f"{served.url}{address}?negotiateVersion=1") as refused:
            assert refused.status == 401
        headers = {"Authorization": "Bearer secret", "Origin": "http://localhost:3000"}
        async with served.session.post(f"{served.url}{address}?negotiateVersion=1", headers=headers) as response:
            assert response.status == 200
            assert response.headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
            assert response.headers["Access-Control-Allow-Credentials"] == "true"
            newer = await response.json()
        async with served.session.post(f"{served.url}{address}?access_token=secret") as response:
            older = await response.json()
        assert newer["connectionId"] != newer["connectionToken"]
        assert newer["availableTransports"] == older["availableTransports"]
        assert "connectionToken" not in older
        for id_ in (newer["connectionToken"], older["connectionId"]):
            query = f"?id={id_}&access_token=secret"
            async with peer(served, query) as client:
                error = (await client.call("Subscribe", ["Balance"]))["error"]
                assert error.startswith("no_right: ")
                assert "account" in error
                assert await refusal(served, query) == 409, "it is open"
            async with asyncio.timeout(PATIENCE_S):
                while (status := await refusal(served, query)) == 409:
                    await asyncio.sleep(0.01)  # until the server has ended it
            assert status == 404
        async with peer(served, "?access_token=own") as client:
            assert (await client.call("Subscribe", ["Balance"]))["result"]["rights"] == ["account", "market"]


async def test_what_is_no_protocol_ends_the_connection_with_its_reason(served: Interface) -> None:
    url = served.url.replace("http", "ws", 1) + PATH
    async with connect(url, open_timeout=PATIENCE_S) as line:
        await line.send('{"protocol":"xml","version":1}\x1e')
        assert "json" in json.loads((await line.recv())[:-1])["error"]
        with pytest.raises(ConnectionClosed):
            await line.recv()
    async with peer(served) as client:
        await client.line.send("nonsense\x1e")
        ending = await client.hear()
        assert (ending["type"], ending["allowReconnect"]) == (7, False)
    call, cancellation = {"type": 1, "target": "GetPrices", "arguments": []}, {"type": 5, "invocationId": "never"}
    for message in (call, cancellation, {"type": 6}, {"type": 99}):
        async with peer(served) as client:
            await client.send(*[message] * 60)
            while (ending := await client.hear())["type"] != 7:
                pass
            assert "20 messages a second" in ending["error"]
    async with peer(served) as client:
        with pytest.raises(ConnectionClosed):
            await client.line.send("x" * 40_000)
            await client.line.recv()
    async with connect(url, open_timeout=PATIENCE_S) as line:
        line.transport.write(b"\x89\x80\0\0\0\0" * 5_000)
        with pytest.raises(ConnectionClosed, match="more than 100 frames a second"):
            await line.recv()


async def test_http_transports_are_refused_where_they_cannot_be(served: Interface) -> None:
    session, url = served.session, served.url + PATH
    handshake = b'{"protocol":"json","version":1}\x1e'

    async def negotiated() -> dict[str, str]:
        async with session.post(f"{url}/negotiate?negotiateVersion=1") as response:
            return {"id": (await response.json())["connectionToken"]}

    async def status(method: str, query: dict[str, str], **options: Any) -> int:
        async with session.request(method, url, params=query, **options) as response:
            return response.status

    assert [await status(method, {}) for method in ("GET", "POST", "DELETE")] == [400, 400, 400]
    assert [await status(method, {"id": "made-up"}) for method in ("GET", "POST", "DELETE")] == [404, 404, 404]
    polled = await negotiated()
    assert await status("DELETE", polled) == 404, "it is negotiated, not open"
    async with session.get(url, params=polled) as opened:
        assert (opened.status, await opened.read()) == (200, b"")
    assert await status("GET", polled, headers={"Accept": "text/event-stream"}) == 400
    assert await refusal(served, f"?id={polled['id']}") == 409
    assert await status("POST", polled, data=handshake) == 200
    async with session.get(url, params=polled) as answered:
        assert await answered.read() == b"{}\x1e"
    first = asyncio.create_task(status("GET", polled))
    await asyncio.sleep(0.2)  # it waits; were it the later one, the two would change places
    second = asyncio.create_task(status("GET", polled))
    async with asyncio.timeout(PATIENCE_S):
        done, _ = await asyncio.wait([first, second], return_when=asyncio.FIRST_COMPLETED)
    assert [one.result() for one in done] == [204], "a later request ends the one before"
    assert await status("DELETE", polled) == 202
    assert [await first, await second] == [204, 204]
    early = await negotiated()
    assert await status("POST", early, data=handshake) == 200
    async with session.get(url, params=early) as answered:
        assert await answered.read() == b"{}\x1e"
    events = await negotiated()
    async with session.get(url, params=events, headers={"Accept": "text/event-stream"}) as stream:
        assert stream.headers["Content-Type"] == "text/event-stream"
        assert await stream.content.readline() == b":\r\n"
        assert await status("POST", events, data=b'{"protocol":"messagepack","version":1}\x1e') == 200
        rest = await stream.content.read()
        assert b"data: " in rest
        assert b"error" in rest


async def test_a_client_of_http_without_a_handshake_is_closed(
    served: Interface, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.signalr.session.HANDSHAKE_MS", 100)
    url = served.url + PATH
    async with served.session.post(f"{url}/negotiate?negotiateVersion=1") as response:
        query = {"id": (await response.json())["connectionToken"]}
    async with (
        asyncio.timeout(PATIENCE_S),
        served.session.get(url, params=query, headers={"Accept": "text/event-stream"}) as stream,
    ):
        assert await stream.content.read() == b":\r\n\r\n"


@pytest.mark.parametrize(("packed", "ping"), [(False, '{"type":6}\x1e'), (True, b"\x02\x91\x06")])
async def test_a_ping_is_sent_where_nothing_else_is(
    served: Interface, monkeypatch: pytest.MonkeyPatch, packed: bool, ping: str | bytes
) -> None:
    monkeypatch.setattr("api.signalr.session.KEEP_ALIVE_MS", 0)
    async with peer(served, packed=packed) as client, asyncio.timeout(PATIENCE_S):
        assert await client.line.recv() == ping
