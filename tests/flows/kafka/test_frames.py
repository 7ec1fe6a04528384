"""The form of raw frames in a topic: what is written is read again, and nothing else is taken for a frame."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.kafka.frames import MOST_BYTES, Frame, NotAFrame, frame_of, headers_of, key_of
from flows.model import Instrument

names = st.text("abcdefghijklmnopqrstuvwxyz0123456789_-", min_size=1, max_size=12)
symbols = st.text(st.characters(categories=("L", "Nd")), min_size=1, max_size=12)
times = st.integers(0, 10**19 - 1)
values = st.none() | st.binary(max_size=30)
headers = st.dictionaries(st.sampled_from(("version", "venue", "line", "received")) | st.text(max_size=5), values)


@given(names, st.just("") | names, times, st.binary(min_size=1))
def test_what_is_written_is_read_again(venue: str, line: str, received_ns: int, payload: bytes) -> None:
    written = headers_of(venue, line, received_ns)
    assert frame_of(venue.encode(), written, payload) == Frame(line, payload, received_ns)
    with pytest.raises(NotAFrame, match="another venue"):
        frame_of(b"not-" + venue.encode(), written, payload)


@given(st.none() | headers, values)
def test_whatever_a_message_is_it_is_a_frame_or_is_refused(found: dict[str, Any] | None, value: bytes | None) -> None:
    try:
        frame = frame_of(b"binance", list(found.items()) if found is not None else None, value)
    except NotAFrame as error:
        assert str(error).isprintable()
        return
    assert found
    assert (found["version"], found["venue"], frame.payload) == (b"1", b"binance", value)
    assert frame.received_ns == int(found["received"])


@given(names, symbols, names, symbols)
def test_instruments_have_keys_of_their_own(venue: str, symbol: str, other: str, another: str) -> None:
    assert Instrument.of(key_of(venue, symbol).decode()) == (venue, symbol)
    is_same = (venue, symbol) == (other, another)
    assert (key_of(venue, symbol) == key_of(other, another)) is is_same
    assert key_of(venue, "") == venue.encode()
    assert key_of(venue, "") != key_of(other, another)


def test_a_frame_beyond_the_bound_is_refused() -> None:
    written = headers_of("binance", "market", 1)
    assert len(frame_of(b"binance", written, b" " * MOST_BYTES).payload) == MOST_BYTES
    with pytest.raises(NotAFrame, match=f"it has {MOST_BYTES + 1} bytes"):
        frame_of(b"binance", written, b" " * (MOST_BYTES + 1))
