"""Who may ask, judged without a server."""

import pytest

from api.http.auth import HandshakeRequest, admit
from api.http.errors import Problem
from flows.settings import Api

OPEN = Api()
GUARDED = Api(host="192.0.2.7", token="secret", cors=("https://ours.example",))


def knock(host: str = "127.0.0.1:8080", origin: str = "", token: str = "") -> HandshakeRequest:
    return HandshakeRequest(host, origin, [], [token] if token else [])


@pytest.mark.parametrize(
    ("shown", "settings"),
    [
        (knock(), OPEN),
        (knock("localhost:8080"), OPEN),
        (knock("[::1]:8080"), OPEN),
        (knock(origin="http://127.0.0.1:3000"), OPEN),
        (knock("192.0.2.7:8080", token="secret"), GUARDED),
        (knock("192.0.2.7:8080", "http://192.0.2.7:8080", "secret"), GUARDED),
        (knock("192.0.2.7:8080", "https://ours.example", "secret"), GUARDED),
        (HandshakeRequest("192.0.2.7", "", ["Bearer secret"], []), GUARDED),
    ],
)
def test_these_may_ask(shown: HandshakeRequest, settings: Api) -> None:
    admit(shown, settings, protected=True)


@pytest.mark.parametrize(
    ("shown", "settings", "code"),
    [
        (knock("rebound.example:8080"), OPEN, "wrong_host"),
        (knock("127.0.0.1.rebound.example"), OPEN, "wrong_host"),
        (knock(""), OPEN, "wrong_host"),
        (knock(origin="https://elsewhere.example"), OPEN, "wrong_origin"),
        (knock(origin="null"), OPEN, "wrong_origin"),
        (knock("192.0.2.7", "https://elsewhere.example", "secret"), GUARDED, "wrong_origin"),
        (knock("192.0.2.7"), GUARDED, "unauthorized"),
        (knock("192.0.2.7", token="other"), GUARDED, "unauthorized"),
        (HandshakeRequest("192.0.2.7", "", ["Basic secret"], []), GUARDED, "unauthorized"),
    ],
)
def test_these_may_not(shown: HandshakeRequest, settings: Api, code: str) -> None:
    with pytest.raises(Problem) as refused:
        admit(shown, settings, protected=True)
    assert refused.value.code == code


def test_what_is_not_protected_needs_no_token_but_the_right_origin() -> None:
    admit(knock("192.0.2.7"), GUARDED, protected=False)
    with pytest.raises(Problem):
        admit(knock("192.0.2.7", "https://elsewhere.example"), GUARDED, protected=False)
