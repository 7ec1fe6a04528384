"""The aiohttp application: one handler a route, inside three middlewares, outermost first:

`record` (request id, log, metrics) ▶ `explain` (errors become responses) ▶ `guard` (host, origin, token) ▶ handler.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from http import HTTPStatus
from os import urandom
from types import ModuleType
from typing import Any, Final

import msgspec
import structlog
from aiohttp import HttpVersion11, hdrs, web
from aiohttp.typedefs import Handler

from api.http.access_log import AccessLog
from api.http.auth import RIGHTS, HandshakeRequest, authorize, may_call
from api.http.connections import connection_of
from api.http.errors import Problem
from api.http.responses import failure, success
from api.http.route import AnyRoute, RawRoute, Route, params_reader, sentence_of, status_of, with_symbols
from api.http.schema import openapi
from api.live.messages import BODIES
from api.routes import (
    accounts,
    bars,
    books,
    candles,
    derivatives,
    export,
    incidents,
    indicators,
    instruments,
    metrics,
    prices,
    quality,
    refresh,
    static,
    status,
    symbols,
    trades,
    volume,
)
from api.routes.proof import spans as proof
from api.routes.protocols import gateway, openbb, signalr, stored, udf
from api.routes.replays import replay
from api.routes.rules import alerts
from api.routes.static import FILES_PATH
from api.services import Services
from sinks.hub.messages import CHANNELS
from sinks.hub.payloads import HeartbeatBody, InstrumentBody, StatusBody
from sinks.hub.rights import Right

GROUPS: Final = (
    prices,
    candles,
    trades,
    bars,
    books,
    derivatives,
    volume,
    indicators,
    symbols,
    instruments,
    refresh,
    quality,
    incidents,
    alerts,
    export,
    proof,
    accounts,
    status,
    metrics,
    replay,
    udf,
    openbb,
    stored,
)
"""The modules whose routes appear in the OpenAPI document."""
REQUEST_ID: Final = "X-Request-Id"
ALLOWED_HEADERS: Final = ("Authorization", "Content-Type", REQUEST_ID, "X-Requested-With", "X-SignalR-User-Agent")
"""Headers that web pages of other origins may send; the last two are those of SignalR's client."""
HEALTH: Final = "/health/"
"""Begin of the paths that supervisors query, some of them by HTTP/1.0 without a `Host`."""
ACCESS_LOG: Final = web.AppKey("access_log", AccessLog)
"""What counts the answers of an application."""
ACCESS_TOKEN: Final = "access_token"  # noqa: S105 - the name of a parameter
"""Where a browser's SignalR client puts the token."""
_ID: Final = re.compile(r"[\w.-]{1,64}")
_CODES: Final = {
    HTTPStatus.NOT_FOUND: "not_found",
    HTTPStatus.METHOD_NOT_ALLOWED: "method_not_allowed",
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "body_too_large",
}
_NAME: Final = web.RequestKey("request_id", str)
_JOINED: Final = web.RequestKey("joined_s", float)
"""When the handshake of a WebSocket was answered: what follows is no time to answer."""

_log = structlog.get_logger(__name__)


def _name(group: ModuleType) -> str:
    return group.__name__.rpartition(".")[2]


def _about(group: ModuleType) -> str:
    """What a group is for: the first paragraph of its module's docstring."""
    return " ".join((group.__doc__ or "").strip().partition("\n\n")[0].split())


def _channels() -> dict[str, list[type]]:
    """The channels of the broadcast, with the types of their messages' `data`."""
    several = {"Status": [InstrumentBody, StatusBody, HeartbeatBody]}
    return {name: several.get(name, [BODIES[name]]) for name in CHANNELS}


def build_app(services: Services) -> web.Application:
    """The application with all routes."""
    groups = {_name(group): group.routes(services) for group in GROUPS}
    described = [route for group in groups.values() for route in group]
    description = openapi(groups, about={_name(group): _about(group) for group in GROUPS}, channels=_channels())
    routes = [*described, *static.routes(description), *gateway.routes(services)]
    signalr_hub = signalr.hub_of(services)
    routes += signalr.routes(signalr_hub)
    needed = {route.path: route.needs for route in routes}
    access_log = AccessLog()
    app = web.Application(
        middlewares=[_recorder(services, access_log), _explain, _guard(services, needed)],
        client_max_size=services.settings.api.body_bytes,
    )
    for route in routes:
        _add(app, route)
    app.on_response_prepare.append(_header_setter(services))
    app.cleanup_ctx.append(_summaries(access_log))
    app.on_shutdown.append(lambda _: signalr_hub.close())
    app.on_shutdown.append(lambda _: services.gateway.close())
    app[ACCESS_LOG] = access_log
    return app


def _summaries(access_log: AccessLog) -> Callable[[web.Application], AsyncIterator[None]]:
    async def running(_: web.Application) -> AsyncIterator[None]:
        task = asyncio.create_task(access_log.summarise())
        yield
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    return running


def _add(app: web.Application, route: AnyRoute) -> None:
    handler = _raw_endpoint(route) if isinstance(route, RawRoute) else _endpoint(route)
    if route.method == hdrs.METH_GET:
        app.router.add_get(route.path, handler, expect_handler=_continue)
    else:
        app.router.add_route(route.method, route.path, handler, expect_handler=_continue)


