import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import ClientConnection, connect

from sources.replay.accounts.keys import DEMO_KEY, DEMO_SECRET
from sources.replay.accounts.orders import ORDERS
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import running_exchange
from sources.replay.faults.orders import ClockSkew, Drop, Duplicate, Gap, describe
from sources.replay.market.contracts import Contract
from sources.replay.market.market import MarketKind
from tests.fakes.scripted_market import BEGIN_MS, ScriptedMarket

OF_SPOT = ["open", "deposit", "withdraw", "transfer", "lock", "fill"]
OF_USDM = [described.name for described in map(describe, ORDERS) if described.name not in {"lock", "tokens"}]

pytestmark = pytest.mark.usefixtures("stopped_clock_s")


class Usdm:
    """An exchange with a client that has keys."""

    def __init__(self, exchange: ReplayExchange, market: ScriptedMarket, http: httpx.AsyncClient) -> None:
        self.exchange = exchange
        self.market = market
        self.http = http

    async def get(self, path: str, query: str = "") -> Any:
        payload = f"{query}&timestamp={BEGIN_MS}".lstrip("&")
        signature = hmac.new(DEMO_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        return (await self.http.get(f"/fapi/{path}?{payload}&signature={signature}")).json()

    async def post(self, path: str, **fields: str) -> Any:
        payload = "&".join(f"{name}={value}" for name, value in (fields | {"timestamp": str(BEGIN_MS)}).items())
        signature = hmac.new(DEMO_SECRET.encode(), payload.encode(), hashlib.sha256).hexdigest()
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return (
            await self.http.post(f"/fapi/{path}", content=f"{payload}&signature={signature}", headers=headers)
        ).json()

    async def order(self, **fields: Any) -> Any:
        reply = await self.http.post("/control/accounts", json=fields)
        return reply.json()["accounts"][0] if reply.status_code == 200 else reply.json()["error"]

    async def fill(self, side: str, quantity: str, price: str, **fields: Any) -> Any:
        return await self.order(do="fill", symbol="BTCUSDT", side=side, quantity=quantity, price=price, **fields)

    @asynccontextmanager
    async def stream(self, form: str = "/private/ws/{}") -> AsyncIterator[ClientConnection]:
        listen_key = (await self.http.post("/fapi/v1/listenKey")).json()["listenKey"]
        async with connect(self.exchange.ws_url + form.format(listen_key)) as client:
            yield client


@pytest.fixture
async def usdm() -> AsyncIterator[Usdm]:
    market = ScriptedMarket(kind="usdm")
    async with (
        running_exchange(market, start_now=True) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60, headers={"X-MBX-APIKEY": DEMO_KEY}) as http,
    ):
        yield Usdm(exchange, market, http)


async def received(client: ClientConnection, count: int) -> list[Any]:
    return [json.loads(await client.recv()) for _ in range(count)]


async def test_what_the_demo_account_begins_with_has_the_time_of_the_begin(usdm: Usdm) -> None:
    [usdt] = (await usdm.get("v3/account"))["assets"]
    assert (usdt["walletBalance"], usdt["updateTime"]) == ("100000.00000000", BEGIN_MS)


async def test_balances_and_positions(usdm: Usdm) -> None:
    await usdm.order(do="leverage", symbol="BTCUSDT", leverage=10)
    await usdm.fill("BUY", "2", "90", commission="0.25")
    mark = float((await usdm.http.get("/fapi/v1/premiumIndex?symbol=BTCUSDT")).json()["markPrice"])
    [risk] = await usdm.get("v3/positionRisk")
    assert (risk["positionAmt"], risk["entryPrice"], risk["breakEvenPrice"]) == ("2", "90", "90.125")
    assert float(risk["markPrice"]) == mark
    assert float(risk["unRealizedProfit"]) == pytest.approx(2 * (mark - 90), abs=1e-7)
    assert float(risk["initialMargin"]) == pytest.approx(2 * mark / 10, abs=1e-7)
    assert (risk["liquidationPrice"], risk["marginAsset"], risk["updateTime"]) == ("0", "USDT", BEGIN_MS)

    [usdt] = await usdm.get("v3/balance")
    assert usdt == (await usdm.get("v2/balance"))[0]
    assert (usdt["asset"], usdt["balance"], usdt["crossWalletBalance"]) == ("USDT", "99999.75000000", "99999.75000000")
    account = await usdm.get("v3/account")
    assert account["totalWalletBalance"] == usdt["balance"]
    assert account["availableBalance"] == usdt["availableBalance"]
    gains = 99_999.75 + 2 * (mark - 90)
    assert float(account["totalMarginBalance"]) == pytest.approx(gains, abs=1e-6)
    assert float(account["availableBalance"]) == pytest.approx(gains - 2 * mark / 10, abs=1e-6)
    assert [row["symbol"] for row in account["positions"]] == ["BTCUSDT"]
    old = await usdm.get("v2/account")
    assert [(row["symbol"], row["positionAmt"], row["leverage"]) for row in old["positions"]] == [
        ("BTCUSDT", "2", "10"),
        ("ETHUSDT", "0", "20"),
    ]
    assert old["assets"][0]["walletBalance"] == usdt["balance"]
    [ether] = await usdm.get("v2/positionRisk", "symbol=ETHUSDT")
    assert (ether["positionAmt"], ether["marginType"], ether["maxNotionalValue"]) == ("0", "cross", "25000000")
    assert await usdm.get("v3/positionRisk", "symbol=ETHUSDT") == []


