"""Several venues on one port: the first at the root, each further one below its name, and none notices the others."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from websockets.asyncio.client import connect

from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.server import serving
from sources.replay.synthetic.market import SyntheticMarket
from sources.replay.venues.coinbase.dialect import synthetic_coinbase
from sources.replay.venues.kraken.dialect import synthetic_kraken

BEGIN_MS = 1_767_225_600_000
HEARTBEAT = {"type": "subscribe", "product_ids": ["BTC-USD"], "channels": ["heartbeat"]}
NAMES = ("", "/kraken", "/coinbase")


@asynccontextmanager
async def three() -> AsyncIterator[list[ReplayExchange]]:
    """Binance, Kraken and Coinbase, whose markets go on from their first seconds."""
    market: dict[str, Any] = {"seed": 7, "start_ms": BEGIN_MS, "trades_per_s": 20.0}
    exchanges = [
        ReplayExchange(SyntheticMarket("spot", ("BTCUSDT",), **market), speed=1.0, start_now=True),
        *(
            ReplayExchange(served.market, dialect=served.dialect, speed=1.0, start_now=True)
            for served in (synthetic_kraken(["BTC-USD"], **market), synthetic_coinbase(["BTC-USD"], **market))
        ),
    ]
    for exchange in exchanges:
        exchange.skip(lambda: BEGIN_MS + 5_000)
    async with serving(*exchanges, host="127.0.0.1", port=0):
        yield exchanges


async def body_of(url: str, **parameters: str) -> Any:
    async with httpx.AsyncClient(timeout=60) as client:
        return (await client.get(url, params=parameters)).json()


async def test_each_is_at_its_own_address_of_one_port() -> None:
    async with three() as exchanges:
        root = exchanges[0].rest_url
        assert [one.rest_url for one in exchanges] == [f"{root}{name}" for name in NAMES]
        assert [one.ws_url for one in exchanges] == [f"{root}{name}".replace("http", "ws", 1) for name in NAMES]
        states = [await body_of(f"{one.rest_url}/control/state") for one in exchanges]
        assert [one["venue"] for one in states] == ["binance", "kraken", "coinbase"]


async def test_each_has_a_speed_of_its_own() -> None:
    async with three() as exchanges, httpx.AsyncClient(timeout=60) as client:
        changed = await client.post(f"{exchanges[1].rest_url}/control/speed", json={"speed": 5})
        assert (changed.json()["venue"], changed.json()["speed"]) == ("kraken", 5.0)
        assert [one.state(0.0)["speed"] for one in exchanges] == [1.0, 5.0, 1.0]


async def test_every_exchange_lists_the_orders_of_its_accounts() -> None:
    async with three() as exchanges:
        for one in exchanges:
            listed = await body_of(f"{one.rest_url}/control/orders")
            assert [entry["name"] for entry in listed][:2] == ["open", "deposit"], one.rest_url


async def test_rest_answers_in_the_form_of_the_venue_with_nearly_the_same_price() -> None:
    async with three() as [binance, kraken, coinbase]:
        spot = await body_of(f"{binance.rest_url}/api/v3/ticker/price", symbol="BTCUSDT")
        pair = await body_of(f"{kraken.rest_url}/0/public/Ticker", pair="XBT/USD")
        product = await body_of(f"{coinbase.rest_url}/products/BTC-USD/ticker")
        prices = [float(spot["price"]), float(pair["result"]["XXBTZUSD"]["c"][0]), float(product["price"])]
        assert len(set(prices)) == 3
        assert prices == pytest.approx([prices[0]] * 3, rel=0.005)
        nowhere = await body_of(f"{kraken.rest_url}/api/v3/ping")
        assert nowhere["error"]


@pytest.mark.parametrize(
    ("path", "request_", "expected"),
    [
        ("/kraken/v2", {"method": "ping"}, {"channel": "status"}),
        ("/kraken", {"method": "ping"}, {"channel": "status"}),
        ("/coinbase", HEARTBEAT, {"type": "subscriptions"}),
        ("/coinbase/", HEARTBEAT, {"type": "subscriptions"}),
        ("/coinbase/exchange", HEARTBEAT, {"type": "subscriptions"}),
        ("/ws", {"method": "LIST_SUBSCRIPTIONS", "id": 1}, {"result": []}),
    ],
)
async def test_streams_are_below_the_name_too(path: str, request_: Any, expected: dict[str, Any]) -> None:
    async with three() as exchanges, connect(f"{exchanges[0].ws_url}{path}") as client:
        await client.send(msgspec.json.encode(request_).decode())
        first = msgspec.json.decode(await client.recv())
        assert {key: first.get(key) for key in expected} == expected


async def test_a_fault_is_of_the_venue_below_whose_name_it_is_ordered() -> None:
    async with three() as exchanges, httpx.AsyncClient(timeout=60) as client:
        _, kraken, _ = exchanges
        order = {"fault": "refuse", "status": 503, "path": "/0/public/Time"}
        ordered = await client.post(f"{kraken.rest_url}/control/faults", json=order)
        assert ordered.json()["venue"] == "kraken"
        active = [(await body_of(f"{one.rest_url}/control/state"))["faults"] for one in exchanges]
        assert [len(one) for one in active] == [0, 1, 0]
        assert (await client.get(f"{kraken.rest_url}/0/public/Time")).status_code == 503
        assert (await client.get(f"{kraken.rest_url}/0/public/Time")).json()["error"] == []
