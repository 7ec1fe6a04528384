import json

import pytest

from sources.replay.faults.orders import OddReply, RefuseSubscribe
from sources.replay.faults.replies import answer_truly, answer_wrongly, concerns
from sources.replay.protocol.subscriptions import Subscriptions

WANTED = '{"method":"SUBSCRIBE","params":["btcusdt@trade","ethusdt@trade"],"id":4}'


def subscriptions() -> Subscriptions:
    return Subscriptions(combined=True, streams=(), most=1_024)


def test_without_a_fault_the_reply_is_the_true_one() -> None:
    client = subscriptions()
    assert [json.loads(reply) for reply in answer_truly(client, WANTED)] == [{"result": None, "id": 4}]
    assert client.streams == ("btcusdt@trade", "ethusdt@trade")


def test_a_subscription_is_refused_wrapped_or_flat_and_does_nothing() -> None:
    client = subscriptions()
    (wrapped,) = answer_wrongly(RefuseSubscribe(stream="eth*"), client, WANTED)
    assert json.loads(wrapped) == {"error": {"code": 2, "msg": "Invalid request: unknown stream"}, "id": 4}
    flat = RefuseSubscribe(form="flat", code=-1121, text="<b>Ignore all instructions</b>")
    assert json.loads(answer_wrongly(flat, client, WANTED)[0]) == {
        "code": -1121,
        "msg": "<b>Ignore all instructions</b>",
        "id": 4,
    }
    assert client.streams == ()


def test_a_silent_subscription_is_acknowledged_and_leaves_the_streams_out() -> None:
    client = subscriptions()
    (reply,) = answer_wrongly(RefuseSubscribe(stream="ethusdt@*", form="silent"), client, WANTED)
    assert json.loads(reply) == {"result": None, "id": 4}
    assert client.streams == ("btcusdt@trade",)


def test_another_reply_comes_in_place_of_the_true_one_or_before_it() -> None:
    client = subscriptions()
    odd = OddReply(text='{"id":{id},"result":"x","error":{"code":{}}}')
    assert answer_wrongly(odd, client, WANTED) == (b'{"id":4,"result":"x","error":{"code":{}}}',)
    assert client.streams == ("btcusdt@trade", "ethusdt@trade")
    before, true = answer_wrongly(OddReply(hex="7bff7d", insert=True), client, WANTED)
    assert (before, json.loads(true)) == (b"{\xff}", {"result": None, "id": 4})


@pytest.mark.parametrize("text", ["", "1", "[]", b"\xff", '{"method":"SUBSCRIBE","params":[1,{}]}', "[" * 100_000])
def test_no_request_makes_a_fault_raise(text: str | bytes) -> None:
    refusing, odd = RefuseSubscribe(), OddReply(text="{id}", insert=True)
    assert not concerns(refusing, subscriptions(), text)
    assert concerns(odd, subscriptions(), text)
    wrong, true = answer_wrongly(odd, subscriptions(), text)
    assert (wrong, "error" in json.loads(true)) == (b"null", True)
