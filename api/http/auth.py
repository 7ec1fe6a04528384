"""Which requests the API accepts, by host, origin and token. Pure.

| rejected | status |
|---|---|
| no token is set: a `Host` that is not this machine, as in DNS rebinding by a web page | 403 |
| no token is set: no `Host`, but for the health checks | 403 |
| a web page of another origin | 403 |
| a token is set: none sent, or a wrong one | 401 |
| a route of accounts, and no token with this right (`sinks/hub/rights.py`) | 403 |

Accepted origins: pages of this machine, of the API's own host (where a token is set), and of `api.cors`. Programs send
no `Origin`.
"""

from typing import Final, NamedTuple

from aiohttp import web

from api.http.errors import Problem
from flows.settings import Api
from sinks.hub.auth import bearers, is_local_page
from sinks.hub.rights import Right, Rights, TokenSettings, rights_of

RIGHTS: Final[web.RequestKey[Rights]] = web.RequestKey("rights", frozenset)
"""The rights of a request, by which a handler may answer less."""


class HandshakeRequest(NamedTuple):
    """The headers and parameters of a request that decide access."""

    host: str
    """Value of the `Host` header."""
    origin: str
    """Value of the `Origin` header; "" where there is none."""
    authorizations: list[str]
    """Values of the `Authorization` header."""
    tokens: list[str]
    """Values of `?token=` and `?access_token=`."""


def may_call(handshake: HandshakeRequest, settings: Api) -> bool:
    """Whether a page of this origin may send requests and read the responses."""
    own = bool(settings.token) and handshake.origin.partition("://")[2] == handshake.host
    return own or handshake.origin in settings.cors or is_local_page(handshake.origin)


def authorize(
    handshake: HandshakeRequest,
    settings: Api,
    *,
    hub: TokenSettings | None = None,
    needs: Right | None = "market",
    needs_host: bool = True,
) -> Rights:
    """The rights of a request; `Problem` for one that is rejected. `hub`: the tokens of the hub that is followed. Paths
    that need no right are open to callers without a token, and only those that `needs_host` want a `Host` header, which
    a program of HTTP/1.0 does not send and every browser does.
    """
    is_nameless = not handshake.host and not needs_host
    if not settings.token and not is_nameless and not is_local_page(f"http://{handshake.host}"):
        raise Problem("wrong_host", "without api.token only this machine is served: use the host 127.0.0.1")
    if handshake.origin and not may_call(handshake, settings):
        raise Problem("wrong_origin", "this origin is not allowed; the setting is api.cors")
    rights = rights_of(settings, [*bearers(handshake.authorizations), *handshake.tokens], followed=hub)
    if needs and not rights:
        raise Problem("unauthorized", "a token is needed: Authorization: Bearer, or ?token=")
    if needs and needs not in rights:
        raise Problem("no_right", f"a token with the right {needs} is needed; the setting is api.account_token")
    return rights
