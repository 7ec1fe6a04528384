"""Frames as lines of a tape."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from sources.replay.tape.taped_frames import frame_in, taped

FRAMES = st.one_of(
    st.binary(),
    st.sampled_from([b"", b"\n", b"<html>\n</html>", b'{"rest":1}', b'{"frame":"x"}\n', b'{"account":\n1}']),
    st.text().map(str.encode),
)


@given(FRAMES)
def test_any_frame_is_one_line_and_comes_back(frame: bytes) -> None:
    line = taped(frame)
    assert line
    assert b"\n" not in line
    assert not line.startswith((b'{"rest":', b'{"account":'))
    assert frame_in(line) == frame


@given(st.dictionaries(st.sampled_from(["a", "b"]), st.text() | st.integers(), min_size=1), st.integers(0, 4))
def test_a_message_of_several_lines_stays_a_message(message: dict[str, object], indent: int) -> None:
    line = taped(msgspec.json.format(msgspec.json.encode(message), indent=indent))
    assert b"\n" not in line
    assert msgspec.json.decode(line) == message


def test_what_is_no_frame_is_known() -> None:
    assert frame_in(b'{"rest":"/api","data":{}}') is None
    assert frame_in(b'{"account":{}}') is None
