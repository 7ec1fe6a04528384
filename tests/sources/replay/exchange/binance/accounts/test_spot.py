import base64
import hashlib
import hmac
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from sources.replay.accounts.keys import DEMO_ED25519_KEY, DEMO_KEY, DEMO_SECRET, demo_private_key
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import ClockSkew
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket

pytestmark = pytest.mark.usefixtures("stopped_clock_s")


@pytest.fixture
async def spot() -> AsyncIterator[httpx.AsyncClient]:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60, headers={"X-MBX-APIKEY": DEMO_KEY}) as client,
    ):
        yield client


async def ask(client: httpx.AsyncClient, path: str, query: str = "", secret: str = DEMO_SECRET) -> httpx.Response:
    payload = f"{query}&timestamp={BEGIN_MS}".lstrip("&")
    signature = hmac.new(secret.encode(), payload.encode(), hashlib.sha256).hexdigest()
    return await client.get(f"{path}?{payload}&signature={signature}")


async def order(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post("/control/accounts", json=fields)


async def test_the_balances_of_an_account(spot: httpx.AsyncClient) -> None:
    await order(spot, do="withdraw", asset="ETH", amount="10")
    await order(spot, do="lock", asset="BTC", amount=0.25)
    reply = await ask(spot, "/api/v3/account", "omitZeroBalances=true")
    assert (reply.status_code, reply.headers["x-mbx-used-weight-1m"]) == (200, "20")
    account = reply.json()
    assert account["balances"] == [
        {"asset": "USDT", "free": "100000.00000000", "locked": "0.00000000"},
        {"asset": "BTC", "free": "0.75000000", "locked": "0.25000000"},
        {"asset": "BNB", "free": "10.00000000", "locked": "0.00000000"},
    ]
    assert (account["canTrade"], account["accountType"], account["updateTime"]) == (True, "SPOT", BEGIN_MS)
    every = (await ask(spot, "/api/v3/account")).json()["balances"]
    assert {"asset": "ETH", "free": "0.00000000", "locked": "0.00000000"} in every


async def test_a_fill_is_in_balances_and_trades(spot: httpx.AsyncClient) -> None:
    done = await order(spot, do="fill", symbol="BTCUSDT", side="BUY", quantity="0.01")
    assert done.json()["accounts"][0]["balances"][:2] == [
        {"asset": "USDT", "free": "99998.99500000", "locked": "0.00000000"},
        {"asset": "BTC", "free": "1.00999000", "locked": "0.00000000"},
    ]
    await order(spot, do="fill", symbol="ETHUSDT", side="SELL", quantity="1", price="2000", commission="0", maker=True)
    await order(spot, do="fill", symbol="BTCUSDT", side="SELL", quantity="0.5", price="90000.5")
    trades = (await ask(spot, "/api/v3/myTrades", "symbol=BTCUSDT")).json()
    assert trades[0] == {
        "symbol": "BTCUSDT",
        "id": 1,
        "orderId": 1,
        "orderListId": -1,
        "price": "100.50000000",
        "qty": "0.01000000",
        "quoteQty": "1.00500000",
        "commission": "0.00001000",
        "commissionAsset": "BTC",
        "time": BEGIN_MS,
        "isBuyer": True,
        "isMaker": False,
        "isBestMatch": True,
    }
    assert [(row["id"], row["commissionAsset"]) for row in trades] == [(1, "BTC"), (3, "USDT")]
    for query, ids in (
        ("&limit=1", [3]),
        ("&fromId=0&limit=1", [1]),
        ("&fromId=2", [3]),
        ("&orderId=1", [1]),
        (f"&startTime={BEGIN_MS + 1}", []),
        (f"&endTime={BEGIN_MS}", [1, 3]),
    ):
        found = (await ask(spot, "/api/v3/myTrades", f"symbol=BTCUSDT{query}")).json()
        assert [row["id"] for row in found] == ids, query
    both = await ask(spot, "/api/v3/myTrades", "symbol=BTCUSDT&fromId=1&startTime=1")
    assert both.json()["code"] == -1128


async def test_what_clients_read_besides(spot: httpx.AsyncClient) -> None:
    assert (await ask(spot, "/sapi/v1/asset/tradeFee", "symbol=ETHUSDT")).json() == [
        {"symbol": "ETHUSDT", "makerCommission": "0.001", "takerCommission": "0.001"}
    ]
    assert len((await ask(spot, "/sapi/v1/asset/tradeFee")).json()) == 2
    assert (await spot.get("/sapi/v1/system/status")).json() == {"status": 0, "msg": "normal"}
    assert (await ask(spot, "/api/v3/openOrders", "symbol=BTCUSDT")).json() == []
    assert (await ask(spot, "/api/v3/openOrders", "symbol=NOSUCH")).json()["code"] == -1121
    assert (await ask(spot, "/api/v3/openOrders")).json() == []
    restrictions = (await ask(spot, "/sapi/v1/account/apiRestrictions")).json()
    rights = ("enableReading", "enableSpotAndMarginTrading", "enableWithdrawals")
    assert [restrictions[right] for right in rights] == [True, False, False]
    powerful = {"api_key": DEMO_KEY, "secret": DEMO_SECRET, "powers": ["trade", "withdraw"]}
    assert (await spot.post("/control/keys", json=powerful)).status_code == 200
    restrictions = (await ask(spot, "/sapi/v1/account/apiRestrictions")).json()
    assert [restrictions[right] for right in rights] == [True, True, True]
    coins = (await ask(spot, "/sapi/v1/capital/config/getall")).json()
    assert {coin["coin"]: coin["free"] for coin in coins} == {
        "USDT": "100000.00000000",
        "BTC": "1.00000000",
        "ETH": "10.00000000",
        "BNB": "10.00000000",
    }


async def test_what_is_refused(spot: httpx.AsyncClient) -> None:
    wrong = await ask(spot, "/api/v3/account", secret="other")
    assert (wrong.status_code, wrong.json()) == (
        400,
        {"code": -1022, "msg": "Signature for this request is not valid."},
    )
    unknown = await spot.get("/api/v3/account", headers={"X-MBX-APIKEY": "x" * 64})
    assert (unknown.status_code, unknown.json()["code"]) == (401, -2015)
    bare = await spot.get("/api/v3/account", headers={"X-MBX-APIKEY": ""})
    assert (bare.status_code, bare.json()["code"]) == (401, -2014)
    assert (await spot.get("/api/v3/account")).json() == {
        "code": -1102,
        "msg": "Mandatory parameter 'timestamp' was not sent, was empty/null, or malformed.",
    }
    assert (await ask(spot, "/api/v3/account", "other=1")).json()["code"] == -1104
    assert (await ask(spot, "/api/v3/account", "omitZeroBalances=1")).json()["code"] == -1130
    assert (await spot.post("/api/v3/account")).status_code == 405


async def test_the_time_is_that_of_the_exchange_also_where_its_clock_is_wrong() -> None:
    async with (
        running_exchange(ScriptedMarket()) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60, headers={"X-MBX-APIKEY": DEMO_KEY}) as client,
    ):
        exchange.inject(ClockSkew(by_ms=6_000))
        assert (await ask(client, "/api/v3/account")).json()["code"] == -1021
        exchange.clear_faults()
        assert (await ask(client, "/api/v3/account")).status_code == 200