async def test_an_isolated_position_in_both_modes(usdm: Usdm) -> None:
    await usdm.order(do="margin_type", symbol="BTCUSDT", isolated=True)
    await usdm.order(do="position_mode", both_sides=True)
    assert await usdm.get("v1/positionSide/dual") == {"dualSidePosition": True}
    await usdm.fill("SELL", "1", "100", commission="0", position_side="SHORT")
    await usdm.order(do="margin", symbol="BTCUSDT", amount="3", position_side="SHORT")
    sides = {row["positionSide"]: row for row in await usdm.get("v2/positionRisk", "symbol=BTCUSDT")}
    assert [(side, row["positionAmt"], row["isolatedWallet"]) for side, row in sides.items()] == [
        ("LONG", "0", "0.00000000"),
        ("SHORT", "-1", "8.00000000"),
    ]
    short = sides["SHORT"]
    assert float(short["isolatedMargin"]) == pytest.approx(8 + float(short["unRealizedProfit"]), abs=1e-7)
    assert float(short["liquidationPrice"]) == pytest.approx(108 / 1.004, abs=1e-6)
    [usdt] = await usdm.get("v3/balance")
    assert (usdt["balance"], usdt["crossWalletBalance"]) == ("100000.00000000", "99992.00000000")
    configs = await usdm.get("v1/symbolConfig", "symbol=BTCUSDT")
    assert (configs[0]["marginType"], configs[0]["leverage"]) == ("ISOLATED", 20)


async def test_what_clients_read_of_an_account(usdm: Usdm) -> None:
    assert await usdm.get("v1/commissionRate", "symbol=BTCUSDT") == {
        "symbol": "BTCUSDT",
        "makerCommissionRate": "0.0002",
        "takerCommissionRate": "0.0005",
    }
    brackets = await usdm.get("v1/leverageBracket", "symbol=BTCUSDT")
    assert brackets[0]["brackets"][1] == {
        "bracket": 2,
        "initialLeverage": 100,
        "notionalCap": 500_000,
        "notionalFloor": 50_000,
        "maintMarginRatio": 0.005,
        "cum": 50.0,
    }
    assert [row["symbol"] for row in await usdm.get("v1/leverageBracket")] == ["BTCUSDT", "ETHUSDT"]
    await usdm.order(do="multi_assets", on=True)
    assert await usdm.get("v1/multiAssetsMargin") == {"multiAssetsMargin": True}
    config = await usdm.get("v1/accountConfig")
    assert (config["dualSidePosition"], config["multiAssetsMargin"], config["canTrade"]) == (False, True, True)
    assert await usdm.get("v1/openOrders") == []
    await usdm.fill("BUY", "1", "100", commission="0.05")
    await usdm.fill("SELL", "0.5", "110", commission="0", maker=True)
    trades = await usdm.get("v1/userTrades", "symbol=BTCUSDT")
    assert [(row["id"], row["qty"], row["realizedPnl"], row["buyer"], row["maker"]) for row in trades] == [
        (1, "1", "0.00000000", True, False),
        (2, "0.5", "5.00000000", False, True),
    ]
    assert [row["id"] for row in await usdm.get("v1/userTrades", "symbol=BTCUSDT&limit=1")] == [2]
    assert [row["id"] for row in await usdm.get("v1/userTrades", "symbol=BTCUSDT&fromId=0&limit=1")] == [1]


