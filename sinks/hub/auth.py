"""Access to the hub, and the rate of requests. Pure.

| cause | what the peer gets |
|---|---|
| the path is not `/ws` | HTTP 404 |
| no token or a wrong one, where one is set | HTTP 401 |
| a web page of another origin; a channel in the address that needs another right, see `rights.py` | HTTP 403 |
| an invalid channel, timeframe, number or name of an option in the address | HTTP 400 with the reason |
| too many clients, by `hub.max_clients` or the free descriptors | HTTP 503 |
| no descriptor free for an HTTP response | the connection is cut |
| no request after 5 s, or too many connections without one | the oldest of them is cut |
| a message above 4 KiB | close 1009 |
| more than 20 messages a second, or 100 frames: pings, pongs, parts of messages | close 1008 |
| too slow, see `client.py` | close 1013 |
| the hub ends | close 1001 |
"""

import ipaddress
from collections.abc import Collection, Mapping
from functools import lru_cache
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from sinks.hub.hub_settings import HubSettings
from sinks.hub.rights import Rights, rights_of
from sinks.hub.subscription import (
    DEFAULT_CHANNELS,
    RequestError,
    RightError,
    Subscription,
    build_rule,
    check_venues,
    default_of,
    granted,
)

PATH: Final = "/ws"
MESSAGE_BYTES: Final = 4_096
"""Longest message from a client."""
REQUESTS_PER_S: Final = 20
"""Most messages from a client, on average and in a burst."""
FRAMES_PER_S: Final = 100
"""The same for its frames. Pings and empty parts of a message have no size that would bound them."""

SEQ_DIGITS: Final = 19
_RULE: Final = ("channels", "optional", "symbols", "timeframes", "venues")
OPTIONS: Final = (*_RULE, "resume_after", "token")
"""Names of an address's query."""


class HandshakeRequest(NamedTuple):
    """What a peer sends in its handshake."""

    target: str
    """Path and query."""
    origins: list[str]
    """Values of the `Origin` header; programs send none."""
    authorizations: list[str]
    """Values of the `Authorization` header."""


class ClientOptions(NamedTuple):
    """Options in the address: `?channels=&optional=&symbols=&timeframes=&venues=` for the subscription,
    `?resume_after=` for a replay.
    """

    subscription: Subscription
    resume_after: int | None


class HandshakeRejected(Exception):  # noqa: N818 - it is a response
    """A peer is refused; the text is sent to it."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def authorize(
    handshake: HandshakeRequest, settings: HubSettings, *, venues: Collection[str], clients: int, has_room: bool = True
) -> ClientOptions:
    """The options of a peer that may connect; `HandshakeRejected` for others. Unauthenticated clients get only the
    status code and the setting's name. `venues` are those of the flow. Without `has_room` the free descriptors are
    reserved for other uses.
    """
    address = urlsplit(handshake.target)
    query = parse_qs(address.query)
    if address.path != PATH:
        raise HandshakeRejected(HTTPStatus.NOT_FOUND, f"nothing here; the broadcast is at {PATH}")
    if not _may_call(handshake.origins, settings.origins):
        raise HandshakeRejected(HTTPStatus.FORBIDDEN, "this origin may not connect; the setting is hub.origins")
    rights = rights_of(settings, [*bearers(handshake.authorizations), *query.get("token", [])])
    if not rights:
        raise HandshakeRejected(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer, or ?token=")
    if clients >= settings.max_clients:
        raise HandshakeRejected(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients; the setting is hub.max_clients")
    if not has_room:
        raise HandshakeRejected(
            HTTPStatus.SERVICE_UNAVAILABLE, "too many clients for the descriptors of the process; see ulimit -n"
        )
    try:
        return options_of(query, venues, rights)
    except RightError as error:
        raise HandshakeRejected(HTTPStatus.FORBIDDEN, str(error)) from error
    except RequestError as error:
        raise HandshakeRejected(HTTPStatus.BAD_REQUEST, str(error)) from error


def options_of(query: Mapping[str, list[str]], venues: Collection[str], rights: Rights) -> ClientOptions:
    """The options in a query; `RequestError` for those that cannot be, `RightError` for what the rights do not allow.
    `venues` are those that send. One without a value is as one that is left out.
    """
    given = {name: kept for name, values in query.items() if (kept := [value for value in values if value])}
    if unknown := next((name for name in given if name not in OPTIONS), None):
        raise RequestError(f"unknown option {unknown[:40]!r} in the address; known are {', '.join(OPTIONS)}")
    return ClientOptions(_subscription(given, venues, rights), _resume_after(given))


def _may_call(origins: list[str], allowed: tuple[str, ...]) -> bool:
    return all(origin in allowed or is_local_page(origin) for origin in origins)


@lru_cache(maxsize=64)  # each request has a host, nearly always the same
def is_local_page(origin: str) -> bool:
    """Whether a web origin is a page of this machine."""
    try:
        host = urlsplit(origin).hostname or ""
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def bearers(authorizations: list[str]) -> list[str]:
    """The tokens in `Authorization` headers."""
    pairs = (value.partition(" ") for value in authorizations)
    return [token.strip() for scheme, _, token in pairs if scheme.lower() == "bearer"]


def _subscription(query: Mapping[str, list[str]], venues: Collection[str], rights: Rights) -> Subscription:
    named = {name: _names(query[name]) for name in _RULE if name in query}
    if not named:
        return default_of(rights)
    rule = build_rule(
        wanted=True,
        channels=granted(rights, named.get("channels", DEFAULT_CHANNELS), named.get("optional", ())),
        symbols=named.get("symbols"),
        timeframes=named.get("timeframes"),
        venues=named.get("venues"),
    )
    check_venues(rule, venues)
    return Subscription((rule,), rights)


def _names(values: list[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _resume_after(query: Mapping[str, list[str]]) -> int | None:
    if "resume_after" not in query:
        return None
    text = query["resume_after"][-1]
    if not (text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS):
        raise RequestError(f"resume_after={text} is no number: write the seq of the last message that came")
    return int(text)


class TokenBucket:
    """Rate limit of a client's requests: `per_s` at once, and as many more each second."""

    def __init__(self, *, now_ms: int, per_s: int = REQUESTS_PER_S) -> None:
        self._per_s = per_s
        self._left = float(per_s)
        self._at_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """Takes one token; False when there is none."""
        self._left = min(self._per_s, self._left + (now_ms - self._at_ms) * self._per_s / 1_000)
        self._at_ms = now_ms
        if self._left < 1:
            return False
        self._left -= 1
        return True
