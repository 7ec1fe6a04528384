import base64
import hashlib
import hmac
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from websockets.asyncio.client import ClientConnection, connect

from flows.websocket import encode_frame
from sources.replay.accounts.keys import DEMO_ED25519_KEY, DEMO_KEY, DEMO_SECRET, demo_private_key
from sources.replay.exchange.binance.accounts.session import EventEncoding, payload_of
from sources.replay.exchange.binance.parameters import Parameters
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import Duplicate, Gap
from sources.replay.market.market import MarketKind, Message
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket

NUMBERS = itertools.count(1)


def by_hmac(payload: str, secret: str = DEMO_SECRET) -> str:
    return hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()


def by_ed25519(payload: str) -> str:
    private = load_pem_private_key(demo_private_key().encode(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    return base64.b64encode(private.sign(payload.encode())).decode()


def signed(key: str = DEMO_KEY, **params: Any) -> dict[str, Any]:
    sent = {**params, "apiKey": key, "timestamp": BEGIN_MS}
    payload = "&".join(f"{name}={value}" for name, value in sorted(sent.items()))
    return sent | {"signature": by_ed25519(payload) if key == DEMO_ED25519_KEY else by_hmac(payload)}


class Client:
    """A client of the WebSocket API."""

    def __init__(self, exchange: ReplayExchange, line: ClientConnection, http: httpx.AsyncClient) -> None:
        self.exchange = exchange
        self.line = line
        self.http = http

    async def call(self, method: str, **params: Any) -> Any:
        number = next(NUMBERS)
        await self.line.send(json.dumps({"id": number, "method": method, "params": params}))
        reply = json.loads(await self.line.recv())
        assert reply["id"] == number
        return reply.get("error", {}).get("code") or reply["result"]

    async def order(self, **fields: Any) -> None:
        assert (await self.http.post("/control/accounts", json=fields)).status_code == 200

    async def events(self, count: int) -> list[Any]:
        return [json.loads(await self.line.recv()) for _ in range(count)]


@asynccontextmanager
async def api(kind: MarketKind, path: str) -> AsyncIterator[Client]:
    async with (
        running_exchange(ScriptedMarket(kind=kind), start_now=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
        connect(exchange.ws_url + path) as line,
    ):
        yield Client(exchange, line, http)


@pytest.fixture
async def spot() -> AsyncIterator[Client]:
    async with api("spot", "/ws-api/v3?returnRateLimits=false") as client:
        yield client


def test_the_documented_payload() -> None:
    sent = {
        "symbol": "\uff11\uff12\uff13\uff14\uff15\uff16",
        "side": "BUY",
        "signature": "left out",
        "type": "LIMIT",
        "apiKey": "vmPUZE6mv9SD5VNHk4HlWFsOr6aKE2zvsw0MuIgwCIPy6utIco14y7Ju91duEh8A",
        "timeInForce": "GTC",
        "quantity": "1.00000000",
        "price": "0.10000000",
        "recvWindow": "5000",
        "timestamp": "1645423376532",
    }
    secret = "NhqPtmdSJYdKjVHjA7PZj4Mge3R5YNiP1e3UZjInClVN65XAbvqqM6A7H5fATj0j"
    expected = "b33892ae8e687c939f4468c6268ddd4c40ac1af18ad19a064864c47bae0752cd"
    assert by_hmac(payload_of(Parameters(sent)).decode(), secret) == expected


def test_an_event_has_the_number_of_its_subscription_and_what_a_fault_makes_has_nothing() -> None:
    encoding = EventEncoding(True, (("user:demo", 3),))
    event = Message(0, "user:demo", b'{"e":"outboundAccountPosition","E":1767225600123,"u":1767225600122}')
    assert encoding.frame(event) == encode_frame(
        b'{"subscriptionId":3,"event":{"e":"outboundAccountPosition","E":1767225600123000,"u":1767225600122000}}'
    )
    assert encoding.frame(event._replace(frame=b"\xff")) == encode_frame(b"\xff")


async def test_a_switch_of_the_request_is_signed_with_its_parameters(spot: Client) -> None:
    switched = signed(returnRateLimits="false") | {"returnRateLimits": False}
    assert await spot.call("account.status", **switched) == await spot.call("account.status", **signed())
    assert await spot.call("account.status", **(signed() | {"returnRateLimits": False})) == -1022


async def test_a_subscription_by_signature_gets_what_moves_the_account(spot: Client) -> None:
    assert await spot.call("userDataStream.subscribe.signature", **signed()) == {"subscriptionId": 0}
    assert await spot.call("userDataStream.subscribe.signature", **signed()) == -2035
    assert await spot.call("session.subscriptions") == [{"subscriptionId": 0}]
    await spot.order(do="withdraw", asset="USDT", amount="25.5")
    await spot.order(do="lock", asset="BTC", amount="0.25")
    sent = await spot.events(4)
    assert [event["subscriptionId"] for event in sent] == [0, 0, 0, 0]
    moved, after, locked, last = [event["event"] for event in sent]
    assert moved == {"e": "balanceUpdate", "E": BEGIN_MS, "a": "USDT", "d": "-25.50000000", "T": BEGIN_MS}
    assert after == {
        "e": "outboundAccountPosition",
        "E": BEGIN_MS,
        "u": BEGIN_MS,
        "B": [{"a": "USDT", "f": "99974.50000000", "l": "0.00000000"}],
    }
    assert locked == {"e": "externalLockUpdate", "E": BEGIN_MS, "a": "BTC", "d": "0.25000000", "T": BEGIN_MS}
    assert last["B"] == [{"a": "BTC", "f": "0.75000000", "l": "0.25000000"}]
    account = await spot.call("account.status", **signed(omitZeroBalances="true"))
    assert {"asset": "BTC", "free": "0.75000000", "locked": "0.25000000"} in account["balances"]


async def test_a_fill_is_an_order_its_trade_and_the_balances(spot: Client) -> None:
    await spot.call("userDataStream.subscribe.signature", **signed())
    await spot.order(do="fill", symbol="ETHUSDT", side="SELL", quantity="2", price="2000", commission_asset="BNB")
    new, done, after = [event["event"] for event in await spot.events(3)]
    shown = ("e", "x", "X", "q", "z", "Z", "L", "t", "N", "n", "i")
    assert [new[name] for name in shown] == [
        "executionReport", "NEW", "NEW", "2.00000000", "0.00000000", "0.00000000", "0.00000000", -1, None,
        "0.00000000", 1,
    ]  # fmt: skip
    assert [done[name] for name in shown] == [
        "executionReport", "TRADE", "FILLED", "2.00000000", "2.00000000", "4000.00000000", "2000.00000000", 1, "BNB",
        "4.00000000", 1,
    ]  # fmt: skip
    assert {row["a"]: row["f"] for row in after["B"]} == {
        "ETH": "8.00000000",
        "USDT": "104000.00000000",
        "BNB": "6.00000000",
    }
    [trade] = await spot.call("myTrades", **signed(symbol="ETHUSDT"))
    assert (trade["id"], trade["commission"]) == (1, "4.00000000")
    assert await spot.call("openOrders.status", **signed()) == []


async def test_a_session_that_is_logged_on_need_not_sign(spot: Client) -> None:
    assert await spot.call("account.status", timestamp=BEGIN_MS) == -1102
    assert await spot.call("userDataStream.subscribe") == -1002
    assert await spot.call("session.logon", **signed()) == -4056
    shown = await spot.call("session.logon", **signed(DEMO_ED25519_KEY))
    assert shown == {
        "apiKey": DEMO_ED25519_KEY,
        "authorizedSince": BEGIN_MS,
        "connectedSince": BEGIN_MS,
        "returnRateLimits": False,
        "serverTime": BEGIN_MS,
        "userDataStream": False,
    }
    assert (await spot.call("account.status", timestamp=BEGIN_MS))["canTrade"]
    assert await spot.call("account.status", timestamp=BEGIN_MS - 5_001) == -1021
    assert await spot.call("userDataStream.subscribe") == {"subscriptionId": 0}
    assert (await spot.call("session.status"))["userDataStream"]
    await spot.order(do="deposit", asset="BTC", amount="1")
    assert [event["event"]["e"] for event in await spot.events(2)] == ["balanceUpdate", "outboundAccountPosition"]
    out = await spot.call("session.logout")
    assert (out["apiKey"], out["authorizedSince"], out["userDataStream"]) == (None, None, False)
    ended = {"subscriptionId": 0, "event": {"e": "eventStreamTerminated", "E": BEGIN_MS}}
    assert await spot.events(1) == [ended]
    assert await spot.call("account.status", timestamp=BEGIN_MS) == -1102


async def test_unsubscribing_ends_the_events(spot: Client) -> None:
    second = (await spot.http.post("/control/keys", json={"account": "second"})).json()
    assert await spot.call("userDataStream.unsubscribe") == -2036
    await spot.call("userDataStream.subscribe.signature", **signed())
    sent = {"apiKey": second["api_key"], "timestamp": BEGIN_MS}
    payload = f"apiKey={second['api_key']}&timestamp={BEGIN_MS}"
    both = sent | {"signature": by_hmac(payload, second["secret"])}
    assert await spot.call("userDataStream.subscribe.signature", **both) == {"subscriptionId": 1}
    assert await spot.call("userDataStream.unsubscribe", subscriptionId=0) == {}
    assert (await spot.events(1))[0]["subscriptionId"] == 0
    await spot.order(do="deposit", asset="BTC", amount="1")
    await spot.order(do="deposit", account="second", asset="ETH", amount="1")
    assert [(event["subscriptionId"], event["event"]["e"]) for event in await spot.events(2)] == [
        (1, "balanceUpdate"),
        (1, "outboundAccountPosition"),
    ]
    assert await spot.call("userDataStream.unsubscribe") == {}
    assert (await spot.events(1))[0] == {
        "subscriptionId": 1,
        "event": {"e": "eventStreamTerminated", "E": BEGIN_MS},
    }
    assert await spot.call("userDataStream.subscribe.signature", **signed()) == {"subscriptionId": 2}


async def test_what_is_refused(spot: Client) -> None:
    wrong = signed() | {"signature": "0" * 64}
    assert await spot.call("userDataStream.subscribe.signature", **wrong) == -1022
    assert await spot.call("userDataStream.subscribe.signature", **signed(omitZeroBalances="x", key="y" * 64)) == -2015
    assert await spot.call("userDataStream.subscribe.signature", apiKey="short", timestamp=BEGIN_MS) == -2014
    assert await spot.call("account.status", **signed(other=1)) == -1104
    assert await spot.call("userDataStream.start", apiKey=DEMO_KEY) == -1020
    assert await spot.call("session.subscriptions") == []


async def test_faults_act_on_user_streams_and_no_one_gets_them_as_a_stream_of_the_market(spot: Client) -> None:
    await spot.call("userDataStream.subscribe.signature", **signed())
    async with connect(spot.exchange.ws_url + "/ws/user:demo") as stranger:
        await stranger.send('{"method":"LIST_SUBSCRIPTIONS","id":1}')
        assert json.loads(await stranger.recv()) == {"result": ["user:demo"], "id": 1}
        spot.exchange.inject(Gap(stream="user:demo", count=1))
        spot.exchange.inject(Duplicate(stream="user:demo", count=1))
        await spot.order(do="deposit", asset="BTC", amount="1")
        assert [event["event"]["e"] for event in await spot.events(2)] == ["outboundAccountPosition"] * 2
        await stranger.send('{"method":"LIST_SUBSCRIPTIONS","id":2}')
        assert json.loads(await stranger.recv())["id"] == 2


async def test_usdm_has_listen_keys_and_accounts_by_request() -> None:
    async with api("usdm", "/ws-fapi/v1?returnRateLimits=false") as client:
        listen_key = (await client.call("userDataStream.start", apiKey=DEMO_KEY))["listenKey"]
        assert await client.call("userDataStream.ping", apiKey=DEMO_KEY) == {"listenKey": listen_key}
        [usdt] = await client.call("v2/account.balance", **signed())
        assert (usdt["asset"], usdt["balance"]) == ("USDT", "100000.00000000")
        assert await client.call("account.balance", **signed()) == [usdt]
        assert (await client.call("v2/account.status", **signed()))["totalWalletBalance"] == "100000.00000000"
        assert [row["symbol"] for row in await client.call("account.position", **signed())] == ["BTCUSDT", "ETHUSDT"]
        assert (await client.call("session.logon", **signed(DEMO_ED25519_KEY)))["apiKey"] == DEMO_ED25519_KEY
        assert await client.call("v2/account.position", timestamp=BEGIN_MS) == []
        assert await client.call("userDataStream.stop", apiKey=DEMO_KEY) == {}
        assert await client.call("userDataStream.ping", apiKey=DEMO_KEY) == -1125
        assert await client.call("userDataStream.subscribe") == -1020
