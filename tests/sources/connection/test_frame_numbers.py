"""A missing frame shows in the numbers of a connection."""

import pytest

from sources.connection.frame_numbers import FrameNumbers
from tests.fakes.coinbase import advanced_frames

BEFORE = b'"n":'


def missing(*frames: bytes) -> list[str]:
    numbers = FrameNumbers(BEFORE)
    return [numbers.missing(frame) for frame in frames]


def test_numbers_that_follow_miss_nothing() -> None:
    assert missing(b'{"n":7,"a":1}', b'{"n":8}', b'{"x":0}', b'{"n": 9}', b'{"a":1,"n":10}') == [""] * 5


@pytest.mark.parametrize(("second", "number"), [(b'{"n":9}', 9), (b'{"n":7}', 7), (b'{"n":0}', 0)])
def test_one_that_does_not_follow_is_named_and_the_next_one_is_measured_by_it(second: bytes, number: int) -> None:
    found = missing(b'{"n":7}', second, b'{"n":%d}' % (number + 1))
    assert found == ["", f"frames are missing: number {number} came where 8 follows", ""]


def test_a_number_that_is_none_is_a_fault() -> None:
    assert missing(b'{"n":x}', b'{"n":', b'{"n":-1}') == ["a frame has a number that is none"] * 3


def test_every_recorded_frame_has_the_next_number_and_each_one_that_is_lost_shows() -> None:
    frames = advanced_frames()
    numbers = FrameNumbers(b'"sequence_num":')
    assert not any(numbers.missing(frame) for frame in frames)
    for lost in range(1, len(frames) - 1, 50):
        numbers = FrameNumbers(b'"sequence_num":')
        found = [numbers.missing(frame) for frame in (*frames[:lost], *frames[lost + 1 :])]
        assert [place for place, reason in enumerate(found) if reason] == [lost]