async def test_listen_keys(usdm: Usdm) -> None:
    first = (await usdm.http.post("/fapi/v1/listenKey")).json()["listenKey"]
    assert (await usdm.http.put("/fapi/v1/listenKey")).json() == {"listenKey": first}
    assert (await usdm.http.post("/fapi/v1/listenKey")).json() == {"listenKey": first}
    assert (await usdm.http.delete("/fapi/v1/listenKey")).json() == {}
    gone = await usdm.http.put("/fapi/v1/listenKey")
    assert (gone.status_code, gone.json()) == (400, {"code": -1125, "msg": "This listenKey does not exist."})
    unknown = await usdm.http.post("/fapi/v1/listenKey", headers={"X-MBX-APIKEY": "x" * 64})
    assert (unknown.status_code, unknown.json()["code"]) == (401, -2015)
    assert (await usdm.http.get("/fapi/v1/listenKey")).status_code == 405


@pytest.mark.parametrize(
    "form", ["/private/ws/{}", "/ws/{}", "/private/ws?listenKey={}&events=ACCOUNT_UPDATE", "/private/stream?streams={}"]
)
async def test_the_user_stream_has_its_addresses(usdm: Usdm, form: str) -> None:
    async with usdm.stream(form) as client:
        await usdm.order(do="deposit", asset="USDT", amount="100.5")
        [event] = await received(client, 1)
        if "stream?" in form:
            assert event["stream"] == (await usdm.order(do="listen_keys", life_ms=3_600_000))["listen_key"]
            event = event["data"]
        assert event == {
            "e": "ACCOUNT_UPDATE",
            "E": BEGIN_MS,
            "T": BEGIN_MS,
            "a": {
                "m": "DEPOSIT",
                "B": [{"a": "USDT", "wb": "100100.50000000", "cw": "100100.50000000", "bc": "100.5"}],
                "P": [],
            },
        }


async def test_a_fill_is_an_order_and_an_update_of_the_account(usdm: Usdm) -> None:
    async with usdm.stream() as client:
        await usdm.fill("BUY", "0.5", "100", commission="0.1", commission_asset="BNB")
        await usdm.order(do="deposit", asset="BNB", amount="1")
        sent = await received(client, 5)
        assert [event["e"] for event in sent] == [
            "ORDER_TRADE_UPDATE",
            "TRADE_LITE",
            "ACCOUNT_UPDATE",
            "ORDER_TRADE_UPDATE",
            "ACCOUNT_UPDATE",
        ]
        update = sent[2]["a"]
        assert update["m"] == "ORDER"
        assert update["B"] == [
            {"a": "USDT", "wb": "100000.00000000", "cw": "100000.00000000", "bc": "0"},
            {"a": "BNB", "wb": "-0.10000000", "cw": "-0.10000000", "bc": "0"},
        ]
        [position] = update["P"]
        gain = float(position.pop("up"))
        assert position == {
            "s": "BTCUSDT",
            "pa": "0.5",
            "ep": "100",
            "bep": "100.2",
            "cr": "0",
            "mt": "cross",
            "iw": "0",
            "ps": "BOTH",
        }
        [risk] = await usdm.get("v3/positionRisk")
        assert float(risk["unRealizedProfit"]) == gain
        new, done = sent[0]["o"], sent[3]["o"]
        assert (new["x"], new["X"], new["z"], new["t"]) == ("NEW", "NEW", "0", 0)
        assert (done["x"], done["X"], done["z"], done["t"], done["n"], done["N"]) == (
            "TRADE", "FILLED", "0.5", 1, "0.1", "BNB"
        )  # fmt: skip
        assert (done["i"], done["c"], done["rp"], done["R"]) == (new["i"], new["c"], "0", False)
        await usdm.fill("SELL", "0.5", "120", commission="0")
        closed = await received(client, 4)
        assert closed[3]["o"]["rp"] == "10"
        assert closed[3]["o"]["R"]
        assert (closed[2]["a"]["P"][0]["pa"], closed[2]["a"]["P"][0]["cr"]) == ("0", "10")


