"""Accepted and rejected requests, without a server."""

import pytest

from api.http.auth import HandshakeRequest, authorize
from api.http.errors import Problem
from flows.settings import Api

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
    authorize(shown, settings, protected=True)


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
        authorize(shown, settings, protected=True)
    assert refused.value.code == code


def test_a_health_check_needs_no_host_but_no_wrong_one() -> None:
    authorize(request(""), OPEN, protected=False, needs_host=False)
    for host, needs_host in (("", True), ("rebound.example", False)):
        with pytest.raises(Problem) as refused:
            authorize(request(host), OPEN, protected=False, needs_host=needs_host)
        assert refused.value.code == "wrong_host"


def test_what_is_not_protected_needs_no_token_but_the_right_origin() -> None:
    authorize(request("192.0.2.7"), GUARDED, protected=False)
    with pytest.raises(Problem):
        authorize(request("192.0.2.7", "https://elsewhere.example"), GUARDED, protected=False)
