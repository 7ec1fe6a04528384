"""REST of Binance over HTTP: the exchange's headers, weights and refusals."""

import itertools
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from sources.replay.exchange.binance.accounts.service import BinanceAccounts
from sources.replay.exchange.binance.accounts.signing import Sent
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer
from sources.replay.exchange.binance.spot_rest import SpotRest, in_microseconds
from sources.replay.exchange.binance.usdm_rest import UsdmRest
from sources.replay.exchange.dialect import BODY, ExchangeView, Reply
from sources.replay.exchange.limits import Refusal
from sources.replay.market.market import MarketKind

_REFUSED_WEIGHT = 1
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


class BinanceRestApi:
    """The REST interface of a market of Binance."""

    def __init__(self, kind: MarketKind, view: ExchangeView, accounts: BinanceAccounts | None) -> None:
        self._view = view
        self._accounts = accounts
        self._is_spot = kind == "spot"
        api = SpotRest(view, view.limits) if self._is_spot else UsdmRest(view, view.limits)
        self._endpoints = api.endpoints
        self._numbers = itertools.count(1)

    def reply(self, request: web.Request, now_s: float) -> Reply:
        """The answer to a request; each is charged."""
        try:
            return self._true_reply(request, now_s)
        except ApiError as error:
            self._view.charge(_REFUSED_WEIGHT, now_s)
            return _error(error.status, error.code, error.message)

    def _true_reply(self, request: web.Request, now_s: float) -> Reply:
        is_micro = self._wants_microseconds(request)
        answer = self._answer(request)
        refusal = self._view.charge(answer.weight, now_s)
        if refusal is not None:
            return self.refused(refusal, now_s)
        return Reply(HTTPStatus.OK, in_microseconds(answer.body) if is_micro else answer.body)

    def _answer(self, request: web.Request) -> Answer:
        key = request.headers.get("X-MBX-APIKEY")
        if self._accounts is not None and self._accounts.knows(request.path):
            sent = Sent(request.raw_path.partition("?")[2], request.get(BODY, b""), key)
            return self._accounts.answer(request.method, request.path, sent)
        endpoint = self._endpoints.get(request.path)
        if endpoint is None:
            raise self._not_found(request)
        if request.method not in ("GET", "HEAD"):
            raise ApiError(-1000, f"Request method '{request.method}' not supported", status=405)
        return endpoint(Parameters.of_request(request.query.items(), key))

    def _not_found(self, request: web.Request) -> ApiError:
        if self._is_spot:
            return ApiError(-1000, f"Not Found: {request.path}", status=404)
        return ApiError(-5000, f"Path {request.path}, Method {request.method} is invalid", status=404)

    def _wants_microseconds(self, request: web.Request) -> bool:
        unit = request.headers.get("X-MBX-TIME-UNIT", "MILLISECOND").upper() if self._is_spot else "MILLISECOND"
        if unit not in ("MILLISECOND", "MICROSECOND"):
            raise ApiError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
        return unit == "MICROSECOND"

    def refused(self, refusal: Refusal, now_s: float) -> Reply:
        """The answer to a request that is over the limit, or that a fault refuses."""
        waits = {"Retry-After": str(refusal.retry_after_s)}
        if refusal.text:
            return _error(refusal.status, refusal.code, refusal.text, waits)
        if refusal.status == _TOO_MANY_REQUESTS:
            limit = self._view.limits.weight_per_minute
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
        return Reply(refusal.status, f"<html><h1>{refusal.status} {HTTPStatus(refusal.status).phrase}</h1></html>")

    def headers(self, now_s: float) -> dict[str, str]:
        """The headers of every answer, with the weight used."""
        used = str(self._view.used_weight(now_s))
        weights = {"X-MBX-USED-WEIGHT": used} if self._is_spot else {}
        return _HEADERS | weights | {"X-MBX-USED-WEIGHT-1M": used, "X-MBX-UUID": f"replay-{next(self._numbers)}"}


def _error(status: int, code: int, message: str, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(status, {"code": code, "msg": message}, headers or {})
