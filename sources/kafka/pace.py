"""Keeps the partitions of a topic together while the past is read.

The frames of a venue lie in several partitions, and of each a poll takes as many as there are. Without a bound one
partition would be minutes ahead of another, and the venue's time with it, by which the frames of the other are late. So
none emits frames that were received more than `SPAN_NS` after the next one of the partition that is furthest behind.
It holds within a process; partitions of another one are not seen.
"""

import threading
from typing import Final

SPAN_NS: Final = 200_000_000
"""Also the longest stretch of received time in one poll: a poll of minutes would bring trades before older klines."""


class Pace:
    """Where the partitions are that read the past, by the time of receipt; from any thread."""

    def __init__(self) -> None:
        self._heads: dict[int, int] = {}
        self._lock = threading.Lock()

    def set_head(self, part: int, received_ns: int) -> None:
        """When the next frame of a partition was received, or its last one while the next is not known."""
        with self._lock:
            self._heads[part] = received_ns

    def release(self, part: int) -> None:
        """A partition has reached the present, has ended, or brings nothing: the others do not wait for it."""
        with self._lock:
            self._heads.pop(part, None)

    def bound(self, part: int, head_ns: int) -> int:
        """Up to which time of receipt a partition may emit, whose next frame was received at `head_ns`."""
        with self._lock:
            others = [head for other, head in self._heads.items() if other != part]
        return min([head_ns, *others]) + SPAN_NS
