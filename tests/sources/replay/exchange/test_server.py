import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from sources.binance.sbe.decode import SbeDecoder
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.limits import SPOT_LIMITS
from sources.replay.exchange.server import running_exchange
from sources.replay.market.market import MarketKind, Message
from tests.fakes.scripted_market import ScriptedMarket, trade_message, trade_messages

STREAM = "btcusdt@trade"
TRADES = trade_messages(1_500)


@contextlib.asynccontextmanager
async def client_of(exchange: ReplayExchange, path: str) -> AsyncIterator[ClientConnection]:
    async with connect(exchange.ws_url + path, compression=None, max_queue=4_096) as client:
        yield client


async def received(client: ClientConnection, count: int) -> list[bytes]:
    return [await client.recv(decode=False) for _ in range(count)]


async def ask(client: ClientConnection, method: str, *params: object, request_id: int = 1) -> bytes:
    await client.send(json.dumps({"method": method, "params": params, "id": request_id}))
    return await client.recv(decode=False)


async def test_a_raw_stream_has_every_payload_as_the_market_made_it() -> None:
    async with running_exchange(ScriptedMarket(TRADES)) as exchange, client_of(exchange, f"/ws/{STREAM}") as client:
        assert await received(client, len(TRADES)) == [trade.data for trade in TRADES]
        await exchange.finished.wait()


async def test_a_combined_stream_names_each_message() -> None:
    ether = trade_messages(3, symbol="ETHUSDT")
    both = [message for pair in zip(TRADES, ether, strict=False) for message in pair]
    async with (
        running_exchange(ScriptedMarket(both)) as exchange,
        client_of(exchange, "/stream?streams=btcusdt@trade/ethusdt@trade") as client,
    ):
        expected = [b'{"stream":"%b","data":%b}' % (one.stream.encode(), one.data) for one in both]
        assert await received(client, 6) == expected


async def test_the_market_waits_for_its_first_subscriber() -> None:
    async with running_exchange(ScriptedMarket(TRADES)) as exchange, client_of(exchange, "/ws") as client:
        assert await ask(client, "LIST_SUBSCRIPTIONS") == b'{"result":[],"id":1}'
        assert await ask(client, "SUBSCRIBE", STREAM) == b'{"result":null,"id":1}'
        assert await received(client, len(TRADES)) == [trade.data for trade in TRADES]


async def test_a_client_may_change_its_streams_and_their_form_on_the_way() -> None:
    async with (
        running_exchange(ScriptedMarket(TRADES), paused=True) as exchange,
        client_of(exchange, "/ws/nosuch@trade") as client,
    ):
        await ask(client, "SUBSCRIBE", STREAM)
        assert await ask(client, "SET_PROPERTY", "combined", True) == b'{"result":null,"id":1}'
        assert await ask(client, "LIST_SUBSCRIPTIONS") == b'{"result":["nosuch@trade","btcusdt@trade"],"id":1}'
        exchange.resume()
        assert json.loads(await client.recv())["stream"] == STREAM
        await exchange.finished.wait()


async def test_microseconds_on_request() -> None:
    async with (
        running_exchange(ScriptedMarket(TRADES[:1])) as exchange,
        client_of(exchange, f"/stream?streams={STREAM}&timeUnit=MICROSECOND") as client,
    ):
        sent = json.loads(TRADES[0].data)
        expected = sent | {"E": sent["E"] * 1_000, "T": sent["T"] * 1_000}
        assert json.loads(await client.recv()) == {"stream": STREAM, "data": expected}


async def test_a_bad_time_unit_opens_nothing() -> None:
    async with running_exchange(ScriptedMarket()) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            async with client_of(exchange, "/ws?timeUnit=DAY"):
                pass
        assert refused.value.response.status_code == 400
        assert json.loads(refused.value.response.body)["code"] == -1194


async def test_usdm_acknowledges_a_stream_on_the_wrong_route_and_stays_silent() -> None:
    messages = [
        Message(1, "btcusdt@aggTrade", b'{"e":"aggTrade"}'),
        Message(2, "btcusdt@depth@100ms", b'{"e":"depthUpdate"}'),
        Message(3, "btcusdt@bookTicker", b'{"e":"bookTicker"}'),
        Message(4, "btcusdt@kline_1m", b'{"e":"kline"}'),
    ]
    streams = "/".join(message.stream for message in messages)
    async with running_exchange(ScriptedMarket(messages, kind="usdm"), paused=True) as exchange:
        heard = {}
        async with contextlib.AsyncExitStack() as stack:
            clients = {
                route: await stack.enter_async_context(client_of(exchange, f"{route}/ws"))
                for route in ("", "/public", "/market", "/private")
            }
            for client in clients.values():
                assert await ask(client, "SUBSCRIBE", *streams.split("/")) == b'{"result":null,"id":1}'
            exchange.resume()
            await exchange.finished.wait()
            for route, client in clients.items():
                # The reply to a last request comes behind everything that was pushed before it.
                await client.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
                heard[route] = [json.loads(text).get("e") async for text in until_reply(client)]
        assert heard == {
            "": ["depthUpdate", "bookTicker"],
            "/public": ["depthUpdate", "bookTicker"],
            "/market": ["aggTrade", "kline"],
            "/private": [],
        }


