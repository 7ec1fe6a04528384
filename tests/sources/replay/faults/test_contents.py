import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.faults.books import MANY_LEVELS
from sources.replay.faults.budget import Budget
from sources.replay.faults.content_faults import (
    AlteringFault,
    BadBytes,
    Foreign,
    Huge,
    Malformed,
    Nested,
    OddFrame,
    WrongBook,
    WrongId,
    WrongTime,
    WrongValue,
)
from sources.replay.faults.contents import alteration_of
from sources.replay.faults.forms import ID_JUMP
from sources.replay.faults.transforms import Transform, start_transform
from sources.replay.market.market import Message
from sources.replay.protocol.frames import Encoding, encode_message
from tests.fakes.scripted_market import BEGIN_MS, trade_message

TRADE = trade_message(7)
KLINE = Message(
    BEGIN_MS,
    "btcusdt@kline_1m",
    b'{"e":"kline","E":5,"s":"BTCUSDT","k":{"t":0,"T":59999,"s":"BTCUSDT","i":"1m","f":10,"L":12,"o":"1.0","h":"2.0","n":3}}',
)
DEPTH = Message(
    BEGIN_MS,
    "btcusdt@depth@100ms",
    b'{"e":"depthUpdate","E":5,"s":"BTCUSDT","U":10,"u":12,"b":[["100.5","1.0"]],"a":[["101.5","2.0"],["102.5","0"]]}',
)
PARTIAL = Message(BEGIN_MS, "btcusdt@depth5", b'{"lastUpdateId":12,"bids":[],"asks":[["101.5","2.0"]]}')


def wrong(fault: AlteringFault, message: Message = TRADE) -> Message:
    (one,) = alteration_of(fault)(message)
    return one


def fields(fault: AlteringFault, message: Message = TRADE) -> Any:
    return json.loads(wrong(fault, message).data)


def started(fault: AlteringFault) -> Transform:
    return start_transform(fault, Budget(lambda: 0.0))


def frame(fault: AlteringFault, message: Message = TRADE) -> bytes:
    """What a client of the combined form gets, without the header of the frame."""
    encoded = encode_message(wrong(fault, message), Encoding(combined=True, microseconds=False))
    return encoded[{126: 4, 127: 10}.get(encoded[1], 2) :]


TRUE_FRAME = b'{"stream":"btcusdt@trade","data":%b}' % TRADE.data


def test_times_are_shifted() -> None:
    sent = json.loads(TRADE.data)
    assert fields(WrongTime(by_ms=3_600_000)) == sent | {"E": sent["E"] + 3_600_000, "T": sent["T"] + 3_600_000}
    assert fields(WrongTime(by_ms=-1, fields=("T",))) == sent | {"T": sent["T"] - 1}
    assert fields(WrongTime(by_ms=60_000), KLINE)["k"] == json.loads(KLINE.data)["k"] | {"t": 60_000, "T": 119_999}


def test_ids_are_wrong() -> None:
    assert fields(WrongId(fields=("t",), by=2**53))["t"] == 7 + 2**53
    changed = fields(WrongId(fields=("k.f", "k.L", "k.n"), by=-20), KLINE)["k"]
    assert (changed["f"], changed["L"], changed["n"]) == (-10, -8, -17)
    changed = fields(WrongId(fields=("U", "u", "pu"), by=100), DEPTH)
    assert (changed["U"], changed["u"]) == (110, 112)
    assert fields(WrongId(fields=("lastUpdateId",), by=1), PARTIAL)["lastUpdateId"] == 13


@pytest.mark.parametrize("text", ["-1", "0", "1e400", "NaN", "9" * 50, "", "<b>"])
def test_a_value_is_set(text: str) -> None:
    assert fields(WrongValue(field="p", text=text)) == json.loads(TRADE.data) | {"p": text}
    assert fields(WrongValue(field="k.h", text=text), KLINE)["k"]["h"] == text


def test_a_value_is_multiplied_or_set_as_it_is() -> None:
    assert fields(WrongValue(field="p", times="-0.5"))["p"] == "-50.250000000"
    assert fields(WrongValue(field="T", times="1000"))["T"] == TRADE.due_ms * 1_000
    assert b'"p":1e400,' in wrong(WrongValue(field="p", json="1e400")).data
    assert b'"p":[[,' in wrong(WrongValue(field="p", json="[[")).data


def test_bytes_stand_where_they_do_not_belong() -> None:
    assert frame(BadBytes(where="stream")) == TRUE_FRAME.replace(b"@trade", b"@trade\xff")
    assert frame(BadBytes(where="value", hex="00")) == TRUE_FRAME.replace(b'"BTCUSDT', b'"\x00BTCUSDT')
    assert frame(BadBytes(where="begin", hex="efbbbf")) == b"\xef\xbb\xbf" + TRUE_FRAME
    assert frame(BadBytes(where="end", hex="1b")) == TRUE_FRAME + b"\x1b"


def test_foreign_messages_come_beside_the_true_one() -> None:
    *made, last = started(Foreign(symbol="X{n}USDT", messages=3)).on_message(TRADE)
    assert last == TRADE
    assert [message.stream for message in made] == [TRADE.stream] * 3
    assert [message.name for message in made] == [b"x0usdt@trade", b"x1usdt@trade", b"x2usdt@trade"]
    assert [json.loads(message.data)["s"] for message in made] == ["X0USDT", "X1USDT", "X2USDT"]


