import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sources.replay.accounts.keys import DEMO_KEY, DEMO_SECRET, demo_ring
from sources.replay.exchange.binance.accounts.signing import Sent, payload_of, signed_by, without_signing
from sources.replay.exchange.binance.parameters import ApiError
from tests.fakes.examples import examples

NOW_MS = 1_767_225_600_000


def signature_of(payload: bytes, secret: str = DEMO_SECRET) -> str:
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def refused(sent: Sent, now_ms: int = NOW_MS) -> tuple[int, int]:
    with pytest.raises(ApiError) as error:
        signed_by(sent, demo_ring(), now_ms)
    return error.value.status, error.value.code


def signed(query: str, body: bytes = b"", key: str = DEMO_KEY) -> Sent:
    return Sent(f"{query}&signature={signature_of(query.encode() + body)}", body, key)


def test_the_payload_is_query_and_body_as_they_were_sent() -> None:
    sent = Sent("a=%E4%BD%A0&b=1&signature=ff", b"c=+2&signature=00&d=3", DEMO_KEY)
    assert payload_of(sent) == b"a=%E4%BD%A0&b=1c=+2&d=3"
    assert without_signing(Sent("a=%E4%BD%A0&b=1&signature=ff", b"b=2&c=+2&d=3", None).pairs()) == {
        "a": "\u4f60",
        "b": "1",
        "c": " 2",
        "d": "3",
    }


def test_signatures_in_the_query_and_in_the_body() -> None:
    in_query = signed(f"symbol=BTCUSDT&timestamp={NOW_MS}")
    body = f"symbol=BTCUSDT&timestamp={NOW_MS}".encode()
    in_body = Sent("", body + b"&signature=" + signature_of(body).encode(), DEMO_KEY)
    both = Sent("symbol=BTCUSDT", f"timestamp={NOW_MS}".encode(), DEMO_KEY)
    mixed = both._replace(body=both.body + b"&signature=" + signature_of(payload_of(both)).encode())
    for sent in (in_query, in_body, mixed):
        assert signed_by(sent, demo_ring(), NOW_MS).account == "demo"


@pytest.mark.parametrize(
    ("query", "code"),
    [
        (f"timestamp={NOW_MS + 999}", None),
        (f"timestamp={NOW_MS + 1_000}", -1021),
        (f"timestamp={NOW_MS - 5_000}", None),
        (f"timestamp={NOW_MS - 5_001}", -1021),
        (f"timestamp={NOW_MS - 60_000}&recvWindow=60000", None),
        (f"timestamp={NOW_MS - 1}&recvWindow=0.999", -1021),
        (f"timestamp={NOW_MS - 1}&recvWindow=1.000", None),
        (f"timestamp={NOW_MS * 1_000}", None),
        (f"timestamp={NOW_MS}&recvWindow=60001", -1131),
        (f"timestamp={NOW_MS}&recvWindow=1.0001", -1100),
        (f"timestamp={NOW_MS}&recvWindow=x", -1100),
        (f"timestamp={NOW_MS}&recvWindow=", -1105),
        ("timestamp=now", -1100),
        ("a=1", -1102),
        ("timestamp=", -1105),
        (f"timestamp={NOW_MS}&a=1&a=2", -1101),
    ],
)
def test_the_time_of_a_request(query: str, code: int | None) -> None:
    if code is None:
        assert signed_by(signed(query), demo_ring(), NOW_MS).account == "demo"
    else:
        assert refused(signed(query)) == (400, code)


def test_keys_and_signatures_that_are_refused() -> None:
    query = f"timestamp={NOW_MS}"
    assert refused(signed(query)._replace(key=None)) == (401, -2014)
    assert refused(signed(query)._replace(key="short")) == (401, -2014)
    assert refused(signed(query)._replace(key="x" * 64)) == (401, -2015)
    assert refused(Sent(query, b"", DEMO_KEY)) == (400, -1102)
    assert refused(Sent(f"{query}&signature={'0' * 64}", b"", DEMO_KEY)) == (400, -1022)
    other = f"{query}&signature={signature_of(query.encode(), 'other')}"
    assert refused(Sent(other, b"", DEMO_KEY)) == (400, -1022)


@settings(max_examples=examples(25))
@given(st.text(max_size=60), st.binary(max_size=60), st.text(max_size=70) | st.just(DEMO_KEY))
def test_whatever_is_sent_is_answered_by_a_code(query: str, body: bytes, key: str) -> None:
    with pytest.raises(ApiError):
        signed_by(Sent(query, body, key), demo_ring(), NOW_MS)
