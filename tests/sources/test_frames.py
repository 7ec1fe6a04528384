"""Laws of decoding frames together."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sources.frames import UNREADABLE, decoded, lines_of

ONE, OTHER = b'{"a":{"b":1}}', b'{"a":{"b":2}}'
WHOLE = [ONE, OTHER, b'{"a":{"b":3}} ', b' {"a":{"b":4}}', b'{"a":\n{"b":5}}', b'{"a":{"b":6},"c":"}\\n{"}']
WRONG = [
    b"", b" ", b"\n", b"1", b"null", b"[]", b'"x"', b"{}", b"}", b"{",
    ONE + OTHER, ONE + b"\n" + OTHER, ONE + b" " + OTHER, ONE + b"," + OTHER, ONE + ONE + OTHER, b"\n\n" + ONE,
    b'{"a":{"b":1}', b'{"a":', b'{"b":1}}', b'"a":{"b":1}}', b'{"a":{"b":1},"c":"}', b'{"a":{"b":1},"c":[{}',
    b'{"c":{}',    b',"a":{"b":1}}', b'{"b":2}', b'{"a":{"b":1},"c":"}\n{"}',
]  # fmt: skip
_one = msgspec.json.Decoder(dict[str, Any])
_together = lines_of(dict[str, Any])


@given(st.lists(st.sampled_from(WHOLE + WRONG), max_size=6))
def test_each_frame_gives_the_message_that_it_gives_alone_or_all_are_refused(frames: list[bytes]) -> None:
    """A frame that holds nothing must not hide another one that holds two messages."""
    try:
        messages = decoded(_together, frames)
    except UNREADABLE:
        return
    assert messages == [_one.decode(frame) for frame in frames]


@given(st.lists(st.sampled_from([ONE, OTHER]), max_size=6))
def test_usual_frames_are_decoded_together(frames: list[bytes]) -> None:
    assert decoded(_together, frames) == [_one.decode(frame) for frame in frames]


@pytest.mark.parametrize(
    "wrong", [[b"", ONE + OTHER], [ONE + b"\n" + OTHER, b""], [b'{"a":', b'{"b":1}}', ONE + OTHER]]
)
def test_what_is_missing_in_one_frame_is_not_taken_from_another(wrong: list[bytes]) -> None:
    with pytest.raises(UNREADABLE):
        decoded(_together, wrong)
