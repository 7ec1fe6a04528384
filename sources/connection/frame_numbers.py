"""Whether a frame is missing on a connection of which the venue counts the frames."""

import re
from typing import Final

HEAD: Final = 256
"""Bytes within which the number of a frame begins."""
DIGITS: Final = 20
"""Most digits of a number, with a space before it."""
_NUMBER: Final = re.compile(rb" ?(\d+)")


class FrameNumbers:
    """The numbers of the frames of one socket, all of them in the order of arrival."""

    def __init__(self, before: bytes) -> None:
        """`before` is what stands before the number of a frame."""
        self._before = before
        self._following: int | None = None

    def missing(self, frame: bytes) -> str:
        """Takes a frame, and gives what is missing before it: empty when nothing is. One without a number is not
        counted.
        """
        begin = frame.find(self._before, 0, HEAD)
        if begin < 0:
            return ""
        begin += len(self._before)
        found = _NUMBER.match(frame, begin, begin + DIGITS)
        if found is None:
            return "a frame has a number that is none"
        number = int(found[1])
        following, self._following = self._following, number + 1
        if following in (None, number):
            return ""
        return f"frames are missing: number {number} came where {following} follows"
