"""The protocol's framing against encoders of other libraries, and input that is none."""

import json

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.signalr.protocol import (
    CODECS,
    Ack,
    Cancellation,
    Close,
    Ignored,
    Incoming,
    Invocation,
    Ping,
    ProtocolError,
    Sequence,
    encoded_length,
    read_handshake,
)
from api.signalr.session import HANDSHAKE_MS, KEEP_ALIVE_MS, SILENCE_MS, Session
from api.signalr.tickets import MOST, UNUSED_MS, Tickets
from tests.fakes.signalr import as_json, packed

JSON, PACKED = CODECS["json"], CODECS["messagepack"]
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)
IDS = st.text("0123456789abc", min_size=1, max_size=4)
MESSAGES = st.lists(
    st.one_of(
        st.builds(Invocation, st.text(max_size=9), st.lists(VALUES, max_size=4), st.none() | IDS, st.just(False)),
        st.builds(Invocation, st.text(max_size=9), st.lists(VALUES, max_size=4), IDS, st.just(True)),
        st.builds(Cancellation, IDS),
        st.just(Ping()),
        st.just(Close()),
        st.sampled_from([Ignored(), Ignored(is_counted=True)]),
        st.builds(Ack, st.integers(0, 2**53)),
        st.builds(Sequence, st.integers(0, 2**53)),
    ),
    min_size=1,
    max_size=5,
)


@given(MESSAGES)
def test_what_clients_write_is_read_in_both_encodings(messages: list[Incoming]) -> None:
    assert JSON.decode(b"".join(map(as_json, messages))) == messages
    assert PACKED.decode(b"".join(map(packed, messages))) == messages


@given(st.binary(max_size=80), MESSAGES)
def test_nothing_but_a_protocol_error_comes_of_any_bytes(noise: bytes, messages: list[Incoming]) -> None:
    whole = [b"".join(map(write, messages)) for write in (as_json, packed)]
    for data in (noise, noise + b"\x1e", *(part[:-1] for part in whole), *(noise + part for part in whole)):
        for read in (JSON.decode, PACKED.decode, read_handshake):
            try:
                read(data)
            except ProtocolError as error:
                assert str(error)


def test_deep_nesting_is_refused() -> None:
    with pytest.raises(ProtocolError):
        JSON.decode(b'{"type":1,"target":"x","arguments":' + b"[" * 9_000 + b"]" * 9_000 + b"}\x1e")
    body = b"\x95\x01\x80\xc0\xa1x" + b"\x91" * 20_000 + b"\xc0"
    with pytest.raises(ProtocolError):
        PACKED.decode(encoded_length(len(body)) + body)


@given(st.integers(0, 2**35 - 1))
def test_a_length_has_seven_bits_a_byte_the_low_ones_first(length: int) -> None:
    encoded = encoded_length(length)
    assert sum((byte & 0x7F) << 7 * place for place, byte in enumerate(encoded)) == length
    assert [byte >> 7 for byte in encoded] == [1] * (len(encoded) - 1) + [0]


def test_what_clients_read_is_to_the_letter() -> None:
    assert json.loads(JSON.push("PriceUpdate", {"a": 1})[:-1]) == {
        "type": 1, "target": "PriceUpdate", "arguments": [{"a": 1}],
    }  # fmt: skip
    assert json.loads(JSON.result("0", None)[:-1]) == {"type": 3, "invocationId": "0", "result": None}
    assert json.loads(JSON.done("0")[:-1]) == {"type": 3, "invocationId": "0"}
    assert json.loads(JSON.failed("0", "why")[:-1]) == {"type": 3, "invocationId": "0", "error": "why"}
    assert json.loads(JSON.item("0", 5)[:-1]) == {"type": 2, "invocationId": "0", "item": 5}
    assert JSON.ping() == b'{"type":6}\x1e'
    assert json.loads(JSON.close("why", allow_reconnect=True)[:-1]) == {
        "type": 7, "error": "why", "allowReconnect": True,
    }  # fmt: skip
    assert PACKED.ping() == b"\x02\x91\x06"
    bodies = [PACKED.push("T", 1), PACKED.result("0", None), PACKED.done("0"), PACKED.failed("0", "e"),
              PACKED.item("0", 5), PACKED.close("why", allow_reconnect=False)]  # fmt: skip
    assert [msgpack.unpackb(body[1:]) for body in bodies] == [
        [1, {}, None, "T", [1], []], [3, {}, "0", 3, None], [3, {}, "0", 2], [3, {}, "0", 1, "e"], [2, {}, "0", 5],
        [7, "why", False],
    ]  # fmt: skip
    assert all(body[0] == len(body) - 1 for body in bodies)


@pytest.mark.parametrize("version", [0, 1, 2])
def test_a_handshake_of_any_known_version_may_be_followed_by_messages(version: int) -> None:
    session = Session(0)
    data = json.dumps({"protocol": "json", "version": version}).encode() + b'\x1e{"type":6}\x1e'
    assert session.on_frame(data, 1) == [Ping()]
    assert session.codec is JSON


@pytest.mark.parametrize(
    "data",
    [b"", b"{}\x1e", b'{"type":6}\x1e', b'{"protocol":"json","version":1}', b'{"protocol":"xml","version":1}\x1e',
     b'{"protocol":"json","version":3}\x1e', b"[" * 30_000 + b"\x1e", b" " * 40_000],
)  # fmt: skip
def test_what_is_no_handshake_is_refused(data: bytes) -> None:
    session = Session(0)
    with pytest.raises(ProtocolError):
        session.on_frame(data, 1)
    assert session.codec is None


def test_keep_alive_and_silence() -> None:
    session = Session(0)
    assert not session.is_silent(HANDSHAKE_MS - 1)
    assert session.is_silent(HANDSHAKE_MS)
    session.on_frame(b'{"protocol":"messagepack","version":1}\x1e', 10)
    assert not session.wants_ping(KEEP_ALIVE_MS - 1)
    assert session.wants_ping(KEEP_ALIVE_MS)
    session.on_sent(KEEP_ALIVE_MS)
    assert not session.wants_ping(2 * KEEP_ALIVE_MS - 1)
    session.on_frame(b"\x02\x91\x06", 20)
    assert not session.is_silent(SILENCE_MS + 19)
    assert session.is_silent(SILENCE_MS + 20)


def test_who_is_there_is_not_silent_but_for_the_handshake() -> None:
    session = Session(0)
    session.on_seen(HANDSHAKE_MS - 1)
    assert session.is_silent(HANDSHAKE_MS)
    session.on_frame(b'{"protocol":"json","version":1}\x1e', 10)
    session.on_seen(20)
    assert not session.is_silent(SILENCE_MS + 19)
    assert session.is_silent(SILENCE_MS + 20)


def test_a_negotiated_id_opens_one_connection_while_it_is_new() -> None:
    tickets = Tickets()
    first, second = tickets.issue(0), tickets.issue(1)
    assert first is not None
    assert second is not None
    assert first != second
    assert tickets.take(first, UNUSED_MS - 1)
    assert not tickets.take(first, UNUSED_MS - 1)
    assert not tickets.take(second, UNUSED_MS + 1)
    assert not tickets.take("made up", 0)
    assert sum(tickets.issue(UNUSED_MS * 3) is not None for _ in range(MOST + 5)) == MOST
    assert tickets.issue(UNUSED_MS * 4) is not None
