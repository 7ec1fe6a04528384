"""Messages of the gateway as SignalR clients get them."""

import json
from decimal import Decimal

import msgpack

from api.signalr.forms import PushForm, StreamForm
from api.signalr.protocol import CODECS
from sinks.hub.messages import Encoding, Envelope, Message, Topic
from sinks.hub.payloads import BalanceBody
from sinks.hub.replies import SharedReply, SnapshotData
from tests.fakes.interface import price

JSON, PACKED = CODECS["json"], CODECS["messagepack"]
BALANCE = BalanceBody(
    "binance", "spot", "BTC", Decimal("0.10"), Decimal(0), Decimal("0.10"), None, None, is_computed=False,
    price_time=None, timestamp=5,
)  # fmt: skip


def test_an_item_of_a_stream_is_not_kept_and_what_many_clients_get_is() -> None:
    push = PushForm(JSON)
    streams = [StreamForm(JSON, id_) for id_ in ("a", "b")]
    forms: list[Encoding] = [push, *streams]
    message = Message(Topic("MarketData", "BTCUSDT", "", "binance"), price(100.0), seq=1, stamp_ms=0)
    part = SharedReply(Envelope("Snapshot", SnapshotData([message.envelope()], complete=True), "", 1))
    for sent in (message, part):
        frames = [sent.frame(form) for form in forms]
        assert [json.loads(frame[:-1]).get("invocationId") for frame in frames] == [None, "a", "b"]
        assert [sent.frame(form) is frame for form, frame in zip(forms, frames, strict=True)] == [True, False, False]
        assert list(sent._frames) == [push]


def test_amounts_are_numbers_in_both_encodings() -> None:
    balance = Envelope("Balance", BALANCE, "", 1)
    text = PushForm(JSON).encode(balance)
    assert b'"free":0.10,"locked":0,"total":0.10,' in text
    *_, (packed,), _ = msgpack.unpackb(PushForm(PACKED).encode(balance)[2:])
    assert packed == json.loads(text[:-1])["arguments"][0]
    assert packed["total"] == 0.1
