import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.protocol.subscriptions import Subscriptions


def subscribed(*streams: str, most: int = 1_024) -> Subscriptions:
    return Subscriptions(combined=False, streams=streams, most=most)


def reply_to(subscriptions: Subscriptions, request: Any) -> bytes:
    return subscriptions.on_request(request if isinstance(request, str) else json.dumps(request))


def test_the_requests_of_the_documentation() -> None:
    client = subscribed()
    names = ["btcusdt@aggTrade", "btcusdt@depth"]
    assert reply_to(client, {"method": "SUBSCRIBE", "params": names, "id": 1}) == b'{"result":null,"id":1}'
    assert client.streams == ("btcusdt@aggTrade", "btcusdt@depth")
    assert reply_to(client, {"method": "UNSUBSCRIBE", "params": ["btcusdt@depth"], "id": 312}) == (
        b'{"result":null,"id":312}'
    )
    assert reply_to(client, {"method": "LIST_SUBSCRIPTIONS", "id": 3}) == b'{"result":["btcusdt@aggTrade"],"id":3}'
    assert reply_to(client, {"method": "GET_PROPERTY", "params": ["combined"], "id": 2}) == b'{"result":false,"id":2}'
    assert reply_to(client, {"method": "SET_PROPERTY", "params": ["combined", True], "id": 5}) == (
        b'{"result":null,"id":5}'
    )
    assert client.combined


def test_a_stream_that_does_not_exist_is_acknowledged() -> None:
    client = subscribed()
    assert reply_to(client, {"method": "SUBSCRIBE", "params": ["nosuch@thing"], "id": 1}) == b'{"result":null,"id":1}'


@pytest.mark.parametrize("id_", [0, -(2**63), 2**63 - 1, None, "a", "5f3c1e0a-8f57-4b6a-9c5e-0d3f5f1f2a11", "x" * 36])
def test_ids_come_back_as_they_were_sent(id_: int | str | None) -> None:
    reply = json.loads(reply_to(subscribed(), {"method": "LIST_SUBSCRIPTIONS", "id": id_}))
    assert reply == {"result": [], "id": id_}


@pytest.mark.parametrize(
    ("request_", "code", "reason", "id_"),
    [
        ("{", 3, "Invalid JSON: expected value at line 1 column 1", ...),
        ("[1]", 2, "Invalid request: expected an object at line 1 column 1", ...),
        ({"id": 1}, 2, "Invalid request: missing field `method` at line 1 column 1", 1),
        (
            {"method": "subscribe", "params": ["a"], "id": 1},
            2,
            (
                "Invalid request: unknown variant `subscribe`, expected one of `SUBSCRIBE`, `UNSUBSCRIBE`, "
                "`LIST_SUBSCRIPTIONS`, `SET_PROPERTY`, `GET_PROPERTY` at line 1 column 1"
            ),
            1,
        ),
        ({"method": "SUBSCRIBE", "id": 1}, 2, "Invalid request: missing field `params` at line 1 column 1", 1),
        (
            {"method": "SUBSCRIBE", "params": [1], "id": 1},
            2,
            "Invalid request: params must be a list of stream names",
            1,
        ),
        (
            {"method": "SUBSCRIBE", "params": ["a"], "id": 1.5},
            2,
            "Invalid request: request ID must be an unsigned integer",
            ...,
        ),
        (
            {"method": "SUBSCRIBE", "params": ["a"], "id": True},
            2,
            "Invalid request: request ID must be an unsigned integer",
            ...,
        ),
        (
            {"method": "SUBSCRIBE", "params": ["a"], "id": "x" * 37},
            2,
            "Invalid request: request ID must be an unsigned integer",
            ...,
        ),
        ({"method": "LIST_SUBSCRIPTIONS", "params": ["a"], "id": 1}, 2, "Invalid request: too many parameters", 1),
        ({"method": "GET_PROPERTY", "params": ["speed"], "id": 1}, 0, "Unknown property", 1),
        ({"method": "GET_PROPERTY", "params": [7], "id": 1}, 2, "Invalid request: property name must be a string", 1),
        ({"method": "GET_PROPERTY", "params": ["combined", 1], "id": 1}, 2, "Invalid request: too many parameters", 1),
        ({"method": "SET_PROPERTY", "params": ["combined", 1], "id": 1}, 1, "Invalid value type: expected Boolean", 1),
        ({"method": "SUBSCRIBE", "params": ["c", "d"], "id": "z"}, 4, "Too many subscriptions", "z"),
    ],
)
def test_a_bad_request_gets_the_code_of_the_exchange_and_changes_nothing(
    request_: Any, code: int, reason: str, id_: Any
) -> None:
    client = subscribed("a", "b", most=3)
    expected: dict[str, Any] = {"error": {"code": code, "msg": reason}}
    if id_ is not ...:
        expected["id"] = id_
    assert json.loads(reply_to(client, request_)) == expected
    assert client.streams == ("a", "b")
    assert not client.combined


@given(st.one_of(st.text(), st.binary(), st.recursive(st.integers() | st.text(), st.lists).map(json.dumps)))
def test_nothing_that_a_client_says_raises(text: str | bytes) -> None:
    reply = json.loads(subscribed().on_request(text))
    assert reply.keys() <= {"result", "error", "id"}


@given(st.lists(st.tuples(st.booleans(), st.lists(st.sampled_from("abcdef"), max_size=4)), max_size=20))
def test_subscriptions_are_a_set_in_the_order_of_their_coming(steps: list[tuple[bool, list[str]]]) -> None:
    client, expected = subscribed(), list[str]()
    for comes, names in steps:
        reply_to(client, {"method": "SUBSCRIBE" if comes else "UNSUBSCRIBE", "params": names, "id": 1})
        for name in names:
            if comes and name not in expected:
                expected.append(name)
            elif not comes and name in expected:
                expected.remove(name)
    assert client.streams == tuple(expected)
