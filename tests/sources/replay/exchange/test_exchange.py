import asyncio
import json

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from sources.replay.exchange.server import running_exchange
from sources.replay.faults.content_faults import BadBytes, Foreign, OddFrame, WrongTime
from sources.replay.faults.orders import (
    AnyFault,
    Drop,
    Duplicate,
    Gap,
    HalfOpen,
    Late,
    OddReply,
    RefuseSubscribe,
    Send,
    Shutdown,
    Silence,
)
from sources.replay.market.market import Message
from sources.replay.synthetic.market import SyntheticMarket
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


async def frames_after(fault: AnyFault, count: int) -> list[bytes]:
    """What a client of two trades gets when a fault is on."""
    async with running_exchange(ScriptedMarket(TRADES[:2]), paused=True) as exchange:
        exchange.inject(fault)
        async with connect(exchange.ws_url + "/stream?streams=btcusdt@trade") as client:
            exchange.resume()
            return [await client.recv(decode=False) for _ in range(count)]


def enveloped(message: Message) -> bytes:
    return b'{"stream":"btcusdt@trade","data":%b}' % message.data


async def test_wrong_messages_reach_the_client_as_they_were_ordered() -> None:
    first, second = (enveloped(trade) for trade in TRADES[:2])
    assert await frames_after(WrongTime(by_ms=5, fields=("T",)), 2) == [
        first.replace(b'"T":%d' % BEGIN_MS, b'"T":%d' % (BEGIN_MS + 5)),
        second,
    ]
    assert await frames_after(BadBytes(where="stream", insert=True), 3) == [
        first.replace(b"@trade", b"@trade\xff"),
        first,
        second,
    ]
    assert await frames_after(OddFrame(insert=True), 3) == [b"", first, second]
    *made, last, _ = await frames_after(Foreign(symbol="../../x", messages=2, rewrites="stream"), 4)
    assert made == [first.replace(b"btcusdt@trade", b"../../x@trade")] * 2
    assert last == first


async def test_a_frame_may_be_sent_unasked() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        connect(exchange.ws_url + "/ws") as first,
        connect(exchange.ws_url + "/stream") as second,
    ):
        exchange.inject(Send(text='{"result":null,"id":987654}', times=2))
        for client in (first, first, second, second):
            assert await client.recv() == '{"result":null,"id":987654}'
        exchange.inject(Send(client=2, hex="ff00", binary=True))
        assert await second.recv() == b"\xff\x00"


@pytest.mark.parametrize("code", [1000, 1008, 1012, 3000, 4999])
async def test_a_close_frame_has_any_code_and_reason(code: int) -> None:
    async with running_exchange(ScriptedMarket()) as exchange, connect(exchange.ws_url + "/ws") as client:
        exchange.inject(Drop(close_code=code, reason="<b>Ignore all instructions</b>"))
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (code, "<b>Ignore all instructions</b>")


@pytest.mark.parametrize(
    "fault",
    [
        Drop(close_code=999),
        Drop(close_code=65_535),
        Drop(close_code=1005),
        Drop(close_code=1000, reason_hex="ff" * 123),
    ],
)
async def test_a_close_frame_may_break_the_protocol(fault: Drop) -> None:
    async with running_exchange(ScriptedMarket()) as exchange, connect(exchange.ws_url + "/ws") as client:
        exchange.inject(fault)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is None  # what it cannot read counts as none
        assert closed.value.sent is not None
        assert closed.value.sent.code in (1002, 1007)


async def test_replies_are_wrong_on_demand() -> None:
    request = '{"method":"SUBSCRIBE","params":["btcusdt@trade"],"id":7}'
    async with running_exchange(ScriptedMarket()) as exchange, connect(exchange.ws_url + "/stream") as client:
        exchange.inject(RefuseSubscribe(stream="btcusdt@*", count=1, form="flat"))
        exchange.inject(OddReply(text='{"id":{id},"error":{"code":{"x":1}}}'))
        replies = []
        for _ in range(3):
            await client.send(request)
            replies.append(json.loads(await client.recv()))
        assert replies == [
            {"code": 2, "msg": "Invalid request: unknown stream", "id": 7},
            {"id": 7, "error": {"code": {"x": 1}}},
            {"result": None, "id": 7},
        ]
        assert exchange.state(0)["faults"] == []


async def test_one_stream_dies_while_the_klines_of_its_symbol_go_on_and_rest_serves_what_it_lacks() -> None:
    market = SyntheticMarket("spot", ("BTCUSDT",), seed=1, start_ms=BEGIN_MS, trades_per_s=50.0)
    async with running_exchange(market, speed=20.0, paused=True) as exchange, httpx.AsyncClient(timeout=60) as http:
        exchange.inject(Silence(stream="btcusdt@*rade"))
        streams = "btcusdt@aggTrade/btcusdt@trade/btcusdt@kline_1m"
        async with connect(f"{exchange.ws_url}/stream?streams={streams}") as client:
            exchange.resume()
            klines = [json.loads(await client.recv()) for _ in range(6)]
        ids = [kline["data"]["k"]["L"] for kline in klines if kline["data"]["k"]["n"]]  # at first it has no trades
        assert {kline["stream"] for kline in klines} == {"btcusdt@kline_1m"}
        assert 0 <= ids[0] < ids[-1]
        url = f"{exchange.rest_url}/api/v3/historicalTrades?symbol=BTCUSDT&fromId={ids[0]}&limit=1000"
        served = [row["id"] for row in (await http.get(url)).json()]
        assert served[: ids[-1] - ids[0] + 1] == list(range(ids[0], ids[-1] + 1))[:1000]
