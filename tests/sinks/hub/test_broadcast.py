"""The hub with real clients on loopback, through `Broadcast` alone, and what its protocol says at the gateway too."""

import asyncio
import json
import socket
import time
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any

import psutil
import pytest
from msgspec import structs
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import Close

from flows.clock import FeedClock
from flows.model import BookTicker, BookView, Candle, FeedStatus, MarketData, Publishable, Trade, TradeBatch
from flows.settings import Hub as HubSettings
from sinks.hub.broadcast import Broadcast
from sinks.hub.server import MOST_ARRIVING
from tests.fakes.candles import BASE, stats
from tests.fakes.hubs import PATIENCE_S, SERVERS, Hub, Serving, ask, hear, hub

BEGIN = 1_767_225_600_000
MINUTE = 60_000


def price(value: float, symbol: str = "BTCUSDT") -> MarketData:
    return MarketData("binance", symbol, value, BEGIN)


def candle(
    minute: int = 0,
    *,
    closed: bool = True,
    close: float = 1.0,
    revision: int = 0,
    symbol: str = "BTCUSDT",
    timeframe: str = "1m",
) -> Candle:
    open_time = BEGIN + minute * MINUTE
    times = {"open_time": open_time, "event_time": open_time + 250}
    numbers = {"open": 1.0, "high": 2.0, "low": 0.5, "close": close, "volume": 10.0, "revision": revision}
    state = {"is_closed": closed, "status": "final" if closed else "forming"}
    return structs.replace(BASE, symbol=symbol, timeframe=timeframe, **times, **numbers, **state)


def trades(first: int, count: int = 1) -> TradeBatch:
    rows = [Trade("BTCUSDT", n, BEGIN, 1.0, 1.0, False, BEGIN) for n in range(first, first + count)]
    return TradeBatch("binance", "BTCUSDT", rows)


