"""REST of Binance over HTTP: the exchange's headers, weights and refusals."""

import itertools
from collections.abc import Mapping
from http import HTTPStatus

from aiohttp import web

from sources.replay.exchange.binance.accounts.service import BinanceAccounts
from sources.replay.exchange.binance.accounts.signing import Sent
from sources.replay.exchange.binance.charging import OverLimitError, charged, error_of
from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer, Endpoint
from sources.replay.exchange.binance.spot_rest import SpotRest, in_microseconds
from sources.replay.exchange.binance.usdm_rest import UsdmRest
from sources.replay.exchange.dialect import BODY, ExchangeView, Reply
from sources.replay.exchange.limits import Refusal
from sources.replay.market.market import MarketKind

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


def market_endpoints(kind: MarketKind, view: ExchangeView) -> Mapping[str, Endpoint]:
    """The endpoints of market data by their path."""
    return (SpotRest if kind == "spot" else UsdmRest)(view, view.limits).endpoints


class BinanceRestApi:
    """The REST interface of a market of Binance."""

    def __init__(self, kind: MarketKind, view: ExchangeView, accounts: BinanceAccounts) -> None:
        self._view = view
        self._accounts = accounts
        self._is_spot = kind == "spot"
        self._endpoints = market_endpoints(kind, view)
        self._numbers = itertools.count(1)

    def reply(self, request: web.Request, now_s: float) -> Reply:
        """The answer to a request; each is charged."""
        try:
            answer = charged(self._view, now_s, lambda: self._answer(request))
        except ApiError as error:
            return _error(error)
        except OverLimitError as error:
            return self.refused(error.refusal, now_s)
        return Reply(HTTPStatus.OK, answer.body)

    def _answer(self, request: web.Request) -> Answer:
        is_micro = self._wants_microseconds(request)
        answer = self._true_answer(request, request.headers.get("X-MBX-APIKEY"))
        return answer._replace(body=in_microseconds(answer.body)) if is_micro else answer

    def _true_answer(self, request: web.Request, key: str | None) -> Answer:
        if self._accounts.knows(request.path):
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
        error = error_of(refusal, now_s, weight_per_minute=self._view.limits.weight_per_minute)
        if error is not None:
            return _error(error, {"Retry-After": str(refusal.retry_after_s)})
        return Reply(refusal.status, f"<html><h1>{refusal.status} {HTTPStatus(refusal.status).phrase}</h1></html>")

    def headers(self, now_s: float) -> dict[str, str]:
        """The headers of every answer, with the weight used."""
        used = str(self._view.used_weight(now_s))
        weights = {"X-MBX-USED-WEIGHT": used} if self._is_spot else {}
        return _HEADERS | weights | {"X-MBX-USED-WEIGHT-1M": used, "X-MBX-UUID": f"replay-{next(self._numbers)}"}


def _error(error: ApiError, headers: Mapping[str, str] | None = None) -> Reply:
    return Reply(error.status, {"code": error.code, "msg": error.message}, headers or {})