async def test_keys_of_operators_and_of_clients(spot: httpx.AsyncClient) -> None:
    made = (await spot.post("/control/keys", json={"account": "second"})).json()
    assert made.keys() == {"account", "kind", "api_key", "secret"}
    await order(spot, do="deposit", account="second", asset="BTC", amount="0.5")
    spot.headers["X-MBX-APIKEY"] = made["api_key"]
    second = (await ask(spot, "/api/v3/account", "omitZeroBalances=true", made["secret"])).json()
    assert second["balances"] == [{"asset": "BTC", "free": "0.50000000", "locked": "0.00000000"}]

    private = load_pem_private_key(demo_private_key().encode(), password=None)
    assert isinstance(private, ed25519.Ed25519PrivateKey)
    query = {"omitZeroBalances": "true", "timestamp": str(BEGIN_MS)}
    payload = "&".join(f"{name}={value}" for name, value in query.items())
    query["signature"] = base64.b64encode(private.sign(payload.encode())).decode()
    spot.headers["X-MBX-APIKEY"] = DEMO_ED25519_KEY
    assert len((await spot.get("/api/v3/account", params=query)).json()["balances"]) == 4

    state = (await spot.get("/control/accounts")).json()
    assert [(row["account"], [key["kind"] for key in row["keys"]]) for row in state["accounts"]] == [
        ("demo", ["hmac", "ed25519"]),
        ("second", ["hmac"]),
    ]
    assert made["secret"] not in str(state)


async def test_an_order_that_cannot_be_is_refused_with_its_reason(spot: httpx.AsyncClient) -> None:
    for fields, reason in (
        ({"do": "deposit", "account": "nosuch", "asset": "BTC", "amount": "1"}, "no account nosuch; open it first"),
        ({"do": "withdraw", "asset": "BTC", "amount": "1.1"}, "the account has 1 BTC, and 0 locked"),
        ({"do": "fill", "symbol": "NOSUCH", "side": "BUY", "quantity": "1"}, "no symbol NOSUCH"),
        ({"do": "deposit", "asset": "BTC", "amount": "NaN"}, "amount is out of bounds"),
        ({"do": "transfer", "asset": "BTC", "amount": "0"}, "amount is zero"),
        ({"do": "rob"}, "orders are open, deposit, withdraw, transfer, lock, fill"),
    ):
        reply = await order(spot, **fields)
        assert reply.status_code == 400
        assert reason in reply.json()["error"]
    key = await spot.post("/control/keys", json={"kind": "ed25519", "public_key": "no PEM"})
    assert (key.status_code, key.json()) == (400, {"error": "public_key is no public key as PEM"})
    page = await spot.post("/control/accounts", json={"do": "open"}, headers={"Origin": "https://example.org"})
    assert page.status_code == 403


async def test_no_log_has_a_secret_or_a_signature(
    spot: httpx.AsyncClient, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(0)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # the client's own
    made = (await spot.post("/control/keys", json={"account": "second"})).json()
    await spot.post("/control/keys", json={"kind": "hmac", "secret": 7})
    replies = [await ask(spot, "/api/v3/account"), await ask(spot, "/api/v3/account", secret="other")]
    written = "".join((*capsys.readouterr(), caplog.text))
    signatures = [str(reply.request.url).partition("signature=")[2] for reply in replies]
    assert [secret for secret in (DEMO_SECRET, made["secret"], *signatures) if secret in written] == []
