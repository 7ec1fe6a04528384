"""Who may connect to the hub, and how much a client may ask. Pure: it judges what the edge shows it.

| what is wrong | what the peer gets |
|---|---|
| the path is not `/ws` | HTTP 404 |
| no token, or not the right one, where one is set | HTTP 401 |
| a web page of another origin | HTTP 403 |
| a channel, timeframe or number in the address that cannot be | HTTP 400, the text says why |
| as many clients as there may be, by `hub.max_clients` or by the descriptors that are left | HTTP 503 |
| no descriptor left even for an answer | the connection is cut |
| no request after 5 s, or too many connections that have not sent one | the oldest of them is cut |
| a message above 4 KiB | close 1009 |
| more than 20 messages a second | close 1008 |
| too slow, see `policy.py` | close 1013 |
| the hub ends | close 1001 |
"""

import hmac
import ipaddress
from http import HTTPStatus
from typing import Final, NamedTuple
from urllib.parse import parse_qs, urlsplit

from flows.settings import Hub as HubSettings
from sinks.hub.subscription import DEFAULT, DEFAULT_CHANNELS, RequestError, Subscription, build_rule

PATH: Final = "/ws"
MESSAGE_BYTES: Final = 4_096
"""Longest message of a client."""
REQUESTS_PER_S: Final = 20
"""Most messages of a client, on average and at once."""

SEQ_DIGITS: Final = 19


class HandshakeRequest(NamedTuple):
    """What a peer shows when it wants to come in."""

    target: str
    """Path and query."""
    origins: list[str]
    """Values of the `Origin` header; programs send none."""
    authorizations: list[str]
    """Values of the `Authorization` header."""


class ClientOptions(NamedTuple):
    """How a client begins: `?channels=&symbols=&timeframes=` say what it gets, `?resume_after=` where it was."""

    subscription: Subscription
    resume_after: int | None


class Refused(Exception):  # noqa: N818 - it is an answer
    """A peer may not come in; the text is for it."""

    def __init__(self, status: HTTPStatus, reason: str) -> None:
        super().__init__(reason)
        self.status = status


def admit(knock: HandshakeRequest, settings: HubSettings, *, clients: int, has_room: bool = True) -> ClientOptions:
    """Lets a peer in, or raises `Refused`. Strangers learn nothing but that they are refused. Without `has_room` the
    descriptors that are left are for others than clients.
    """
    address = urlsplit(knock.target)
    query = parse_qs(address.query)
    if address.path != PATH:
        raise Refused(HTTPStatus.NOT_FOUND, f"nothing here; the broadcast is at {PATH}")
    if not _may_call(knock.origins, settings.origins):
        raise Refused(HTTPStatus.FORBIDDEN, "this origin may not connect; the setting is hub.origins")
    if settings.token and not knows_token(settings.token, [*bearers(knock.authorizations), *query.get("token", [])]):
        raise Refused(HTTPStatus.UNAUTHORIZED, "a token is needed: Authorization: Bearer, or ?token=")
    if clients >= settings.max_clients:
        raise Refused(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients; the setting is hub.max_clients")
    if not has_room:
        raise Refused(
            HTTPStatus.SERVICE_UNAVAILABLE, "too many clients for the descriptors of the process; see ulimit -n"
        )
    try:
        return ClientOptions(_subscription(query), _resume_after(query))
    except RequestError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, str(error)) from error


def _may_call(origins: list[str], allowed: tuple[str, ...]) -> bool:
    return all(origin in allowed or is_local_page(origin) for origin in origins)


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


def knows_token(token: str, shown: list[str]) -> bool:
    """Whether one of the shown is the token. It compares in constant time, so that the time says nothing about it."""
    return any(hmac.compare_digest(token.encode(), one.encode(errors="surrogateescape")) for one in shown)


def _subscription(query: dict[str, list[str]]) -> Subscription:
    named = {name: _names(query[name]) for name in ("channels", "symbols", "timeframes") if name in query}
    if not named:
        return DEFAULT
    rule = build_rule(
        wanted=True,
        channels=named.get("channels", DEFAULT_CHANNELS),
        symbols=named.get("symbols"),
        timeframes=named.get("timeframes"),
    )
    return Subscription((rule,))


def _names(values: list[str]) -> list[str]:
    return [name.strip() for value in values for name in value.split(",") if name.strip()]


def _resume_after(query: dict[str, list[str]]) -> int | None:
    if "resume_after" not in query:
        return None
    text = query["resume_after"][-1]
    if not (text.isascii() and text.isdigit() and len(text) <= SEQ_DIGITS):
        raise RequestError(f"resume_after={text} is no number: write the seq of the last message that came")
    return int(text)


class TokenBucket:
    """How many requests a client may still make: `per_s` at once, and as many more with every second."""

    def __init__(self, *, now_ms: int, per_s: int = REQUESTS_PER_S) -> None:
        self._per_s = per_s
        self._left = float(per_s)
        self._at_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """Uses one up, if there is one."""
        self._left = min(self._per_s, self._left + (now_ms - self._at_ms) * self._per_s / 1_000)
        self._at_ms = now_ms
        if self._left < 1:
            return False
        self._left -= 1
        return True
