"""The SignalR hub at `/hubs/marketdata`; not in the OpenAPI document, `docs/signalr.md` describes its methods."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, RawRoute, Route, sentence_of, with_symbols
from api.routes import candles, prices
from api.services import Services
from api.signalr.server import SignalR

PATH: Final = "/hubs/marketdata"
CALLS: Final = {
    "GetPrices": ("/api/prices", ("symbols", "venue")),
    "GetCandles": ("/api/candles/{symbol}/{timeframe}", ("symbol", "timeframe", "limit", "venue")),
}
"""By method, the route whose answer it returns, and the parameters that are its arguments."""


class NegotiateParams(Struct, frozen=True, forbid_unknown_fields=True):
    """The version of the negotiation, and whether the client may come back after a cut."""

    version: Annotated[int, Meta(ge=0, le=1)] = msgspec.field(name="negotiateVersion", default=0)
    may_resume: bool = msgspec.field(name="useStatefulReconnect", default=False)


def routes(hub: SignalR) -> list[RawRoute]:
    """The routes of this file."""

    async def negotiate(_: web.Request, params: NegotiateParams) -> web.StreamResponse:
        """An id for a connection."""
        return web.json_response(hub.negotiate(params.version, may_resume=params.may_resume))

    async def open_(request: web.Request, _: NoParams) -> web.StreamResponse:
        """A connection, or its messages."""
        return await hub.open(request)

    async def post(request: web.Request, _: NoParams) -> web.StreamResponse:
        """A message of a client."""
        return await hub.post(request)

    async def delete(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The end of a connection."""
        return await hub.delete(request)

    return [
        RawRoute("POST", f"{PATH}/negotiate", negotiate, "application/json", NegotiateParams, ignores_unknown=True),
        RawRoute("GET", PATH, open_, "application/json", ignores_unknown=True),
        RawRoute("POST", PATH, post, "application/json", ignores_unknown=True),
        RawRoute("DELETE", PATH, delete, "application/json", ignores_unknown=True),
    ]


def hub_of(services: Services) -> SignalR:
    """The hub on the gateway."""
    found = {route.path: route for route in (*prices.routes(services), *candles.routes(services))}
    calls = {method: _call(found[path], names) for method, (path, names) in CALLS.items()}
    return SignalR(services.gateway, calls, max_clients=services.settings.hub.max_clients)


def _call(route: AnyRoute, names: tuple[str, ...]) -> Callable[[Sequence[Any]], Awaitable[Any]]:
    """A method that answers as a route does; arguments that are left out or null have their default."""
    assert isinstance(route, Route)  # noqa: S101 - of `CALLS`

    async def call(arguments: Sequence[Any]) -> Any:
        if len(arguments) > len(names):
            raise Problem("bad_request", f"the arguments are {', '.join(names)}")
        given = {name: value for name, value in zip(names, arguments, strict=False) if value is not None}
        try:
            params = with_symbols(msgspec.convert(given, route.params))
        except (msgspec.ValidationError, ValueError) as error:
            raise Problem(
                "bad_request", f"the arguments cannot be right: {sentence_of(error, route.params)}"
            ) from error
        return await route.handler(params)

    return call
