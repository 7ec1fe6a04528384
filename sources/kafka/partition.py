"""What a partition of a topic has brought, and what of it is due. Pure: what is fetched is given, as is the time."""

from collections import deque
from typing import Any, Final, NamedTuple

from flows.kafka.frames import Frame
from flows.model import Rejected
from sources.kafka.pace import Pace
from sources.kafka.reader import FrameReader, TopicMessage

STALL_MS: Final = 5_000
"""A partition that should have more, and has brought nothing for so long, holds up no other one."""


class _Held(NamedTuple):
    offset: int
    received_ns: int
    item: Frame | Rejected


class HeldFrames:
    """Frames that were fetched and are not emitted yet, in the order of their offsets."""

    def __init__(self, reader: FrameReader, pace: Pace, *, part: int, offset: int, end: int, now_ms: int) -> None:
        """`offset` is that of the next message, `end` where the past ends: up to there the partitions keep `pace`."""
        self._reader = reader
        self._pace = pace
        self._part = part
        self._end = end
        self._held: deque[_Held] = deque()
        self.newest_ns = 0
        """When the newest frame was received."""
        self._arrived_ms = now_ms
        self.offset = offset
        """Of the next message that is not emitted."""
        if self.is_past:
            pace.set_head(part, 0)

    def __len__(self) -> int:
        return len(self._held)

    @property
    def is_past(self) -> bool:
        """Whether what was in the topic at the start is not read to its end."""
        return self.offset < self._end

    def put(self, message: TopicMessage, offset: int, now_ms: int) -> None:
        """Takes the next message."""
        item = self._reader.frame(message)
        if isinstance(item, Frame):
            self.newest_ns = item.received_ns
        self._held.append(_Held(offset, self.newest_ns, item))
        self._arrived_ms = now_ms

    def move_to(self, offset: int) -> None:
        """Goes on elsewhere, as what was next does not exist any more."""
        self._held.clear()
        self.offset = offset

    def take(self, most: int, now_ms: int) -> list[Any]:
        """What is due, as connections hand it on: at most so many frames."""
        bound = self._bound(now_ms)
        taken: list[Frame | Rejected] = []
        held = self._held
        while held and len(taken) < most and (bound is None or held[0].received_ns <= bound):
            one = held.popleft()
            taken.append(one.item)
            self.offset = one.offset + 1
        if taken and not self.is_past:
            self._pace.release(self._part)
        return self._reader.read(taken) if taken else []

    def _bound(self, now_ms: int) -> int | None:
        """Up to which time of receipt frames are due; None: all are."""
        if not self.is_past:
            return None
        if self._held:
            head = self._held[0].received_ns
            self._pace.set_head(self._part, head)
            return self._pace.bound(self._part, head)
        if now_ms - self._arrived_ms > STALL_MS:
            self._pace.release(self._part)
        return None

    def close(self) -> None:
        """Ends it: no other one waits for it."""
        self._pace.release(self._part)