def shown(replies: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The messages in all parts of a snapshot."""
    parts = [reply["data"] for reply in replies if reply["type"] == "Snapshot"]
    return [m for part in parts for m in (part if isinstance(part, list) else part["messages"])]


@pytest.fixture(params=SERVERS)
def served(request: pytest.FixtureRequest) -> Serving:
    """The hub and the gateway: a test of the protocol runs against both."""
    return SERVERS[request.param]


async def test_the_two_default_channels_to_the_letter_in_both_formats(served: Serving) -> None:
    async with served() as h, h.client() as text, h.client(subprotocols=["msgpack"]) as binary:
        h.write(trades(1), price(1.5), candle(close=1.5))
        first, second = await hear(text), await hear(text)
        assert [await hear(binary), await hear(binary)] == [first, second]
        assert list(first) == ["type", "data", "timestamp", "seq"]
        assert first["data"] == {
            "symbol": "BTCUSDT", "price": 1.5, "price_change_24h": None, "price_change_percent_24h": None,
            "volume_24h": None, "timestamp": BEGIN, "venue": "binance",
        }  # fmt: skip
        assert second["data"] == {
            "symbol": "BTCUSDT", "timeframe": "1m",
            "candle": {"timestamp": BEGIN, "open": 1.0, "high": 2.0, "low": 0.5, "close": 1.5,
                       "volume": 10.0, "is_closed": True, "status": "final", "revision": 0},
            "latest_price": 1.5, "price_change_24h": None, "price_change_percent_24h": None, "volume_24h": None,
            "timestamp": BEGIN + 250, "venue": "binance",
        }  # fmt: skip
        assert first["seq"] < second["seq"]


async def test_what_was_held_back_is_sent_without_further_news(served: Serving) -> None:
    async with served(rate=20) as h, h.client() as client:
        h.write(price(1.0))
        assert (await hear(client))["data"]["price"] == 1.0
        h.write(*(price(float(number)) for number in range(2, 101)))
        heard = [(await hear(client))["data"]["price"]]
        while heard[-1] != 100.0:
            heard.append((await hear(client))["data"]["price"])
        assert len(heard) < 50, "most were held back, and only the last of them was sent"


async def test_what_is_no_price_is_sent_without_further_news_also_between_prices_that_come_often() -> None:
    async with hub(rate=1_000) as h, h.client() as client:
        await ask(client, op="subscribe", channels=["MarketData", "Trade"], symbols=["BTCUSDT"])
        for number in range(1, 31):
            h.write(price(float(number)))
            assert (await hear(client))["data"]["price"] == number
            h.write(trades(number))
            assert (await hear(client))["data"]["trades"][0]["id"] == number


async def test_a_snapshot_has_the_last_closed_candle_even_after_an_older_one_was_amended(served: Serving) -> None:
    async with served() as h, h.client() as client:
        h.write(candle(0), candle(1), candle(0, revision=1))
        for _ in range(3):
            await hear(client)
        replies = await ask(client, op="subscribe", channels=["ChartUpdate"], symbols=["btcusdt"])
        assert [m["data"]["candle"]["timestamp"] for m in shown(replies)] == [BEGIN + 60_000]


async def test_a_snapshot_has_no_forming_candle_that_has_closed(served: Serving) -> None:
    async with served() as h, h.client() as client:
        h.write(candle(0, closed=False), candle(0))
        await hear(client)
        replies = await ask(client, op="subscribe", channels=["Candle"])
        assert [m["data"].get("candle", m["data"])["is_closed"] for m in shown(replies)] == [True]


async def test_amending_an_older_candle_does_not_lose_what_is_held_of_the_forming_one() -> None:
    async with hub() as h, h.client("?channels=Candle&timeframes=1m") as client:
        h.write(candle(1, closed=False, close=1.0), candle(1, closed=False, close=1.5), candle(0, revision=1))
        closes = [(await hear(client))["data"] for _ in range(2)]
        assert [c.get("candle", c)["is_closed"] for c in closes] == [False, True]
        h.write(candle(7, symbol="ETHUSDT"))  # if the held one were lost, this would come next but one
        await asyncio.sleep(0.2)
        h.write(candle(8, symbol="ETHUSDT"))
        rest = [(await hear(client))["data"] for _ in range(2)]
        assert ("BTCUSDT", 1.5) in [(c["symbol"], c.get("candle", c)["close"]) for c in rest]


async def test_a_large_snapshot_fits_a_client_with_default_limits() -> None:
    frames = ("1m", "5m", "15m", "1h", "4h", "1d")
    async with hub() as h, h.client("?channels=Status") as client:
        for n in range(300):
            h.write(*(candle(0, symbol=f"COIN{n:03}USDT", timeframe=t) for t in frames))
            h.write(*(candle(1440, closed=False, symbol=f"COIN{n:03}USDT", timeframe=t) for t in frames))
        await h.settled(client)
        replies = await ask(client, op="subscribe", channels=["Candle", "ChartUpdate"])
        assert len(shown(replies)) == 300 * 6 * 3


async def test_unsubscribing_one_symbol_keeps_the_others(served: Serving) -> None:
    async with served() as h, h.client() as client:
        await ask(client, op="unsubscribe", symbols=["btcusdt"])
        h.write(price(1.0), price(2.0, "ETHUSDT"))
        assert (await hear(client))["data"]["symbol"] == "ETHUSDT"


@pytest.mark.parametrize(
    ("channel", "item"),
    [
        ("BookTicker", BookTicker("BTCUSDT", 7, 1.0, 2.0, 3.0, 4.0)),
        ("OrderBook", BookView("binance", "BTCUSDT", True, 7, 0, [(1.0, 2.0)], [(3.0, 4.0)])),
        ("Stats", stats()),
    ],
)
async def test_books_and_statistics_come_on_their_channels_and_to_those_who_come_late(
    served: Serving, channel: str, item: Publishable
) -> None:
    async with served() as h, h.client(f"?channels={channel}") as client:
        h.write(item)
        live = await hear(client)
        assert (live["type"], live["data"]["symbol"]) == (channel, "BTCUSDT")
        async with h.client() as late:
            replies = await ask(late, op="subscribe", channels=[channel])
            assert shown(replies) == [live]


@pytest.mark.parametrize(
    ("request_", "known"),
    [({"op": "nonsense"}, "subscribe"), ({"op": "subscribe", "channels": ["Nonsense"]}, "ChartUpdate")],
)
async def test_an_unknown_name_is_answered_with_the_known_ones(
    served: Serving, request_: dict[str, Any], known: str
) -> None:
    async with served() as h, h.client() as client:
        [error] = await ask(client, **request_)
        assert error["type"] == "Error"
        assert known in json.dumps(error["data"])


@pytest.mark.parametrize("payload", ["no json", "[]", '{"op":["subscribe"]}', '{"op":"subscribe","channels":"Trade"}'])
async def test_a_request_that_makes_no_sense_is_an_error_and_the_line_stays(served: Serving, payload: str) -> None:
    async with served() as h, h.client() as client:
        await client.send(payload)
        assert (await hear(client))["type"] == "Error"
        await h.settled(client)


async def test_a_misspelt_field_is_not_taken_for_all(served: Serving) -> None:
    async with served() as h, h.client() as client:
        await client.send('{"op":"subscribe","symbol":["BTCUSDT"]}')
        assert (await hear(client))["type"] == "Error"


async def test_resuming_gives_what_a_client_that_stayed_saw(served: Serving) -> None:
    async with served() as h, h.client() as stayed:
        async with h.client() as cut:
            h.write(candle(0), candle(1))
            after = [await hear(cut) for _ in range(2)][-1]["seq"]
        h.write(candle(2), trades(1), candle(3))
        seen = [await hear(stayed) for _ in range(4)]
        async with h.client(f"?resume_after={after}") as back:
            assert [await hear(back) for _ in range(2)] == seen[2:]
            h.write(candle(4))
            assert await hear(back) == await hear(stayed)


@pytest.mark.parametrize("after", ["0", "1", str(10**18)])
async def test_a_number_that_the_ring_does_not_hold_is_answered_with_reset_and_the_snapshot(
    served: Serving, after: str
) -> None:
    async with served() as h, h.client() as first:
        h.write(price(1.0))
        await hear(first)
        async with h.client(f"?resume_after={after}") as back:
            assert await hear(back) == {"type": "Reset"}
            assert [m["data"]["price"] for m in shown([await hear(back)])] == [1.0]


@pytest.mark.parametrize(
    "query",
    ["?resume_after=x", "?symbol=BTCUSDT", "?channels=Nonsense", "?venues=nosuch", "?resume_after=" + "9" * 5_000],
)
async def test_an_address_that_makes_no_sense_is_refused_cleanly(served: Serving, query: str) -> None:
    async with served() as h:
        try:
            async with h.client(query) as client:
                while (await hear(client))["type"] == "Error":
                    pass
        except InvalidStatus as refused:
            assert refused.response.status_code == 400
        except ConnectionClosed as closed:
            assert closed.rcvd is not None
            assert closed.rcvd.code == 1008


@pytest.mark.parametrize(
    ("path", "options", "status"),
    [
        ("/other", {}, 404),
        ("/ws", {}, 401),
        ("/ws?token=wrong", {}, 401),
        ("/ws", {"additional_headers": {"Authorization": "Bearer wrong"}}, 401),
        ("/ws?token=secret", {"origin": "https://evil.example"}, 403),
        ("/ws?token=secret", {"origin": "null"}, 403),
    ],
)
async def test_refusals(path: str, options: dict[str, Any], status: int) -> None:
    async with hub(token="secret") as h:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{h.broadcast.port}{path}", **options)
        assert refused.value.response.status_code == status


async def test_two_origins_do_not_slip_through() -> None:
    async with hub() as h:
        headers = [("Origin", "http://localhost"), ("Origin", "https://evil.example")]
        with pytest.raises(InvalidStatus) as refused:
            await h.client(additional_headers=headers)
        assert refused.value.response.status_code == 403


@pytest.mark.parametrize("options", [{"origin": "http://127.0.0.1:8080"}, {"origin": "https://desk.example"}, {}])
async def test_who_may_come_in(options: dict[str, Any]) -> None:
    async with hub(token="secret", origins=("https://desk.example",)) as h:
        async with h.client("?token=secret", **options) as client:
            await h.settled(client)
        async with h.client(additional_headers={"Authorization": "Bearer secret"}, **options) as client:
            await h.settled(client)


@pytest.mark.parametrize("protocol", ["json", "msgpack", "sbe"])
async def test_a_subscription_to_accounts_without_the_right_is_refused_and_the_line_stays(protocol: str) -> None:
    async with hub(token="secret", account_token="own") as h:
        async with h.client("?token=secret", subprotocols=[protocol]) as client:
            [error] = await ask(client, op="subscribe", channels=["Balance"])
            assert error["type"] == "Error"
            assert "hub.account_token" in error["data"]["reason"]
            joined, *_ = await ask(client, op="subscribe", channels=["MarketData"], optional=["Balance", "Account"])
            assert (joined["data"]["channels"], joined["data"]["rights"]) == (["MarketData"], ["market"])
        async with h.client("?token=own", subprotocols=[protocol]) as client:
            joined, *_ = await ask(client, op="subscribe", channels=["Balance", "Position", "Account"])
            assert joined["data"]["channels"] == ["Balance", "Position", "Account"]
            assert joined["data"]["rights"] == ["account", "market"]


@pytest.mark.parametrize(("settings", "query"), [({"token": "secret", "account_token": "own"}, "token=secret&"),
                                                 ({"account_token": "own"}, "")])  # fmt: skip
async def test_an_address_with_accounts_is_refused_without_the_right(settings: dict[str, str], query: str) -> None:
    async with hub(**settings) as h:
        with pytest.raises(InvalidStatus) as refused:
            await h.client(f"?{query}channels=Candle,Position&resume_after=1")
        assert refused.value.response.status_code == 403
        async with h.client(f"?{query}channels=Candle&optional=Position") as client:
            await h.settled(client)
        async with h.client("?token=own&channels=Candle,Position") as client:
            await h.settled(client)


async def test_there_is_room_for_so_many_clients(served: Serving) -> None:
    async with served(max_clients=1) as h:
        async with h.client() as client:
            await h.settled(client)
            with pytest.raises(InvalidStatus) as refused:
                await h.client()
            assert refused.value.response.status_code == 503
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    async with h.client():
                        return
                except InvalidStatus:
                    await asyncio.sleep(0.01)


async def test_connections_that_say_nothing_take_no_room_from_clients() -> None:
    async with hub() as h, AsyncExitStack() as stack:
        silent = []
        for _ in range(MOST_ARRIVING + 50):
            reader, writer = await asyncio.open_connection("127.0.0.1", h.broadcast.port)
            stack.callback(writer.close)
            silent.append(reader)
        async with h.client() as client:
            await h.settled(client)
        async with asyncio.timeout(PATIENCE_S):
            with suppress(ConnectionError):
                assert await silent[0].read() == b""
        assert len(h.broadcast._server._arriving) <= MOST_ARRIVING


@pytest.mark.parametrize(("messages", "code"), [([" " * 4_097], 1009), (['{"op":"ping"}'] * 60, 1008)])
async def test_limits_of_requests(served: Serving, messages: list[str], code: int) -> None:
    async with served() as h, h.client() as client:
        with pytest.raises(ConnectionClosed) as closed:
            for message in messages:
                await client.send(message)
            while True:
                await hear(client)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == code


@pytest.mark.parametrize(
    ("serving", "frames"),
    [
        *(
            (serving, bytes((0x80 | code, 0x80, 0, 0, 0, 0)) * 5_000)
            for serving in SERVERS.values()
            for code in (9, 10)
        ),
        (hub, b"\x01\x80\0\0\0\0" + b"\0\x80\0\0\0\0" * 5_000),  # a text's first part, and empty ones
    ],
)
async def test_frames_without_a_size_have_a_bound_too(serving: Serving, frames: bytes) -> None:
    async with serving() as h, h.client() as client, h.client() as other:
        client.transport.write(frames)
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd == Close(1008, "more than 100 frames a second")
        await other.send('{"op":"ping"}')
        assert (await hear(other))["type"] == "Pong"


async def test_the_end_is_a_goodbye(served: Serving) -> None:
    async with served() as h:
        client = await h.client()
        h.write(candle(0))
        await h.close()
        assert (await hear(client))["type"] == "ChartUpdate"
        with pytest.raises(ConnectionClosed) as closed:
            await client.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1001
        h.write(candle(1))


async def test_a_port_that_is_taken_is_an_error_at_start() -> None:
    async with hub() as h:
        second = Broadcast(HubSettings(port=h.broadcast.port), origins={"binance": "replay"})
        with pytest.raises(OSError, match=str(h.broadcast.port)):
            second.start()


# --- clients that do not read
# -------------------------------------------------------------------------------------------


class Deaf:
    """A client that shook hands and reads no more, until it is told to."""

    def __init__(self, port: int, query: str) -> None:
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
        self.socket.settimeout(PATIENCE_S)
        self.socket.connect(("127.0.0.1", port))
        self.socket.sendall(
            f"GET /ws{query} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self.buffer = b""
        while b"\r\n\r\n" not in self.buffer:
            self.buffer += self.socket.recv(1)
        assert b" 101 " in self.buffer
        self.buffer = b""

    def read(self, until: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
        """Messages up to the one that is waited for, or up to the close frame, as `{"type": "close", "code": …}`."""
        messages: list[dict[str, Any]] = []
        while not messages or not (until(messages[-1]) or messages[-1]["type"] == "close"):
            opcode, payload = self._frame()
            if opcode == 8:
                messages.append({"type": "close", "code": int.from_bytes(payload[:2], "big")})
            elif opcode == 1:
                messages.append(json.loads(payload))
        return messages

    def _frame(self) -> tuple[int, bytes]:
        head = self._take(2)
        size = head[1]
        if size >= 126:
            size = int.from_bytes(self._take(2 if size == 126 else 8), "big")
        return head[0] & 15, self._take(size)

    def _take(self, size: int) -> bytes:
        while len(self.buffer) < size:
            got = self.socket.recv(65_536)
            if not got:
                raise EOFError
            self.buffer += got
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken


async def flood(h: Hub, witness: ClientConnection, *, batches: int, first: int = 1) -> int:
    """Trades of about 60 KB a batch, each heard by the hub before the next; returns the last id."""
    for number in range(batches):
        h.write(trades(first + number * 400, 400), FeedStatus("binance", "market", "live", ()))
        await hear(witness)
    return first + batches * 400 - 1


def ids(messages: list[dict[str, Any]]) -> list[int]:
    return [row["id"] for m in messages if m["type"] == "Trade" for row in m["data"]["trades"]]


async def test_a_slow_client_is_told_what_it_lost_and_gets_the_rest_in_order(served: Serving) -> None:
    async with served(capacity=5) as h, h.client("?channels=Status") as witness:
        deaf = await asyncio.to_thread(Deaf, h.port, "?channels=Trade,MarketData,ChartUpdate")
        with deaf.socket:
            last, batches = 0, 0
            while h.counters.dropped < 3:
                last = await flood(h, witness, batches=1, first=last + 1)
                batches += 1
                assert batches < 400
            h.write(price(1.0))
            h.write(candle(0))
            await h.settled(witness)
            heard = await asyncio.to_thread(deaf.read, lambda m: m["type"] == "ChartUpdate")
    seqs = [m["seq"] for m in heard if "seq" in m]
    assert seqs == sorted(set(seqs))
    dropped = sum(m["dropped"] for m in heard if m["type"] == "Lagged")
    got = sum(m["type"] == "Trade" for m in heard)
    assert dropped == h.counters.dropped
    assert got + dropped >= batches
    assert heard[-1]["type"] == "ChartUpdate"


async def test_an_answer_never_overtakes_what_waits(served: Serving) -> None:
    async with served(capacity=50) as h, h.client("?channels=Status") as witness:
        deaf = await asyncio.to_thread(Deaf, h.port, "?channels=Trade,MarketData")
        with deaf.socket:
            await flood(h, witness, batches=60)
            h.write(price(1.0))
            await h.settled(witness)
            payload = b'{"op":"subscribe","channels":["MarketData"]}'
            deaf.socket.sendall(bytes([0x81, 0x80 | len(payload), 0, 0, 0, 0]) + payload)
            for _ in range(3):
                await h.settled(witness)
            heard = await asyncio.to_thread(deaf.read, lambda m: m["type"] == "Snapshot")
    seqs = [m["seq"] for m in heard if "seq" in m]
    assert seqs == sorted(seqs)


@pytest.mark.slow
async def test_a_client_that_never_reads_is_cut_and_harms_nobody(served: Serving) -> None:
    async with served(capacity=2) as h, h.client("?channels=Status") as witness:
        deaf = await asyncio.to_thread(Deaf, h.port, "?channels=Trade")
        with deaf.socket:
            while h.counters.clients < 2:  # the handshake's answer goes out just before it counts
                await asyncio.sleep(0.001)
            begin, last = time.monotonic(), 0
            while h.counters.clients > 1 and time.monotonic() - begin < PATIENCE_S:
                last = await flood(h, witness, batches=1, first=last + 1)
                await asyncio.sleep(0.01)
            assert h.counters.clients == 1
            async with asyncio.timeout(PATIENCE_S):  # not left open for ever
                while server_lines(h.port) > 1:
                    await asyncio.sleep(0.05)


def server_lines(port: int) -> int:
    """Connections that the hub holds, as the kernel sees it."""
    lines = psutil.Process().net_connections("tcp")
    return sum(bool(line.raddr) and line.laddr.port == port for line in lines)


async def test_closing_ends_in_time_although_a_client_does_not_read(served: Serving) -> None:
    async with served(capacity=1_000) as h, h.client("?channels=Status") as witness:
        deaf = await asyncio.to_thread(Deaf, h.port, "?channels=Trade")
        with deaf.socket:
            await flood(h, witness, batches=80)
            async with asyncio.timeout(PATIENCE_S):
                await h.close()


async def test_status_and_origin_are_told_to_who_asks(served: Serving) -> None:
    async with served() as h, h.client() as client:
        h.write(FeedStatus("binance", "market", "live", ("BTCUSDT",)))
        await h.settled(client)
        replies = await ask(client, op="subscribe", channels=["Status"])
        assert [m["data"]["state"] for m in shown(replies)] == ["live"]
        assert "replay" in json.dumps(replies)


async def test_messages_are_stamped_by_the_venues_clock_whatever_time_they_tell() -> None:
    clock = FeedClock(lambda: 0)
    clock.observe(BEGIN)
    broadcast = Broadcast(HubSettings(port=0), origins={"binance": "replay"}, clocks={"binance": clock})
    broadcast.start()
    h = Hub(broadcast)
    try:
        async with h.client() as client:
            for number, told_time in enumerate((BEGIN, BEGIN + 10**11, 10**16, 0, BEGIN)):
                h.write(MarketData("binance", f"S{number}", 1.0, told_time))
            messages = [await hear(client) for _ in range(5)]
            assert {message["timestamp"] for message in messages} == {"2026-01-01T00:00:00Z"}
    finally:
        await asyncio.to_thread(broadcast.close)


async def test_before_the_venues_time_is_known_each_message_is_stamped_by_its_own() -> None:
    async with hub() as h, h.client() as client:
        stamps = []
        for number, time_ms in enumerate((BEGIN, 10**16, BEGIN + 1_000)):
            h.write(MarketData("binance", f"S{number}", 1.0, time_ms))
            stamps.append((await hear(client))["timestamp"])
        assert stamps == ["2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "2026-01-01T00:00:01Z"]
