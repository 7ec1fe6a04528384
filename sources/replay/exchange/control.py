"""The control endpoint of the replay exchange, for tests and operators.

`GET /control/state` · `POST /control/faults`, `DELETE /control/faults` · `POST /control/lives` · `POST /control/pause`,
`POST /control/resume`.
Each returns the state. Errors are `{"error": text}` with 400.
"""

from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from flows.clock import wall_ms
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.faults.orders import decode_fault
from sources.replay.market.lives import decode_life


def add_control(app: web.Application, exchange: ReplayExchange) -> None:
    """Adds the routes of the control endpoint of `exchange` to `app`."""

    def route(method: str, name: str, act: Callable[[bytes], None]) -> None:
        app.router.add_route(method, f"/control/{name}", _handler(exchange, act))

    route("GET", "state", lambda _: None)
    route("POST", "faults", lambda body: exchange.inject(decode_fault(body)))
    route("DELETE", "faults", lambda _: exchange.clear_faults())
    route("POST", "lives", lambda body: exchange.change_life(decode_life(body)))
    route("POST", "pause", lambda _: exchange.pause())
    route("POST", "resume", lambda _: exchange.resume())


def _handler(
    exchange: ReplayExchange, act: Callable[[bytes], None]
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if "Origin" in request.headers:
            return _json(403, {"error": "a page in a browser has no business here"})
        try:
            act(await request.read())
        except ValueError as error:
            return _json(400, {"error": str(error)})
        return _json(200, exchange.state(wall_ms() / 1_000))

    return handle


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
