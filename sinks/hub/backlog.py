"""What a client has not been sent yet because it does not read fast enough."""

from collections import OrderedDict
from typing import TypeAlias

from sinks.hub.messages import Message, Topic

Place: TypeAlias = Topic | int
"""Where a message stands: by topic when the next of its kind replaces it, else by its number."""


class Backlog:
    """A queue of messages in the order of `seq`, at most `capacity`.

    A mergeable message replaces the one of its topic that still waits, and stands at its own, later place. When the
    queue is full all the same, the oldest message is dropped and counted, whatever it is.
    """

    __slots__ = ("_capacity", "_waiting", "dropped", "full_since_ms")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: OrderedDict[Place, Message] = OrderedDict()
        self.dropped = 0
        """Lost since `take_dropped`."""
        self.full_since_ms: int | None = None
        """Local time of the first loss since a message was taken out."""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, message: Message, now_ms: int) -> None:
        """Takes a message that is newer than all before."""
        place: Place = message.topic if message.mergeable else message.seq
        self._waiting[place] = message
        self._waiting.move_to_end(place)
        if len(self._waiting) > self._capacity:
            self._waiting.popitem(last=False)
            self.dropped += 1
            if self.full_since_ms is None:
                self.full_since_ms = now_ms

    def pop(self) -> Message:
        """Gives the oldest; `KeyError` when there is none."""
        self.full_since_ms = None
        return self._waiting.popitem(last=False)[1]

    def take_dropped(self) -> int:
        """How many were lost since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
