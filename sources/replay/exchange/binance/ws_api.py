"""A client of Binance's WebSocket API: requests and answers on one connection, with the weights of REST.

Source: spot's `web-socket-api`, USD-M's `websocket-api-general-info`. Not known, and so chosen: a request without an
`id` is answered with null, and a method that does not exist with -1020.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final, NamedTuple

import msgspec

from sources.replay.exchange.binance.accounts.session import AccountSession, EventEncoding, enveloped
from sources.replay.exchange.binance.charging import OverLimitError, charged, error_of
from sources.replay.exchange.binance.parameters import ApiError, invalid
from sources.replay.exchange.binance.rest import Answer, rate_limit
from sources.replay.exchange.binance.routes import ApiHandshake
from sources.replay.exchange.binance.spot_rest import in_microseconds as body_in_microseconds
from sources.replay.exchange.binance.ws_methods import Connection, Method, find_method, parameters_of
from sources.replay.exchange.dialect import ExchangeView, HandshakeError
from sources.replay.exchange.limits import Refusal
from sources.replay.market.market import MarketKind
from sources.replay.protocol.conversation import Refused, decode_object
from sources.replay.protocol.subscriptions import is_request_id

API_PATHS: Final[Mapping[MarketKind, str]] = {"spot": "/ws-api/v3", "usdm": "/ws-fapi/v1"}
"""The address of the WebSocket API."""
_OPENING_WEIGHTS: dict[MarketKind, int] = {"spot": 2, "usdm": 5}
_SHOWS_LIMITS = "returnRateLimits"
_INVALID_JSON = -1135
_BAD_ID = "Invalid 'id' in JSON request; expected an integer, a string matching '^[a-zA-Z0-9-_]{1,36}$', or null."


class Request(NamedTuple):
    """One request of a client."""

    method: str
    params: dict[str, Any]
    shows_limits: bool
    beside: dict[str, Any]
    """Parameters that are not of the method."""
    """Whether the answer has `rateLimits`."""


class ApiConversation:
    """A client of the WebSocket API. It may call `methods` and those of its `session`."""

    counts_requests = False
    """Their weight limits them; pings and pongs alone are counted."""

    def __init__(
        self,
        kind: MarketKind,
        handshake: ApiHandshake,
        *,
        methods: Mapping[str, Method],
        session: AccountSession,
        view: ExchangeView,
        wall_s: Callable[[], float],
    ) -> None:
        """Charges the opening of the connection; `HandshakeError` when that is over the limit. `wall_s` is the time by
        which weight is counted, s since the epoch.
        """
        self._kind: MarketKind = kind
        self._microseconds = handshake.microseconds
        self._methods = {**methods, **session.methods()}
        self._session = session
        self._view = view
        self._wall_s = wall_s
        self._connection = Connection(view.now_ms, handshake.shows_limits)
        self._open()

    def _open(self) -> None:
        now_s = self._wall_s()
        refusal = self._view.charge(_OPENING_WEIGHTS[self._kind], now_s)
        if refusal is not None:
            error = self._error_of(refusal, now_s)
            raise HandshakeError(error.code, error.message, status=error.status)

    @property
    def encoding(self) -> EventEncoding:
        """The encoding of events."""
        return EventEncoding(self._microseconds, self._session.subscriptions)

    @property
    def delivered(self) -> frozenset[str]:
        """The user streams that it has."""
        return frozenset(stream for stream, _ in self._session.subscriptions)

    def greet(self) -> tuple[bytes, ...]:
        """Nothing: it waits for the client."""
        return ()

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""
        return {"route": API_PATHS[self._kind].strip("/"), "streams": tuple(self.delivered)}

    # --- requests

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """The answer to a request: one, and the last events of user streams that end by it."""
        now_s = self._wall_s()
        request_id, shows_limits = None, self._connection.shows_limits
        try:
            sent = _decode(text)
            request_id = sent.get("id")
            request = _request_of(sent, shows_limits)
            shows_limits = request.shows_limits
            reply = self._answered(request, now_s)
        except ApiError as error:
            reply = _failed(error)
        except OverLimitError as error:
            reply = self._refused(error.refusal, now_s)
        limits = {"rateLimits": [self._used(now_s)]} if shows_limits else {}
        ended = [
            enveloped(event, number, microseconds=self._microseconds) for number, event in self._session.take_ended()
        ]
        return (msgspec.json.encode({"id": request_id, **reply, **limits}), *ended)

    def _answered(self, request: Request, now_s: float) -> dict[str, Any]:
        ordered = self._view.refusal(f"{API_PATHS[self._kind]}/{request.method}")
        if ordered is not None:
            raise OverLimitError(ordered)
        answer = charged(self._view, now_s, lambda: self._call(request))
        body = body_in_microseconds(answer.body) if self._microseconds else answer.body
        return {"status": HTTPStatus.OK, "result": body}

    def _call(self, request: Request) -> Answer:
        method = find_method(self._kind, self._methods, request.method)
        return method(self._connection, parameters_of(request.params, request.beside))

    def _refused(self, refusal: Refusal, now_s: float) -> dict[str, Any]:
        now_ms = int(now_s * 1_000)
        times = {"serverTime": now_ms, "retryAfter": now_ms + refusal.retry_after_s * 1_000}
        return _failed(self._error_of(refusal, now_s), times if refusal.retry_after_s else None)

    def _error_of(self, refusal: Refusal, now_s: float) -> ApiError:
        error = error_of(refusal, now_s, weight_per_minute=self._view.limits.weight_per_minute)
        return error or ApiError(-1000, HTTPStatus(refusal.status).phrase, status=refusal.status)

    def _used(self, now_s: float) -> dict[str, Any]:
        row = rate_limit("REQUEST_WEIGHT", "MINUTE", 1, self._view.limits.weight_per_minute)
        return {**row, "count": self._view.used_weight(now_s)}

    # --- as faults see it

    def requested(self, text: str | bytes) -> list[str]:  # noqa: ARG002 - none subscribes
        """The streams that a request would subscribe: none."""
        return []

    def request_id(self, text: str | bytes) -> Any:
        """The id of a request as it was sent; None without one."""
        return decode_object(text).get("id")

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:  # noqa: ARG002 - the same
        """Answers a request: none subscribes a stream that could be refused."""
        return self.answer(text)


def _decode(text: str | bytes) -> dict[str, Any]:
    """The object of a request, with an `id` that may be repeated."""
    try:
        sent = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        sent = None
    if not isinstance(sent, dict):
        raise ApiError(_INVALID_JSON, "Invalid JSON Request")
    if not is_request_id(sent.get("id")):
        raise ApiError(_INVALID_JSON, _BAD_ID)
    return sent


def _request_of(sent: dict[str, Any], shows_limits: bool) -> Request:
    method, params = sent.get("method"), sent.get("params")
    if not isinstance(method, str):
        raise ApiError(_INVALID_JSON, "Invalid 'method' in JSON request; expected a string.")
    if not isinstance(params, dict | None):
        raise ApiError(_INVALID_JSON, "Invalid 'params' in JSON request; expected an object.")
    rest = dict(params or {})
    shows = rest.pop(_SHOWS_LIMITS, shows_limits)
    if not isinstance(shows, bool):
        raise invalid(_SHOWS_LIMITS)
    return Request(method, rest, shows, {_SHOWS_LIMITS: shows} if _SHOWS_LIMITS in (params or {}) else {})


def _failed(error: ApiError, times: Mapping[str, int] | None = None) -> dict[str, Any]:
    data = {"data": times} if times else {}
    return {"status": error.status, "error": {"code": error.code, "msg": error.message, **data}}
