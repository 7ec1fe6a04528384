"""Which path of the exchange carries which stream, and how the address of a connection is parsed.

Spot has `/ws` and `/stream`. USD-M has them below `/public` (books), `/market` (everything else) and `/private` (user
data, by the name of a listen key). A stream on the wrong route is acknowledged and never sent; without a route only
`/public` is delivered, and user data.
Source: USD-M's `Important-WebSocket-Change-Notice` (2026-03-06).
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple, TypeAlias

from sources.replay.accounts.listen_keys import is_listen_key, stream_of
from sources.replay.exchange.binance.accounts.spot_events import is_user_stream
from sources.replay.exchange.dialect import HandshakeError
from sources.replay.market.market import MarketKind

Route: TypeAlias = Literal["", "public", "market", "private"]

ROUTES: dict[MarketKind, tuple[Route, ...]] = {"spot": ("",), "usdm": ("", "public", "market", "private")}
_BOOK_CHANNELS = ("depth", "bookTicker", "rpiDepth")


class Handshake(NamedTuple):
    """What the address of a connection requests."""

    route: Route
    combined: bool
    streams: tuple[str, ...]
    microseconds: bool


class ApiHandshake(NamedTuple):
    """What the address of a connection to the WebSocket API requests."""

    shows_limits: bool
    """Whether answers have `rateLimits`."""
    microseconds: bool


def carries(kind: MarketKind, route: Route, stream: str) -> bool:
    """Whether a connection on `route` delivers `stream`. `@trade` of USD-M is served where books are, as observed."""
    if kind == "spot":
        return not is_user_stream(stream)
    name, at, channel = stream.partition("@")
    if is_listen_key(name):
        return route in ("", "private")
    is_book = channel.startswith(_BOOK_CHANNELS) or channel == "trade" or (not at and name == "!bookTicker")
    if route == "market":
        return not is_book
    return is_book and route != "private"


def parse_handshake(
    kind: MarketKind, *, route: Route, endpoint: str, names: str, query: Mapping[str, str], most: int
) -> Handshake:
    """Parses an address `[/route]/endpoint[/names]?query`, with `endpoint` `ws` or `stream`.

    A listen key of USD-M is named as a stream or in the parameter `listenKey`; with that, `events` are the kinds that
    are sent, all without it.
    Stream names are joined by `/`, in the path of `ws` and in the parameter `streams` of `stream`. `HandshakeError`
    when there are more than `most`, or spot's `timeUnit` is invalid; USD-M ignores that parameter.
    """
    text = names if endpoint == "ws" else query.get("streams", "")
    # A plus sign in a query arrives as a blank, and no stream name has one: btcusdt@kline_1d@+08:00.
    names_of = [*text.replace(" ", "+").split("/"), *(_user_streams(query) if kind == "usdm" else ())]
    streams = tuple(dict.fromkeys(filter(None, names_of)))
    if len(streams) > most:
        raise HandshakeError(-1130, f"At most {most} streams can be opened on one connection.")
    return Handshake(route, endpoint == "stream", streams, _wants_microseconds(kind, query))


def _user_streams(query: Mapping[str, str]) -> list[str]:
    listen_key = query.get("listenKey", "")
    events = list(filter(None, query.get("events", "").split("/")))
    return [stream_of(listen_key, event) for event in events] if listen_key and events else [listen_key]


def parse_api_handshake(kind: MarketKind, query: Mapping[str, str]) -> ApiHandshake:
    """Parses the query of a connection to the WebSocket API; `HandshakeError` for a value that is refused."""
    shows = query.get("returnRateLimits", "true")
    if shows not in ("true", "false"):
        raise HandshakeError(-1130, "Data sent for parameter 'returnRateLimits' is not valid.")
    return ApiHandshake(shows == "true", _wants_microseconds(kind, query))


def _wants_microseconds(kind: MarketKind, query: Mapping[str, str]) -> bool:
    return kind == "spot" and _is_micro(query.get("timeUnit"))


def _is_micro(unit: str | None) -> bool:
    if unit is None or unit in ("MILLISECOND", "millisecond"):
        return False
    if unit in ("MICROSECOND", "microsecond"):
        return True
    raise HandshakeError(-1194, "Invalid value for time unit; expected either MICROSECOND or MILLISECOND.")
