"""Accepted and rejected requests, without a server."""

import pytest

from api.http.auth import HandshakeRequest, authorize
from api.http.errors import Problem
from flows.settings import Api, Hub
from sinks.hub.rights import MARKET, MARKET_AND_ACCOUNT, NO_RIGHTS

OPEN = Api()
GUARDED = Api(host="192.0.2.7", token="secret", cors=("https://ours.example",))


def request(host: str = "127.0.0.1:8080", origin: str = "", token: str = "") -> HandshakeRequest:
    return HandshakeRequest(host, origin, [], [token] if token else [])


@pytest.mark.parametrize(
    ("shown", "settings"),
    [
        (request(), OPEN),
        (request("localhost:8080"), OPEN),
        (request("[::1]:8080"), OPEN),
        (request(origin="http://127.0.0.1:3000"), OPEN),
        (request("192.0.2.7:8080", token="secret"), GUARDED),
        (request("192.0.2.7:8080", "http://192.0.2.7:8080", "secret"), GUARDED),
        (request("192.0.2.7:8080", "https://ours.example", "secret"), GUARDED),
        (HandshakeRequest("192.0.2.7", "", ["Bearer secret"], []), GUARDED),
    ],
)
def test_these_requests_are_accepted(shown: HandshakeRequest, settings: Api) -> None:
    authorize(shown, settings)


@pytest.mark.parametrize(
    ("shown", "settings", "code"),
    [
        (request("rebound.example:8080"), OPEN, "wrong_host"),
        (request("127.0.0.1.rebound.example"), OPEN, "wrong_host"),
        (request(""), OPEN, "wrong_host"),
        (request(origin="https://elsewhere.example"), OPEN, "wrong_origin"),
        (request(origin="null"), OPEN, "wrong_origin"),
        (request("192.0.2.7", "https://elsewhere.example", "secret"), GUARDED, "wrong_origin"),
        (request("192.0.2.7"), GUARDED, "unauthorized"),
        (request("192.0.2.7", token="other"), GUARDED, "unauthorized"),
        (HandshakeRequest("192.0.2.7", "", ["Basic secret"], []), GUARDED, "unauthorized"),
    ],
)
def test_these_may_not(shown: HandshakeRequest, settings: Api, code: str) -> None:
    with pytest.raises(Problem) as refused:
        authorize(shown, settings)
    assert refused.value.code == code


BOTH = Api(host="192.0.2.7", token="secret", account_token="own")


@pytest.mark.parametrize(
    ("settings", "token", "code"),
    [
        (OPEN, "", ""),
        (Api(account_token="own"), "own", ""),
        (BOTH, "own", ""),
        (Api(account_token="own"), "", "no_right"),
        (Api(account_token="own"), "wrong", "no_right"),
        (GUARDED, "secret", "no_right"),
        (BOTH, "secret", "no_right"),
        (BOTH, "", "unauthorized"),
        (BOTH, "wrong", "unauthorized"),
    ],
)
def test_accounts_need_a_token_with_their_right(settings: Api, token: str, code: str) -> None:
    try:
        rights = authorize(request(token=token), settings, needs="account")
        assert (rights, code) == (MARKET_AND_ACCOUNT, "")
    except Problem as refused:
        assert refused.code == code
        assert code == "unauthorized" or "api.account_token" in refused.message


@pytest.mark.parametrize("hub", [Hub(token="hub"), Hub(account_token="hub"), Hub(token="one", account_token="two")])
def test_accounts_of_a_guarded_hub_are_not_open_here(hub: Hub) -> None:
    assert authorize(request(), OPEN, hub=Hub(), needs="account") == MARKET_AND_ACCOUNT
    assert authorize(request(), OPEN, hub=hub) == MARKET
    with pytest.raises(Problem) as refused:
        authorize(request(), OPEN, hub=hub, needs="account")
    assert refused.value.code == "no_right"
    assert authorize(request(token="own"), BOTH, hub=hub, needs="account") == MARKET_AND_ACCOUNT


def test_what_needs_no_right_is_answered_without_rights() -> None:
    assert authorize(request(), BOTH, needs=None) == NO_RIGHTS
    assert authorize(request(token="secret"), BOTH) == MARKET
    assert authorize(request(token="own"), BOTH) == MARKET_AND_ACCOUNT


def test_a_health_check_needs_no_host_but_no_wrong_one() -> None:
    authorize(request(""), OPEN, needs=None, needs_host=False)
    for host, needs_host in (("", True), ("rebound.example", False)):
        with pytest.raises(Problem) as refused:
            authorize(request(host), OPEN, needs=None, needs_host=needs_host)
        assert refused.value.code == "wrong_host"


def test_what_is_not_protected_needs_no_token_but_the_right_origin() -> None:
    authorize(request("192.0.2.7"), GUARDED, needs=None)
    with pytest.raises(Problem):
        authorize(request("192.0.2.7", "https://elsewhere.example"), GUARDED, needs=None)
