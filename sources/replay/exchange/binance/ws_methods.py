"""The methods of the WebSocket API, and the endpoints of REST that answer those of market data. Pure.

Source: spot's `web-socket-api` and USD-M's `websocket-api-general-info`.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec

from sources.replay.exchange.binance.parameters import ApiError, Parameters
from sources.replay.exchange.binance.rest import Answer, Endpoint
from sources.replay.market.market import MarketKind


class Connection(NamedTuple):
    """What a method may know of the connection on which it is called."""

    opened_ms: int
    """When it was opened, exchange time."""
    shows_limits: bool
    """Whether its answers have `rateLimits` by default."""


Method: TypeAlias = Callable[[Connection, Parameters], Answer]
"""Answers one method; raises `ApiError` for a request that the exchange refuses."""

_PATHS: dict[MarketKind, dict[str, str]] = {
    "spot": {
        "ping": "/api/v3/ping",
        "time": "/api/v3/time",
        "exchangeInfo": "/api/v3/exchangeInfo",
        "depth": "/api/v3/depth",
        "trades.recent": "/api/v3/trades",
        "trades.historical": "/api/v3/historicalTrades",
        "trades.aggregate": "/api/v3/aggTrades",
        "klines": "/api/v3/klines",
        "uiKlines": "/api/v3/uiKlines",
        "avgPrice": "/api/v3/avgPrice",
        "ticker.24hr": "/api/v3/ticker/24hr",
        "ticker.tradingDay": "/api/v3/ticker/tradingDay",
        "ticker": "/api/v3/ticker",
        "ticker.price": "/api/v3/ticker/price",
        "ticker.book": "/api/v3/ticker/bookTicker",
    },
    "usdm": {
        "depth": "/fapi/v1/depth",
        "ticker.price": "/fapi/v1/ticker/price",
        "ticker.book": "/fapi/v1/ticker/bookTicker",
    },
}
"""The path of REST whose answer a method has."""
_VERSIONS: dict[MarketKind, str] = {"spot": "v3/", "usdm": "v1/"}
"""What may stand before the name of a method."""
_UNSUPPORTED = -1020


def market_methods(kind: MarketKind, endpoints: Mapping[str, Endpoint]) -> dict[str, Method]:
    """The methods of market data; each is answered by the endpoint that REST has for it."""
    return {name: _of_endpoint(endpoints[path]) for name, path in _PATHS[kind].items()}


def _of_endpoint(endpoint: Endpoint) -> Method:
    return lambda _connection, parameters: endpoint(parameters)


def find_method(kind: MarketKind, methods: Mapping[str, Method], name: str) -> Method:
    """The method of a name, with or without its version; -1020 when there is none."""
    method = methods.get(name) or methods.get(name.removeprefix(_VERSIONS[kind]))
    if method is None:
        raise ApiError(_UNSUPPORTED, "This operation is not supported.")
    return method


def parameters_of(params: Mapping[str, Any], beside: Mapping[str, Any] | None = None) -> Parameters:
    """The parameters of a request in the form of REST: numbers, switches and lists as texts; null is not sent.
    `beside`: those that are not of its method.
    """
    return Parameters(_texts(params), beside=_texts(beside or {}))


def _texts(params: Mapping[str, Any]) -> dict[str, str]:
    return {name: _text(value) for name, value in params.items() if value is not None}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