async def test_funding_leverage_modes_and_margins_are_sent(usdm: Usdm) -> None:
    await usdm.order(do="margin_type", symbol="ETHUSDT", isolated=True)
    await usdm.fill("BUY", "1", "100", commission="0")
    await usdm.order(do="fill", symbol="ETHUSDT", side="SELL", quantity="1", price="100", commission="0")
    async with usdm.stream() as client:
        await usdm.order(do="funding", symbol="BTCUSDT", rate="0.01")
        await usdm.order(do="funding", symbol="ETHUSDT", rate="0.01")
        paid, got = [event["a"] for event in await received(client, 2)]
        assert (paid["m"], paid["S"], paid["P"]) == ("FUNDING_FEE", "BTCUSDT", [])
        assert float(paid["B"][0]["bc"]) == pytest.approx(-1.005, abs=0.001)
        assert (got["S"], got["P"][0]["mt"]) == ("ETHUSDT", "isolated")
        assert float(got["P"][0]["iw"]) == pytest.approx(5 + float(got["B"][0]["bc"]), abs=1e-7)
        await usdm.order(do="leverage", symbol="BTCUSDT", leverage=7)
        await usdm.order(do="multi_assets", on=True)
        await usdm.order(do="margin", symbol="ETHUSDT", amount="-1.5")
        await usdm.order(do="margin_call", symbol="BTCUSDT")
        leverage, assets, margin, call = await received(client, 4)
        assert leverage["ac"] == {"s": "BTCUSDT", "l": 7}
        assert assets["ai"] == {"j": True}
        assert margin["a"]["m"] == "MARGIN_TRANSFER"
        assert float(margin["a"]["P"][0]["iw"]) == pytest.approx(float(got["P"][0]["iw"]) - 1.5)
        assert (call["e"], call["p"][0]["s"], call["p"][0]["mt"]) == ("MARGIN_CALL", "BTCUSDT", "CROSSED")
        assert float(call["cw"]) == pytest.approx(float(margin["a"]["B"][0]["cw"]))


async def test_a_liquidation_closes_all_and_leaves_no_debt(usdm: Usdm) -> None:
    await usdm.order(do="withdraw", asset="USDT", amount="99995")
    await usdm.fill("BUY", "1", "100", commission="0")
    async with usdm.stream() as client:
        state = await usdm.order(do="liquidate", symbol="BTCUSDT", price="90")
        assert (state["wallets"], state["positions"]) == ({"USDT": "0.00000000"}, [])
        call, new, update, done, cleared = await received(client, 5)
        assert call["e"] == "MARGIN_CALL"
        assert new["o"]["c"] == done["o"]["c"]
        assert done["o"]["c"].startswith("autoclose-")
        assert (done["o"]["o"], done["o"]["x"], done["o"]["rp"]) == ("LIQUIDATION", "CALCULATED", "-10")
        assert (update["a"]["P"][0]["pa"], update["a"]["B"][0]["wb"]) == ("0", "-5.04500000")
        assert (cleared["a"]["m"], cleared["a"]["B"][0]["bc"]) == ("INSURANCE_CLEAR", "5.045")


async def test_a_listen_key_expires_by_the_time_of_the_exchange(usdm: Usdm) -> None:
    async with usdm.stream() as client:
        name = (await usdm.http.get("/control/accounts")).json()["accounts"][0]["listen_key"]
        await usdm.order(do="listen_keys", life_ms=0)
        assert await received(client, 1) == [{"e": "listenKeyExpired", "E": BEGIN_MS, "listenKey": name}]
        assert (await usdm.http.put("/fapi/v1/listenKey")).json()["code"] == -1125
        await usdm.order(do="listen_keys", life_ms=60_000)
        async with usdm.stream() as second:
            await usdm.order(do="deposit", asset="USDT", amount="1")
            assert (await received(second, 1))[0]["a"]["B"][0]["bc"] == "1"


async def test_only_the_kinds_of_events_that_the_address_names_are_sent(usdm: Usdm) -> None:
    form = "/private/stream?listenKey={}&events=ORDER_TRADE_UPDATE/ACCOUNT_CONFIG_UPDATE"
    async with usdm.stream() as everything, usdm.stream(form) as some:
        name = (await usdm.http.get("/control/accounts")).json()["accounts"][0]["listen_key"]
        await usdm.fill("BUY", "0.5", "100")
        await usdm.order(do="leverage", symbol="BTCUSDT", leverage=7)
        sent = await received(everything, 5)
        kinds = ["ORDER_TRADE_UPDATE", "TRADE_LITE", "ACCOUNT_UPDATE", "ORDER_TRADE_UPDATE", "ACCOUNT_CONFIG_UPDATE"]
        assert [event["e"] for event in sent] == kinds
        assert await received(some, 3) == [{"stream": name, "data": sent[place]} for place in (0, 3, 4)]


