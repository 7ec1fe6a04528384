import asyncio
import json

import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sources.replay.faults import Drop, Duplicate, Gap, HalfOpen, Late, Shutdown
from sources.replay.server import running_exchange
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket, trade_messages

PATH = "/ws/btcusdt@trade"
TRADES = trade_messages(20)
LIST = '{"method":"LIST_SUBSCRIPTIONS","id":1}'


async def test_faults_of_the_stream_reach_the_client() -> None:
    async with running_exchange(ScriptedMarket(TRADES), paused=True) as exchange:
        exchange.inject(Gap(stream="btcusdt@trade", count=2, after=3))
        exchange.inject(Duplicate(after=10))
        async with connect(exchange.ws_url + PATH) as client:
            exchange.resume()
            ids = [json.loads(await client.recv())["t"] for _ in range(19)]
        # Trades 3 and 4 are lost; of those that are left the eleventh, trade 12, comes twice.
        assert ids == [0, 1, 2, *range(5, 13), *range(12, 20)]


async def test_what_is_held_back_leaves_at_the_end_of_the_market() -> None:
    async with running_exchange(ScriptedMarket(TRADES[:3]), paused=True) as exchange:
        exchange.inject(Late(hold_messages=50))
        async with connect(exchange.ws_url + PATH) as client:
            exchange.resume()
            assert [json.loads(await client.recv())["t"] for _ in range(3)] == [1, 2, 0]


async def test_a_drop_hits_one_client_or_all() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        connect(exchange.ws_url + "/ws") as first,
        connect(exchange.ws_url + "/ws") as second,
    ):
        exchange.inject(Drop(client=1))
        with pytest.raises(ConnectionClosed):
            await first.recv()
        assert first.close_code == 1006
        await second.send(LIST)
        assert json.loads(await second.recv()) == {"result": [], "id": 1}
        exchange.inject(Drop(close_code=1012))
        with pytest.raises(ConnectionClosed):
            await second.recv()
        assert second.close_code == 1012
        with pytest.raises(ValueError, match="no client 7"):
            exchange.inject(Drop(client=7))


async def test_a_half_open_connection_says_nothing_and_stays() -> None:
    async with (
        running_exchange(ScriptedMarket(TRADES), paused=True) as exchange,
        connect(exchange.ws_url + PATH, ping_interval=None, close_timeout=0.1) as dead,
        connect(exchange.ws_url + PATH) as alive,
    ):
        exchange.inject(HalfOpen(client=1))
        await dead.send(LIST)
        pong = asyncio.ensure_future(await dead.ping())
        exchange.resume()
        assert [json.loads(await alive.recv())["t"] for _ in TRADES] == list(range(20))
        await alive.send(LIST)
        await alive.recv()
        assert not pong.done()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(dead.recv(), 0.05)
        assert [client["sent"] for client in exchange.state(0)["clients"]] == [0, 20]
        pong.cancel()


async def test_a_shutdown_is_announced() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        connect(exchange.ws_url + "/ws") as raw,
        connect(exchange.ws_url + "/stream") as combined,
    ):
        exchange.inject(Shutdown())
        notice = {"e": "serverShutdown", "E": BEGIN_MS}
        assert json.loads(await raw.recv()) == notice
        assert json.loads(await combined.recv()) == {"stream": "!serverShutdown", "data": notice}
        for client in (raw, combined):
            with pytest.raises(ConnectionClosed):
                await client.recv()
            assert client.close_code == 1001


async def test_after_a_drop_the_market_waits_for_somebody_to_come_back() -> None:
    trades = trade_messages(3_000)
    async with running_exchange(ScriptedMarket(trades), paused=True) as exchange:
        async with connect(exchange.ws_url + PATH):
            pass
        async with connect(exchange.ws_url + PATH) as client:
            exchange.resume()
            assert [json.loads(await client.recv())["t"] for _ in trades] == list(range(3_000))


async def test_the_market_begins_when_subscriptions_have_settled() -> None:
    async with (
        running_exchange(ScriptedMarket(TRADES), settle_s=0.1) as exchange,
        connect(exchange.ws_url + PATH) as first,
        connect(exchange.ws_url + PATH) as second,
    ):
        for client in (first, second):
            assert [json.loads(await client.recv())["t"] for _ in TRADES] == list(range(20))


async def test_a_market_may_begin_without_anybody() -> None:
    async with running_exchange(ScriptedMarket(TRADES), start_now=True) as exchange:
        await exchange.finished.wait()
        assert exchange.now_ms == TRADES[-1].due_ms