@pytest.mark.parametrize("symbol", ["<img src=x onerror=alert(1)>", "../../x", "", 'a"b\n', "比特币USDT"])
def test_a_foreign_symbol_may_be_any_text(symbol: str) -> None:
    (made,) = alteration_of(Foreign(symbol=symbol))(KLINE)
    encoded = encode_message(made, Encoding(combined=True, microseconds=False))
    body = json.loads(encoded[4:])
    assert body["stream"] == f"{symbol.lower()}@kline_1m"
    assert (body["data"]["s"], body["data"]["k"]["s"]) == (symbol, symbol)


def test_stream_and_payload_may_disagree() -> None:
    (made,) = alteration_of(Foreign(symbol="ETHUSDT", rewrites="payload"))(TRADE)
    assert (made.name, json.loads(made.data)["s"]) == (None, "ETHUSDT")
    (made,) = alteration_of(Foreign(symbol="ETHUSDT", rewrites="stream"))(TRADE)
    assert (made.name, json.loads(made.data)["s"]) == (b"ethusdt@trade", "BTCUSDT")


def test_nested_frames() -> None:
    assert frame(Nested(levels=3)) == b"[[[]]]"
    assert frame(Nested(levels=3, closed=False)) == b"[[["
    assert json.loads(frame(Nested(levels=2, form="envelopes"))) == {
        "stream": "x",
        "data": {"stream": "x", "data": {}},
    }
    assert fields(Nested(levels=2, form="payload")) == json.loads(TRADE.data) | {"pad": [[]]}


def test_a_huge_frame_is_the_true_message_with_a_long_text() -> None:
    huge = fields(Huge(megabytes=2))
    assert len(huge.pop("pad")) == 2 * 1_048_576
    assert huge == json.loads(TRADE.data)


def test_frames_that_are_no_single_message() -> None:
    assert frame(OddFrame(form="empty")) == b""
    assert frame(OddFrame(form="two")) == TRUE_FRAME + TRUE_FRAME
    assert frame(OddFrame(form="lines")) == TRUE_FRAME + b"\n" + TRUE_FRAME
    assert [frame(OddFrame(form=form)) for form in ("number", "null", "string", "list", "object")] == [
        b"1",
        b"null",
        b'"x"',
        b"[]",
        b"{}",
    ]
    assert frame(OddFrame(form="text", text="<html>")) == b"<html>"
    binary = encode_message(wrong(OddFrame(form="binary")), Encoding(combined=True, microseconds=False))
    assert (binary[0], binary[4:]) == (0x82, TRUE_FRAME)


def test_books_that_cannot_be() -> None:
    sent = json.loads(DEPTH.data)
    assert fields(WrongBook(form="crossed"), DEPTH) == sent | {"b": [["100500.0", "1.00000000"], *sent["b"]]}
    assert fields(WrongBook(form="crossed"), PARTIAL)["bids"] == [["101500.0", "1.00000000"]]
    assert fields(WrongBook(form="negative"), DEPTH)["a"] == [["101.5", "-1.00000000"], ["102.5", "0"]]
    assert fields(WrongBook(form="huge"), DEPTH)["b"] == [["100.5", "1e300"]]
    assert len(fields(WrongBook(form="many"), DEPTH)["b"]) == MANY_LEVELS
    changed = fields(WrongBook(form="jump"), DEPTH)
    assert (changed["U"], changed["u"]) == (10 + ID_JUMP, 12 + ID_JUMP)
    assert fields(WrongBook(form="reversed"), DEPTH)["u"] == 9


@pytest.mark.parametrize(
    "fault",
    [
        WrongBook(),
        WrongId(fields=("a",), by=1),
        WrongValue(field="x", text="1"),
        WrongValue(field="e", times="2"),
        WrongTime(by_ms=1, fields=("k.t",)),
    ],
)
def test_what_cannot_be_done_to_a_message_leaves_it_and_does_not_count(fault: AlteringFault) -> None:
    transform = started(fault)
    assert transform.on_message(TRADE) == (TRADE,)
    assert not transform.spent


ALTERING = [
    Malformed(),
    WrongTime(by_ms=1),
    WrongId(fields=("t",), by=1),
    WrongValue(field="p", text="0"),
    BadBytes(),
    Nested(levels=2),
    Huge(megabytes=1),
    OddFrame(),
]


@pytest.mark.parametrize("fault", ALTERING, ids=lambda fault: type(fault).__name__)
@given(count=st.integers(1, 3), after=st.integers(0, 2))
def test_a_wrong_message_takes_the_place_of_the_true_one_or_comes_before_it(
    fault: AlteringFault, count: int, after: int
) -> None:
    trades = [trade_message(number) for number in range(6)]
    ordered = msgspec.structs.replace(fault, count=count, after=after)
    transform = started(ordered)
    out = [out for message in trades for out in transform.on_message(message)]
    assert len(out) == len(trades)
    assert [place for place, message in enumerate(out) if message != trades[place]] == [*range(after, after + count)]
    assert transform.spent
    transform = started(msgspec.structs.replace(ordered, insert=True))
    out = [out for message in trades for out in transform.on_message(message)]
    assert [message for message in out if message in trades] == trades
    assert len(out) == len(trades) + count
    assert out[after] != trades[after]
    assert out[after + 1] == trades[after]


@given(st.sampled_from(ALTERING), st.binary(max_size=40) | st.just(b"9" * 5_000))
def test_no_payload_makes_a_fault_raise(fault: AlteringFault, payload: bytes) -> None:
    tuple(alteration_of(fault)(Message(0, "btcusdt@trade", payload)))
    for form in ("crossed", "reversed", "jump"):
        book = b'{"U":%b,"u":%b,"b":[["%b","1"]],"a":[]}' % (payload, payload, payload)
        alteration_of(WrongBook(form=form))(Message(0, "btcusdt@depth", book))