async def test_funding_is_settled_at_its_times(usdm: Usdm) -> None:
    await usdm.order(do="listen_keys", life_ms=86_400_000)
    async with usdm.stream() as client:
        await usdm.fill("BUY", "2", "100")
        await received(client, 4)
        mark = Decimal((await usdm.get("v1/premiumIndex", "symbol=BTCUSDT"))["markPrice"])
        usdm.market.pass_time(16 * 3_600_000 + 60_000)  # two payments at once
        update, later = await received(client, 2)
        first_ms = BEGIN_MS + 8 * 3_600_000
        assert (update["e"], update["a"]["m"], update["a"]["S"]) == ("ACCOUNT_UPDATE", "FUNDING_FEE", "BTCUSDT")
        assert (update["E"], later["E"]) == (first_ms, first_ms + 8 * 3_600_000)
        rate = Decimal(Contract("BTCUSDT").rate(first_ms))
        paid = Decimal(update["a"]["B"][0]["bc"])
        assert abs(paid + 2 * mark * rate) <= abs(paid) / 1_000


async def test_faults_act_on_user_streams(usdm: Usdm) -> None:
    async with usdm.stream() as client:
        name = (await usdm.http.get("/control/accounts")).json()["accounts"][0]["listen_key"]
        usdm.exchange.inject(Gap(stream=name, count=1))
        usdm.exchange.inject(Duplicate(stream=name, count=1))
        usdm.exchange.inject(ClockSkew(by_ms=250))
        for amount in ("1", "2", "3"):
            await usdm.order(do="deposit", asset="USDT", amount=amount)
        sent = await received(client, 3)
        assert [event["a"]["B"][0]["bc"] for event in sent] == ["2", "2", "3"]
        assert {event["E"] for event in sent} == {BEGIN_MS + 250}
        usdm.exchange.inject(Drop(close_code=1001))
        await client.wait_closed()
        assert client.close_code == 1001


async def test_an_account_that_is_not_this_one_is_not_seen(usdm: Usdm) -> None:
    await usdm.http.post("/control/keys", json={"account": "second"})
    async with usdm.stream() as client:
        await usdm.order(do="deposit", account="second", asset="USDT", amount="5")
        await usdm.order(do="deposit", asset="USDT", amount="6")
        assert (await received(client, 1))[0]["a"]["B"][0]["bc"] == "6"


async def test_a_transfer_takes_from_one_account_what_another_gets(usdm: Usdm) -> None:
    await usdm.http.post("/control/keys", json={"account": "second"})
    async with usdm.stream() as client:
        await usdm.order(do="transfer", asset="USDT", amount="-30", other="second")
        await usdm.order(do="transfer", asset="USDT", amount="10", other="second")
        await usdm.order(do="transfer", account="second", asset="USDT", amount="5", other="demo")
        sent = [event["a"] for event in await received(client, 3)]
        assert [(event["m"], event["B"][0]["bc"]) for event in sent] == [
            ("ASSET_TRANSFER", "-30"), ("ASSET_TRANSFER", "10"), ("ASSET_TRANSFER", "-5")
        ]  # fmt: skip
    accounts = (await usdm.http.get("/control/accounts")).json()["accounts"]
    assert [one["wallets"]["USDT"] for one in accounts] == ["99975.00000000", "25.00000000"]
    for fields, reason in (
        ({"amount": "26", "other": "second"}, "the account has 25 USDT"),
        ({"amount": "-1", "other": "third"}, "no account third"),
        ({"amount": "1", "other": "demo"}, "between two accounts"),
    ):
        assert reason in await usdm.order(do="transfer", asset="USDT", **fields)
    assert (await usdm.http.get("/control/accounts")).json()["accounts"] == accounts


