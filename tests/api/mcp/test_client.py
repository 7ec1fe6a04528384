from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiohttp import web

from api.mcp.client import Answer, Failure, RestClient
from flows.settings import Api, Settings, Tools

Handler = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def answering(handler: Handler, *, token: str | None = None) -> AsyncIterator[RestClient]:
    """A client of a server with this one response."""
    app = web.Application()
    app.router.add_get("/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    port = runner.addresses[0][1]
    async with RestClient(Settings(api=Api(port=port, token=token))) as client:
        yield client
    await runner.cleanup()


def always(text: str, status: int = 200, **headers: str) -> Handler:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(text=text, status=status, headers=headers)

    return handler


async def test_the_envelope_is_taken_off() -> None:
    async with answering(always('{"success":true,"data":[1],"error":null}')) as client:
        assert await client.get("prices") == Answer([1], accepted=False)
    async with answering(always('{"success":true,"data":{"id":"x"},"error":null}', 202)) as client:
        assert await client.get("chart") == Answer({"id": "x"}, accepted=True)


async def test_path_query_and_token_arrive_as_they_are() -> None:
    requests: list[tuple[str, str, str | None]] = []

    async def handler(request: web.Request) -> web.Response:
        requests.append((request.raw_path, request.path, request.headers.get("Authorization")))
        return web.Response(text='{"success":true,"data":null}')

    async with answering(handler, token="secret") as client:
        await client.get("prices", "A/B", limit=5, end=None)

    assert requests == [("/api/prices/A%2FB?limit=5", "/api/prices/A/B", "Bearer secret")]


async def test_an_error_says_why_what_was_meant_and_how_long_to_wait() -> None:
    error = (
        '{"success":false,"data":null,"error":{"code":"unknown_symbol","message":"X is not known","nearest":["XY"]}}'
    )
    async with answering(always(error, 404, **{"Retry-After": "7"})) as client:
        with pytest.raises(Failure) as caught:
            await client.get("prices", "X")

    assert str(caught.value) == "unknown_symbol: X is not known; the nearest names are XY; try again in 7 s"
    assert caught.value.code == "unknown_symbol"


@pytest.mark.parametrize("text", ["<html>", "[]", '{"data":1}', ""])
async def test_what_is_not_the_interface_is_named(text: str) -> None:
    async with answering(always(text)) as client:
        with pytest.raises(Failure, match="is not the interface of marketflow"):
            await client.get("prices")


async def test_an_error_without_a_reason() -> None:
    async with answering(always('{"success":false}', 500)) as client:
        with pytest.raises(Failure, match="internal: the interface gave no reason"):
            await client.get("prices")


async def test_without_a_server_it_is_unreachable() -> None:
    async with RestClient(Settings(tools=Tools(api_url="http://127.0.0.1:1"))) as client:
        with pytest.raises(Failure, match=r"http://127.0.0.1:1 does not answer .* start it with python -m api"):
            await client.get("prices")


async def test_the_address_is_that_of_the_settings() -> None:
    async with RestClient(Settings(api=Api(host="::1", port=81))) as client:
        assert client.url == "http://[::1]:81"
