"""Calls within this machine never go through a proxy, whatever the environment names; others do, by every transport."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from flows.settings import Rest, Settings
from sources.connection.transport import TransportError, proxy_of, transport_of
from sources.replay.exchange.server import running_exchange
from sources.rest.client import ProxyError, RestClient
from tests.fakes.scripted_market import ScriptedMarket, trade_messages

NAMES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "WS_PROXY", "WSS_PROXY", "NO_PROXY")
OUTSIDE = "venue.example"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    return monkeypatch


class Proxy:
    """Remembers what it is asked for, and refuses it."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.url = ""

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        self.requests.append(head.split(b"\r\n")[0].decode())
        writer.write(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()


@asynccontextmanager
async def proxied(environment: pytest.MonkeyPatch) -> AsyncIterator[Proxy]:
    proxy = Proxy()
    server = await asyncio.start_server(proxy.handle, "127.0.0.1", 0)
    async with server:
        proxy.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        for name in NAMES[:-1]:
            environment.setenv(name, proxy.url)
        yield proxy


@pytest.mark.parametrize("transport", ["websockets", "picows"])
async def test_streams(environment: pytest.MonkeyPatch, transport: str) -> None:
    open_socket = transport_of(transport)  # type: ignore[arg-type]
    async with proxied(environment) as proxy, running_exchange(ScriptedMarket(trade_messages(1))) as exchange:
        socket = await open_socket(f"{exchange.ws_url}/ws", lambda _: None, timeout_s=10)
        await socket.close()
        assert proxy.requests == []
        with pytest.raises(TransportError):
            await open_socket(f"ws://{OUTSIDE}:9443/stream", lambda _: None, timeout_s=10)
        assert proxy.requests == [f"CONNECT {OUTSIDE}:9443 HTTP/1.1"]


async def test_rest(environment: pytest.MonkeyPatch) -> None:
    async with proxied(environment) as proxy, running_exchange(ScriptedMarket(trade_messages(1))) as exchange:
        here = RestClient(exchange.rest_url, settings=Rest(), weight_per_minute=100)
        assert await here.get("/api/v3/ping") == b"{}"
        await here.aclose()
        assert proxy.requests == []
        there = RestClient(f"http://{OUTSIDE}", settings=Rest(tries=1), weight_per_minute=100)
        with pytest.raises(Exception, match="502"):
            await there.get("/api/v3/ping")
        await there.aclose()
        assert proxy.requests == [f"GET http://{OUTSIDE}/api/v3/ping HTTP/1.1"]


def test_a_proxy_that_cannot_be_used_is_an_error_at_start_and_none_for_this_machine(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("ALL_PROXY", "nonsense://127.0.0.1:1")
    RestClient("http://127.0.0.1:9443", settings=Rest(), weight_per_minute=1)
    with pytest.raises(ProxyError, match=r"venue\.example"):
        RestClient(f"https://{OUTSIDE}", settings=Rest(), weight_per_minute=1)


@pytest.mark.parametrize("transport", ["websockets", "picows"])
@pytest.mark.parametrize("proxy", ["nonsense://127.0.0.1:1", "http://", "socks5h://127.0.0.1:9", "http://127.0.0.1:9"])
async def test_a_proxy_that_is_not_there_or_none_is_reported_as_any_other_failure(
    environment: pytest.MonkeyPatch, transport: str, proxy: str
) -> None:
    environment.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(TransportError):
        await transport_of(transport)(f"wss://{OUTSIDE}/stream", lambda _: None, timeout_s=10)  # type: ignore[arg-type]


def test_the_environment_may_name_what_is_asked_directly(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    assert proxy_of("wss://stream.binance.com:9443/stream") == "http://proxy.example:3128"
    assert proxy_of("wss://localhost:9443/stream") is None
    environment.setenv("NO_PROXY", "binance.com")
    assert proxy_of("wss://stream.binance.com:9443/stream") is None
    with pytest.raises(TransportError):
        proxy_of("https://no.websocket")


def test_the_interface_is_asked_directly_here_and_through_the_proxy_elsewhere(
    environment: pytest.MonkeyPatch,
) -> None:
    from api.mcp.client import RestClient as ApiClient  # noqa: PLC0415 - the interface's own client

    environment.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    here = ApiClient(Settings())
    there = ApiClient(Settings.model_validate({"tools": {"api_url": f"http://{OUTSIDE}"}}))
    assert _proxies(here._client) == 0
    assert _proxies(there._client) > 0


def _proxies(client: httpx.AsyncClient) -> int:
    return sum(transport is not None for transport in client._mounts.values())