async def until_reply(client: ClientConnection) -> AsyncIterator[bytes]:
    while b'"result"' not in (text := await client.recv(decode=False)):
        yield text


@pytest.mark.parametrize(("kind", "allowed"), [("spot", 5), ("usdm", 10)])
async def test_too_many_messages_in_a_second_end_the_connection(kind: MarketKind, allowed: int) -> None:
    async with running_exchange(ScriptedMarket(kind=kind)) as exchange, client_of(exchange, "/ws") as client:
        for _ in range(allowed + 1):
            await client.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert await received(client, allowed) == [b'{"result":[],"id":1}'] * allowed
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (1008, "Too many requests")


async def test_no_more_connections_than_allowed_and_no_more_streams_on_one() -> None:
    limits = msgspec.structs.replace(SPOT_LIMITS, connections_per_5min=1, streams=2)
    async with running_exchange(ScriptedMarket(), limits=limits) as exchange, client_of(exchange, "/ws/a") as client:
        reply = json.loads(await ask(client, "SUBSCRIBE", "b", "c"))
        assert reply == {"error": {"code": 4, "msg": "Too many subscriptions"}, "id": 1}
        with pytest.raises(InvalidStatus) as refused:
            async with client_of(exchange, "/ws"):
                pass
        assert refused.value.response.status_code == 429


async def test_a_thousand_streams_fit_into_an_address() -> None:
    names = "/".join(f"nosuchsymbol{number}usdt@depth@100ms" for number in range(1_023))
    async with (
        running_exchange(ScriptedMarket(TRADES[:1])) as exchange,
        client_of(exchange, f"/stream?streams={names}/{STREAM}") as client,
    ):
        assert json.loads(await client.recv())["stream"] == STREAM


async def test_a_port_that_is_taken_is_an_error() -> None:
    async with running_exchange(ScriptedMarket()) as exchange:
        port = int(exchange.rest_url.rsplit(":", 1)[1])
        with pytest.raises(OSError, match="address already in use"):
            async with running_exchange(ScriptedMarket(), port=port):
                pass


async def test_a_market_that_fails_is_told_at_the_end() -> None:
    market = ScriptedMarket(trade_message(number) if number < 3 else torn() for number in range(5))
    with pytest.raises(RuntimeError, match="the tape is torn"):
        async with running_exchange(market) as exchange, client_of(exchange, f"/ws/{STREAM}"):
            await asyncio.wait_for(exchange.finished.wait(), 10)


def torn() -> Message:
    raise RuntimeError("the tape is torn")


async def test_a_client_that_goes_away_during_its_handshake_is_no_error(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def gone(*_: object) -> None:
        raise ConnectionResetError

    async with running_exchange(ScriptedMarket(TRADES)) as exchange:
        monkeypatch.setattr(exchange, "serve", gone)
        with pytest.raises(InvalidStatus):
            await connect(exchange.ws_url + "/ws")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_binary_streams_want_a_key_and_speak_text_for_requests() -> None:
    async with running_exchange(ScriptedMarket(TRADES), paused=True) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{exchange.ws_url}/sbe/stream")
        assert refused.value.response.status_code == 401
        assert json.loads(refused.value.response.body or b"")["code"] == -2014
        url, key = f"{exchange.ws_url}/sbe/ws/nosuch@trade", {"X-MBX-APIKEY": "any"}
        async with connect(url, additional_headers=key, max_queue=4_096) as client:
            assert await ask(client, "SUBSCRIBE", STREAM, "btcusdt@kline_1m") == b'{"result":null,"id":1}'
            exchange.resume()
            trades: list[Any] = []
            while len(trades) < len(TRADES):
                decoded = SbeDecoder().decode(await client.recv(decode=False))
                assert decoded is not None
                trades += decoded[2]
            bodies = [json.loads(one.data) for one in TRADES]
            assert [(one.symbol, one.id, one.price, one.quantity, one.time) for one in trades] == [
                (body["s"], body["t"], float(body["p"]), float(body["q"]), body["T"]) for body in bodies
            ]


async def test_futures_have_no_binary_streams() -> None:
    async with running_exchange(ScriptedMarket(TRADES, kind="usdm"), paused=True) as exchange:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"{exchange.ws_url}/sbe/stream", additional_headers={"X-MBX-APIKEY": "any"})
        assert refused.value.response.status_code == 404
