"""REST over HTTP: the exchange's headers, weights and refusals."""

import asyncio
import itertools
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from flows.clock import wall_ms
from sources.replay.exchange.answers import WrongBody, wrong_body
from sources.replay.exchange.exchange import ReplayExchange
from sources.replay.exchange.limits import Refusal
from sources.replay.exchange.parameters import ApiError, Parameters
from sources.replay.exchange.rest import Answer
from sources.replay.exchange.spot_rest import SpotRest, in_microseconds
from sources.replay.exchange.usdm_rest import UsdmRest

_REFUSED_WEIGHT = 1
_LOOK_S = 0.05
"""How often a stalled answer checks whether its client has disconnected."""
_NEXT_PIECE_S = 0.002
"""Between two pieces of an endless answer."""
_TOO_MANY_REQUESTS, _BANNED = 429, 418
_HEADERS = {
    "Server": "nginx",
    "Cache-Control": "no-cache, no-store, must-revalidate",
    "Pragma": "no-cache",
    "Expires": "0",
    "Strict-Transport-Security": "max-age=31536000; includeSubdomains",
    "X-Frame-Options": "SAMEORIGIN",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, HEAD, OPTIONS",
}
_PREFLIGHT = {"Access-Control-Allow-Headers": "*", "Access-Control-Max-Age": "600"}


class _Reply(NamedTuple):
    status: int
    body: Any
    headers: Mapping[str, str] = {}


class RestServer:
    """Serves the REST interface of an exchange's market over HTTP."""

    def __init__(self, exchange: ReplayExchange) -> None:
        self._exchange = exchange
        self._is_spot = exchange.market.kind == "spot"
        api = SpotRest(exchange, exchange.limits) if self._is_spot else UsdmRest(exchange, exchange.limits)
        self._endpoints = api.endpoints
        self._numbers = itertools.count(1)

    async def on_request(self, request: web.Request) -> web.StreamResponse:
        """Answers a request for any path without a handler of its own."""
        if request.method == "OPTIONS":
            return web.Response(status=HTTPStatus.OK, headers=_HEADERS | _PREFLIGHT)
        now_s = wall_ms() / 1_000
        try:
            reply = self._reply(request, now_s)
        except ApiError as error:
            self._exchange.charge(_REFUSED_WEIGHT, now_s)
            reply = _error(error.status, error.code, error.message)
        fault = self._exchange.wrong_answer(request.path) if reply.status == HTTPStatus.OK else None
        if fault is not None:
            wrong = wrong_body(fault, reply.body)
            if self._exchange.fault_makes(len(wrong.body)):
                return await self._send_wrong(request, wrong, now_s)
        return self._response(reply, now_s)

    async def _send_wrong(self, request: web.Request, wrong: WrongBody, now_s: float) -> web.StreamResponse:
        """Sends the body; one that goes on ends when the client disconnects or the server closes."""
        kind = "text/html" if wrong.is_page else "application/json"
        response = web.StreamResponse(headers={**self._headers(now_s), "Content-Type": f"{kind};charset=utf-8"})
        if wrong.goes_on is None:
            response.content_length = len(wrong.body)
        with suppress(ConnectionResetError):  # the client has gone, which is what it should do
            await response.prepare(request)
            await response.write(wrong.body)
            while wrong.goes_on is not None and request.transport is not None:
                if wrong.goes_on and self._exchange.fault_makes(len(wrong.goes_on)):
                    await response.write(wrong.goes_on)
                await asyncio.sleep(_NEXT_PIECE_S if wrong.goes_on else _LOOK_S)
            await response.write_eof()
        return response

    def _reply(self, request: web.Request, now_s: float) -> _Reply:
        ordered = self._exchange.refusal(request.path)
        if ordered is not None:
            return self._refused(ordered, now_s)
        is_micro = self._wants_microseconds(request)
        answer = self._answer(request)
        refusal = self._exchange.charge(answer.weight, now_s)
        if refusal is not None:
            return self._refused(refusal, now_s)
        return _Reply(HTTPStatus.OK, in_microseconds(answer.body) if is_micro else answer.body)

    def _answer(self, request: web.Request) -> Answer:
        endpoint = self._endpoints.get(request.path)
        if endpoint is None:
            raise self._not_found(request)
        if request.method not in ("GET", "HEAD"):
            raise ApiError(-1000, f"Request method '{request.method}' not supported", status=405)
        return endpoint(Parameters(request.query))

    def _not_found(self, request: web.Request) -> ApiError:
        if self._is_spot:
            return ApiError(-1000, f"Not Found: {request.path}", status=404)
        return ApiError(-5000, f"Path {request.path}, Method {request.method} is invalid", status=404)

    def _wants_microseconds(self, request: web.Request) -> bool:
        unit = request.headers.get("X-MBX-TIME-UNIT", "MILLISECOND").upper() if self._is_spot else "MILLISECOND"
        if unit not in ("MILLISECOND", "MICROSECOND"):
            raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        return unit == "MICROSECOND"

    def _refused(self, refusal: Refusal, now_s: float) -> _Reply:
        waits = {"Retry-After": str(refusal.retry_after_s)}
        if refusal.text:
            return _error(refusal.status, refusal.code, refusal.text, waits)
        if refusal.status == _TOO_MANY_REQUESTS:
            limit = self._exchange.limits.weight_per_minute
            text = (
                f"Too much request weight used; current limit is {limit} request weight per 1 MINUTE. "
                "Please use WebSocket Streams for live updates to avoid polling the API."
            )
            return _error(_TOO_MANY_REQUESTS, -1003, text, waits)
        if refusal.status == _BANNED:
            until_ms = int((now_s + refusal.retry_after_s) * 1_000)
            text = (
                f"Way too much request weight used; IP banned until {until_ms}. "
                "Please use WebSocket Streams for live updates to avoid bans."
            )
            return _error(_BANNED, -1003, text, waits)
        return _Reply(refusal.status, f"<html><h1>{refusal.status} {HTTPStatus(refusal.status).phrase}</h1></html>")

    def _headers(self, now_s: float) -> dict[str, str]:
        used = str(self._exchange.used_weight(now_s))
        weights = {"X-MBX-USED-WEIGHT": used} if self._is_spot else {}
        return _HEADERS | weights | {"X-MBX-USED-WEIGHT-1M": used, "X-MBX-UUID": f"replay-{next(self._numbers)}"}

    def _response(self, reply: _Reply, now_s: float) -> web.Response:
        is_page = isinstance(reply.body, str)
        return web.Response(
            status=reply.status,
            headers={**self._headers(now_s), **reply.headers},
            body=reply.body.encode() if is_page else msgspec.json.encode(reply.body),
            content_type="text/html" if is_page else "application/json",
            charset="utf-8",
        )


def _error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> _Reply:
    return _Reply(status, {"code": code, "msg": message}, headers or {})
