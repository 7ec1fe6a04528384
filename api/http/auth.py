"""Who may ask the API. Pure: it judges what the edge shows it.

| what is wrong | answer |
|---|---|
| without a token: a `Host` that is not this machine, as when a web page has rebound its own name to it | 403 |
| a web page of another origin | 403 |
| no token, or not the right one, where one is set | 401 |

Pages of this machine, of the API's own host (where there is a token), and of `api.cors` may ask; programs send no
`Origin`.
"""

from typing import NamedTuple

from api.http.errors import Problem
from flows.settings import Api
from sinks.hub.auth import bearers, is_local_page, knows_token


class HandshakeRequest(NamedTuple):
    """What a caller shows."""

    host: str
    """Value of the `Host` header."""
    origin: str
    """Value of the `Origin` header; "" where there is none."""
    authorizations: list[str]
    """Values of the `Authorization` header."""
    tokens: list[str]
    """Values of `?token=`."""


def may_call(handshake: HandshakeRequest, settings: Api) -> bool:
    """Whether the page of this origin may ask, and read the answer."""
    own = bool(settings.token) and handshake.origin.partition("://")[2] == handshake.host
    return own or handshake.origin in settings.cors or is_local_page(handshake.origin)


def authorize(handshake: HandshakeRequest, settings: Api, *, protected: bool) -> None:
    """Lets a caller in, or raises `Problem`. What is not protected needs no token."""
    if not settings.token and not is_local_page(f"http://{handshake.host}"):
        raise Problem("wrong_host", "without api.token only this machine is served: ask for it as 127.0.0.1")
    if handshake.origin and not may_call(handshake, settings):
        raise Problem("wrong_origin", "this origin may not ask; the setting is api.cors")
    if not protected or not settings.token:
        return
    if not knows_token(settings.token, [*bearers(handshake.authorizations), *handshake.tokens]):
        raise Problem("unauthorized", "a token is needed: Authorization: Bearer, or ?token=")