async def test_what_cannot_be_is_refused_with_its_reason(usdm: Usdm) -> None:
    for fields, reason in (
        ({"do": "lock", "asset": "USDT", "amount": "1"}, "USD-M has no such order"),
        ({"do": "funding", "symbol": "BTCUSDT"}, "no position in BTCUSDT"),
        ({"do": "liquidate", "symbol": "NOSUCH"}, "no symbol NOSUCH"),
        ({"do": "leverage", "symbol": "BTCUSDT", "leverage": 126}, "`int` <= 125"),
        ({"do": "margin", "symbol": "BTCUSDT", "amount": "1"}, "no isolated position in BTCUSDT"),
        ({"do": "withdraw", "account": "nosuch", "asset": "USDT", "amount": "1"}, "no account nosuch"),
        ({"do": "withdraw", "asset": "USDT", "amount": "100001"}, "the account has 100000 USDT"),
        ({"do": "funding", "symbol": "BTCUSDT", "rate": "2"}, "rate is a share"),
    ):
        assert reason in await usdm.order(**fields)


async def test_clients_change_their_settings_by_signed_bodies(usdm: Usdm) -> None:
    done = {"code": 200, "msg": "success"}
    async with usdm.stream() as client:
        assert await usdm.post("v1/leverage", symbol="BTCUSDT", leverage="50") == {
            "leverage": 50,
            "maxNotionalValue": "5000000",
            "symbol": "BTCUSDT",
        }
        assert await usdm.post("v1/marginType", symbol="BTCUSDT", marginType="ISOLATED") == done
        assert await usdm.post("v1/positionSide/dual", dualSidePosition="true") == done
        assert await usdm.post("v1/multiAssetsMargin", multiAssetsMargin="true") == done
        leverage, margin, assets = await received(client, 3)
        assert (leverage["ac"], margin["a"]["m"], assets["ai"]) == (
            {"s": "BTCUSDT", "l": 50},
            "MARGIN_TYPE_CHANGE",
            {"j": True},
        )
    assert await usdm.get("v1/positionSide/dual") == {"dualSidePosition": True}
    [risk, _] = await usdm.get("v2/positionRisk", "symbol=BTCUSDT")
    assert (risk["leverage"], risk["marginType"]) == ("50", "isolated")
    await usdm.fill("BUY", "1", "100", position_side="LONG")
    for path, fields, code in (
        ("leverage", {"symbol": "BTCUSDT", "leverage": "126"}, -4028),
        ("leverage", {"symbol": "BTCUSDT"}, -1102),
        ("marginType", {"symbol": "BTCUSDT", "marginType": "ISOLATED"}, -4046),
        ("marginType", {"symbol": "BTCUSDT", "marginType": "CROSSED"}, -4048),
        ("marginType", {"symbol": "BTCUSDT", "marginType": "other"}, -1130),
        ("positionSide/dual", {"dualSidePosition": "true"}, -4059),
        ("positionSide/dual", {"dualSidePosition": "false"}, -4068),
        ("positionSide/dual", {"dualSidePosition": "maybe"}, -1130),
    ):
        assert (await usdm.post(f"v1/{path}", **fields))["code"] == code, (path, fields)


@pytest.mark.parametrize(("kind", "name", "known"), [("spot", "spot", OF_SPOT), ("usdm", "USD-M", OF_USDM)])
async def test_the_orders_that_a_market_lists_are_those_that_it_has(
    kind: MarketKind, name: str, known: list[str]
) -> None:
    async with (
        running_exchange(ScriptedMarket(kind=kind)) as exchange,
        httpx.AsyncClient(base_url=exchange.rest_url, timeout=60) as http,
    ):
        listed = (await http.get("/control/orders")).json()
        assert [entry["name"] for entry in listed] == known
        fields = {field["name"]: field for entry in listed if entry["name"] == "fill" for field in entry["fields"]}
        plain: dict[str, Any] = {"choices": [], "default": None, "required": False}
        assert fields["account"] == plain | {"name": "account", "type": "text", "default": "demo"}
        assert fields["quantity"] == plain | {"name": "quantity", "type": "decimal", "required": True}
        assert fields["price"] == plain | {"name": "price", "type": "decimal"}
        assert fields["side"]["choices"] == ["BUY", "SELL"]
        refused = []
        for described in map(describe, ORDERS):
            reply = await http.post("/control/accounts", content=described.example)
            if reply.json().get("error") == f"{name} has no such order":
                refused.append(described.name)
        assert refused == [described.name for described in map(describe, ORDERS) if described.name not in known]
