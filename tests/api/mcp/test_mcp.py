import asyncio
import inspect
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError, StdioServerParameters

from flows.process.version import version
from tests.api.mcp.test_tools import fill
from tests.fakes.interface import Deployment, interface

ROOT = Path(__file__).parents[3]
PATIENCE_S = 30
CALLS: dict[str, dict[str, Any]] = {
    "get_overview": {},
    "get_current_price": {"symbol": "BTCUSDT"},
    "get_candles": {"symbol": "BTCUSDT", "timeframe": "1m", "limit": 5},
    "get_technical_indicators": {"symbol": "BTCUSDT", "timeframe": "1m", "names": ["rsi:7"]},
    "get_analysis": {"symbol": "BTCUSDT"},
    "get_volume_profile": {"symbol": "BTCUSDT"},
    "get_liquidity_vacuums": {"symbol": "BTCUSDT"},
    "get_order_book": {"symbol": "BTCUSDT"},
    "get_derivative": {"symbol": "BTCUSDT", "limit": 2},
    "get_data_quality": {"symbol": "BTCUSDT"},
    "get_capabilities": {},
    "get_alerts": {},
    "find_instruments": {"base": "BTC"},
    "compare_prices": {"base": "btc"},
    "get_balances": {},
    "current_position": {"venue": "binance"},
}


def environment(url: str) -> dict[str, str]:
    return {**os.environ, "MARKETFLOW_TOOLS__API_URL": url}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def over_stdio(url: str) -> AsyncIterator[Client]:
    server = StdioServerParameters(command=sys.executable, args=["-m", "api.mcp"], env=environment(url), cwd=ROOT)
    async with Client(server) as client:
        yield client


@asynccontextmanager
async def http_server(url: str) -> AsyncIterator[str]:
    port = free_port()
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "api.mcp", "--http", "--port", str(port), cwd=ROOT, env=environment(url)
    )
    try:
        async with asyncio.timeout(PATIENCE_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    assert process.returncode is None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    await writer.wait_closed()
                    break
        yield f"http://127.0.0.1:{port}/mcp"
    finally:
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)


@asynccontextmanager
async def over_http(url: str) -> AsyncIterator[Client]:
    async with http_server(url) as address, Client(address) as client:
        yield client


@pytest.mark.parametrize("transport", [over_stdio, over_http])
async def test_every_tool_is_listed_and_answers(deployment: Deployment, transport: Any) -> None:
    fill(deployment)
    async with interface(deployment) as running, transport(running.url) as client:
        assert client.server_info
        assert (client.server_info.name, client.server_info.version) == ("marketflow", version())
        listed = {tool.name: tool for tool in (await client.list_tools()).tools}
        replies = {name: await client.call_tool(name, arguments) for name, arguments in CALLS.items()}

    assert listed.keys() == CALLS.keys()
    assert all(tool.annotations and tool.annotations.read_only_hint for tool in listed.values())
    assert all(tool.input_schema["additionalProperties"] is False for tool in listed.values())
    assert all(tool.description == inspect.cleandoc(tool.description or "") for tool in listed.values())
    for name, reply in replies.items():
        assert not reply.is_error, (name, reply.content)
        assert reply.structured_content is not None
        assert reply.structured_content.keys() == {"data", "freshness", "completeness"}, name
        (content,) = reply.content
        assert json.loads(content.text) == reply.structured_content
        assert "\n" not in content.text
    price = replies["get_current_price"].structured_content
    assert price is not None
    assert price["data"]["price"] == 100.0


@pytest.mark.parametrize("transport", [over_stdio, over_http])
async def test_a_malformed_call_gets_an_error_and_the_server_lives(deployment: Deployment, transport: Any) -> None:
    fill(deployment)
    async with interface(deployment) as running, transport(running.url) as client:
        for name, arguments, reason in (
            ("get_candles", {"symbol": "BTCUSDT", "timeframe": "7m"}, "bad_request: timeframe: .*'1d', not '7m'"),
            ("get_candles", {}, "bad_request: symbol: Field required"),
            (
                "get_candles",
                {"symbol": "BTCUSDT", "interval": "1m"},
                "bad_request: get_candles does not take interval; it takes symbol, timeframe, limit, end, venue",
            ),
            ("get_candles", {"symbol": "BTCUSDT", "limit": 10**6}, "bad_request: limit: .* to 1000, not 1000000"),
            ("get_candles", {"symbol": "BTCUSDT", "end": True}, "bad_request: end: nothing here is true or false"),
            ("get_current_price", {"symbol": "../status"}, r"bad_request: symbol: .*, not '\.\./status'"),
            ("find_instruments", {"base": "<b>"}, "bad_request: base: there are characters .*, not '<b>'"),
            ("compare_prices", {"base": ""}, "bad_request: base: String should have at least 1 character, not ''"),
            ("get_current_price", {"symbol": "BTCUSDX"}, r"unknown_symbol: .* did you mean BTCUSDT\?$"),
            ("get_current_price", {"symbol": "SOLUSDT"}, "no_data: .* not followed here, only BTCUSDT, ETHUSDT"),
            (
                "get_technical_indicators",
                {"symbol": "BTCUSDT", "timeframe": "1m", "names": ["rsx"]},
                "bad_request: 'rsx' is no indicator; there are sma, .*",
            ),
            ("get_candles", {"symbol": "BTCUSDT", "timeframe": "4h"}, r"collecting: .* try again in \d+ s"),
        ):
            text = await refusal(client, name, arguments)
            assert re.fullmatch(reason, text), text
        assert "no_such_tool" in await refusal(client, "no_such_tool", {})

        reply = await client.call_tool("get_current_price", {"symbol": "BTCUSDT"})
        assert not reply.is_error


async def refusal(client: Client, name: str, arguments: dict[str, Any]) -> str:
    """What an agent reads when its call is refused."""
    try:
        reply = await client.call_tool(name, arguments)
    except MCPError as error:
        return str(error)
    assert reply.is_error
    return " ".join(getattr(part, "text", "") for part in reply.content)


@pytest.mark.e2e
async def test_garbage_over_http_is_refused_and_the_server_lives(deployment: Deployment) -> None:
    fill(deployment)
    async with interface(deployment) as running, http_server(running.url) as address:
        async with httpx.AsyncClient(trust_env=False, timeout=60) as web:
            for content in (b"{", b"[]", b'{"jsonrpc":"2.0"}'):
                headers = {"content-type": "application/json", "accept": "application/json, text/event-stream"}
                assert 400 <= (await web.post(address, content=content, headers=headers)).status_code < 500
            foreign = await web.post(address, content=b"{}", headers={"host": "evil.example"})
            assert 400 <= foreign.status_code < 500
        async with Client(address) as client:
            assert not (await client.call_tool("get_current_price", {"symbol": "BTCUSDT"})).is_error


@pytest.mark.e2e
async def test_an_interface_that_is_not_there_is_named() -> None:
    async with over_stdio("http://127.0.0.1:1") as client:
        assert "start it with python -m api" in await refusal(client, "get_current_price", {"symbol": "BTCUSDT"})


@pytest.mark.e2e
def test_without_the_package_the_rest_of_the_interface_works_and_this_says_what_to_install() -> None:
    hidden = "import sys; sys.modules['mcp'] = None; "
    rest = subprocess.run(
        [sys.executable, "-c", f"{hidden}import api.app, api.mcp.tools"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (rest.returncode, rest.stderr) == (0, "")

    tools = subprocess.run(
        [sys.executable, "-c", f"{hidden}import api.mcp.__main__"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tools.returncode == 1
    assert "the tools for agents need the package mcp: make dev" in tools.stderr
