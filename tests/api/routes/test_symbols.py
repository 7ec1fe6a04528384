"""Every route accepts every name that an exchange lists, and no other."""

from typing import Any

import pytest
from mcp import Client
from yarl import URL

from api.mcp.__main__ import build_server
from api.mcp.client import RestClient
from api.mcp.tools import Tools
from flows.model import BookView, MarketData
from flows.settings import Settings
from flows.settings import Tools as ToolsSettings
from tests.fakes.candles import candle
from tests.fakes.interface import NOW, Deployment, interface

NAME = "币安人生USDT"
PATHS = [
    "/api/prices/{}",
    "/api/candles/{}/1m",
    "/api/chart/{}/1m",
    "/api/orderbook/{}",
    "/api/indicators/{}/1m?names=rsi:7",
    "/api/quality?symbol={}",
    "/api/prices?symbols={}",
    "/api/ticks?symbols={}",
    "/api/overview?symbols={}",
    "/api/charts?symbols={}&timeframes=1m",
]
HOSTILE = [
    "<img src=x onerror=alert(1)>",
    "A B",
    'A"B',
    "A\n",
    "A\u202eB",
    "A\u200bB",
    "\u017fOLUSDT",
    "..",
    "A" * 65,
    "A\x00",
]


def fill(deployment: Deployment) -> None:
    deployment.store([candle(minute, close=100.0 + minute, symbol=NAME) for minute in range(10)])
    deployment.list_instruments(NAME, "BTCUSDT_250926")
    deployment.start_hub()
    deployment.tell(
        MarketData("binance", NAME, 5.0, NOW, 1.5, 0.25, 1_000.0),
        BookView("binance", NAME, True, 42, NOW, [(99.5, 1.0)], [(100.5, 2.0)]),
    )


def address(path: str, name: str) -> URL:
    return URL(path.format(URL.build(path=name).raw_path if name not in {"", ".."} else name), encoded=True)


async def test_a_name_in_another_script_is_served_everywhere(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as running:
        for path in PATHS:
            for spelling in (NAME, NAME.lower()):
                status, body = await running.get(str(address(path, spelling)))
                assert (status, body["success"]) == (200, True), (path, body)
                assert NAME in str(body["data"]), path


async def test_a_name_in_another_script_is_added_refreshed_and_removed(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as running:
        for path, body in (("/api/symbols", {"symbol": NAME.lower()}), ("/api/subscribe", {"symbols": [NAME]})):
            status, answer = await running.ask("POST", path, json=body)
            assert status in {200, 202}, answer
            assert NAME in str(answer["data"])
        status, answer = await running.ask("POST", f"/api/market-data/refresh/{NAME}")
        assert (status, answer["data"]["symbol"]) == (202, NAME)
        status, answer = await running.ask("DELETE", f"/api/symbols/{NAME}")
        assert (status, answer["data"]["wanted"]) == (202, False)
        status, answer = await running.ask("POST", "/api/symbols", json={"symbol": "btcusdt_250926"})
        assert (status, answer["data"]["symbol"]) == (202, "BTCUSDT_250926")


@pytest.mark.parametrize("name", HOSTILE)
async def test_what_can_be_no_name_is_refused_everywhere(deployment: Deployment, name: str) -> None:
    fill(deployment)
    async with interface(deployment) as running:
        for path in PATHS:
            if name == ".." and "?" not in path:
                continue  # a client resolves it before it asks
            status, body = await running.get(str(address(path, name)))
            assert (status, body["success"]) in {(400, False), (404, False)}, (path, body)
        for route, body in (("/api/symbols", {"symbol": name}), ("/api/subscribe", {"symbols": [NAME, name]})):
            status, answer = await running.ask("POST", route, json=body)
            assert (status, answer["error"]["code"]) == (400, "bad_request"), answer
        status, answer = await running.ask("DELETE", str(address("/api/symbols/{}", name.replace("..", "$"))))
        assert status in {400, 404}, answer


@pytest.mark.parametrize("tool", ["get_current_price", "get_candles", "get_data_quality", "get_order_book"])
async def test_agents_may_name_it_too(deployment: Deployment, tool: str) -> None:
    fill(deployment)
    async with interface(deployment) as running, RestClient(Settings(tools=ToolsSettings(api_url=running.url))) as rest:
        server = build_server(Tools(rest, rows=10))
        async with Client(server) as client:
            arguments: dict[str, Any] = {"symbol": NAME.lower()}
            if tool == "get_candles":
                arguments["timeframe"] = "1m"
            reply = await client.call_tool(tool, arguments)
            assert not reply.is_error, reply
            assert NAME in str(reply.structured_content)
            for name in HOSTILE:
                refused = await client.call_tool(tool, {**arguments, "symbol": name})
                assert refused.is_error
                assert "bad_request: symbol" in str(refused.content)
