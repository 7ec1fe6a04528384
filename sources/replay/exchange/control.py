"""The control endpoint of the replay exchange, for tests and operators, and its page.

`GET /control`: the page · `GET /control/state` · `GET`, `POST`, `DELETE /control/faults` · `POST /control/lives` ·
`POST /control/pause`, `POST /control/resume`, `POST /control/speed`, and what a
venue has besides: its accounts. `GET /control/faults` lists the faults that there are, every other one returns the
state. Errors are `{"error": text}` with 400; 403
for a page of another origin.
"""

import base64
import hashlib
import re
from collections.abc import Awaitable, Callable
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec
from aiohttp import web

from flows.clock import wall_ms
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.faults.catalogue import catalogue
from sources.replay.faults.orders import decode_fault
from sources.replay.market.lives import decode_life
from sources.replay.market.player import decode_speed

PAGE: Final = Path(__file__).with_name("control_page.html")
_BLOCK: Final = re.compile(r"<(script|style)[^>]*>(.*?)</\1>", re.DOTALL)
_FOREIGN: Final = "a page of another origin has no business here"


def add_control(app: web.Application, exchange: ReplayExchange) -> None:
    """Adds the routes of the control endpoint of `exchange`, and its page, to `app`."""

    def route(method: str, name: str, act: Callable[[bytes], None]) -> None:
        def act_and_report(body: bytes) -> Any:
            act(body)
            return exchange.state(wall_ms() / 1_000)

        app.router.add_route(method, f"/control/{name}", _handler(act_and_report))

    app.router.add_get("/control", _page)
    app.router.add_get("/control/faults", _faults)
    route("GET", "state", lambda _: None)
    route("POST", "faults", lambda body: exchange.inject(decode_fault(body)))
    route("DELETE", "faults", lambda _: exchange.clear_faults())
    route("POST", "lives", lambda body: exchange.change_life(decode_life(body)))
    route("POST", "pause", lambda _: exchange.pause())
    route("POST", "resume", lambda _: exchange.resume())
    route("POST", "speed", lambda body: exchange.change_speed(decode_speed(body)))
    for (method, name), answer in exchange.dialect.controls(exchange).items():
        app.router.add_route(method, f"/control/{name}", _handler(answer))


def is_admitted(origin: str | None, scheme: str, host: str) -> bool:
    """Whether a request may act: one of no page, or of a page of this very address by a name of this machine alone.

    `host` is the header `Host`. A foreign name that is made to point at this machine is no name of it, so that a page
    from there gains nothing by it.
    """
    return origin is None or (origin == f"{scheme}://{host}" and _is_loopback(host))


def _is_loopback(host: str) -> bool:
    try:
        name = urlsplit(f"//{host}").hostname or ""
        return name == "localhost" or ip_address(name).is_loopback
    except ValueError:
        return False


def _refusal(request: web.Request) -> web.Response | None:
    """The answer to a request of a page that is not this one."""
    admitted = is_admitted(request.headers.get("Origin"), request.scheme, request.headers.get("Host", ""))
    return None if admitted else _json(403, {"error": _FOREIGN})


def _handler(answer: Callable[[bytes], Any]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def handle(request: web.Request) -> web.StreamResponse:
        if refusal := _refusal(request):
            return refusal
        try:
            return _json(200, answer(await request.read()))
        except ValueError as error:
            return _json(400, {"error": str(error)})

    return handle


async def _faults(request: web.Request) -> web.StreamResponse:
    return _refusal(request) or _json(200, catalogue())


async def _page(request: web.Request) -> web.StreamResponse:
    if refusal := _refusal(request):
        return refusal
    text = PAGE.read_text()
    headers = {
        "Content-Security-Policy": policy_of(text),
        "Cache-Control": "no-cache",
        "Referrer-Policy": "no-referrer",
    }
    return web.Response(text=text, content_type="text/html", headers=headers)


def policy_of(page: str) -> str:
    """The page's Content-Security-Policy: its own script and style, and this server, are all that it may use."""
    allowed = {
        name: base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() for name, text in _BLOCK.findall(page)
    }
    return (
        f"default-src 'none'; script-src 'sha256-{allowed['script']}'; style-src 'sha256-{allowed['style']}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )


def _json(status: int, body: object) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(body), content_type="application/json")