async def _continue(request: web.Request) -> None:
    """Answers `Expect: 100-continue`; any other expectation is ignored (RFC 9110, 10.1.1)."""
    if request.version >= HttpVersion11 and request.headers.get(hdrs.EXPECT, "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        request.writer.output_size = 0  # as in aiohttp: nothing of the response is sent


def _endpoint(route: Route) -> Handler:
    read_params = params_reader(route.params)
    read_body = _body_reader(route.body) if route.body else None

    async def endpoint(request: web.Request) -> web.StreamResponse:
        params = read_params(request)
        result = await (route.handler(params, await read_body(request)) if read_body else route.handler(params))
        return success(request, result, status=status_of(route, result))

    return endpoint


def _raw_endpoint(route: RawRoute) -> Handler:
    read_params = params_reader(route.params, ignores_unknown=route.ignores_unknown)

    async def endpoint(request: web.Request) -> web.StreamResponse:
        try:
            params = read_params(request)
        except Problem as problem:
            if route.on_problem is None:
                raise
            return route.on_problem(problem)
        return await route.handler(request, params)

    return endpoint


def _body_reader(kind: type[msgspec.Struct]) -> Callable[[web.Request], Awaitable[msgspec.Struct]]:
    decoder: msgspec.json.Decoder[Any] = msgspec.json.Decoder(kind)

    async def read(request: web.Request) -> msgspec.Struct:
        if request.content_type != "application/json":
            raise Problem("unsupported_media_type", "send the body as application/json")
        try:
            body: msgspec.Struct = with_symbols(decoder.decode(await request.read()))
        except (msgspec.DecodeError, ValueError, RecursionError) as error:
            raise Problem("bad_request", f"the body cannot be right: {sentence_of(error, kind)}") from error
        except (ConnectionError, web.RequestPayloadError) as error:
            raise Problem("bad_request", "the body did not arrive completely") from error
        return body

    return read


# --- middlewares ---


def _recorder(services: Services, access_log: AccessLog) -> Any:
    api_metrics = services.metrics

    @web.middleware
    async def record(request: web.Request, handler: Handler) -> web.StreamResponse:
        began = time.perf_counter()
        shown = request.headers.get(REQUEST_ID, "")
        request[_NAME] = shown if _ID.fullmatch(shown) else urandom(16).hex()
        connection = connection_of(request)
        if connection:
            connection.on_header(request.content)
        try:
            response = await handler(request)
        finally:
            if connection:
                connection.on_answer()
        ended = request[_JOINED] if isinstance(response, web.WebSocketResponse) else time.perf_counter()
        seconds = ended - began
        resource = request.match_info.route.resource
        api_metrics.on_answer(resource.canonical if resource else "none", response.status, seconds)
        access_log.on_answer(
            method=request.method,
            path=request.path,
            status=response.status,
            seconds=seconds,
            request_id=request[_NAME],
        )
        return response

    return record


@web.middleware
async def _explain(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except Problem as problem:
        if request.writer.output_size:
            raise  # part of the response is sent: only closing the connection marks it as incomplete
        return failure(problem, request_id=request[_NAME])
    except web.HTTPException as error:
        code = _CODES.get(HTTPStatus(error.status), "bad_request")
        response = failure(Problem(code, error.reason), request_id=request[_NAME])
        if hdrs.ALLOW in error.headers:
            response.headers[hdrs.ALLOW] = error.headers[hdrs.ALLOW]
        return response
    except Exception:
        if request.writer.output_size:
            raise
        _log.exception("handler_failed", path=request.path, request_id=request[_NAME])
        return failure(Problem("internal", "internal error; see the API's log"), request_id=request[_NAME])


def _guard(services: Services, needed: Mapping[str, Right | None]) -> Any:
    settings, hub = services.settings.api, services.settings.hub

    @web.middleware
    async def guard(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        path = resource.canonical if resource else ""
        preflight = request.method == hdrs.METH_OPTIONS and hdrs.ACCESS_CONTROL_REQUEST_METHOD in request.headers
        needs = None if preflight or path == FILES_PATH else needed.get(path, "market")
        request[RIGHTS] = authorize(
            _handshake(request), settings, hub=hub, needs=needs, needs_host=not path.startswith(HEALTH)
        )
        if preflight:
            return web.Response(
                status=HTTPStatus.NO_CONTENT,
                headers={
                    hdrs.ACCESS_CONTROL_ALLOW_METHODS: "GET, POST, DELETE",
                    hdrs.ACCESS_CONTROL_ALLOW_HEADERS: ", ".join(ALLOWED_HEADERS),
                    hdrs.ACCESS_CONTROL_MAX_AGE: "600",
                },
            )
        return await handler(request)

    return guard


def _header_setter(services: Services) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    settings = services.settings.api

    async def set_headers(request: web.Request, response: web.StreamResponse) -> None:
        request[_JOINED] = time.perf_counter()
        response.headers[REQUEST_ID] = request[_NAME]
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault(hdrs.CACHE_CONTROL, "no-store")
        origin = request.headers.get(hdrs.ORIGIN)
        if origin:
            response.headers[hdrs.VARY] = ", ".join([*response.headers.getall(hdrs.VARY, []), hdrs.ORIGIN])
            if may_call(_handshake(request), settings):
                response.headers[hdrs.ACCESS_CONTROL_ALLOW_ORIGIN] = origin
                response.headers[hdrs.ACCESS_CONTROL_EXPOSE_HEADERS] = REQUEST_ID
                if request.path.startswith(signalr.PATH):  # its clients send credentials unless configured
                    response.headers[hdrs.ACCESS_CONTROL_ALLOW_CREDENTIALS] = "true"

    return set_headers


def _handshake(request: web.Request) -> HandshakeRequest:
    headers = request.headers
    return HandshakeRequest(
        headers.get(hdrs.HOST, ""),
        headers.get(hdrs.ORIGIN, ""),
        headers.getall(hdrs.AUTHORIZATION, []),
        [*request.query.getall("token", []), *request.query.getall(ACCESS_TOKEN, [])],
    )
