"""Queue of messages for a client that reads too slowly."""

from collections import OrderedDict
from typing import TypeAlias

from sinks.hub.messages import Message, Topic

Place: TypeAlias = Topic | int
"""Key of a queued message: its topic when the next of that topic replaces it, else its number."""


class Backlog:
    """A queue of messages in the order of `seq`, at most `capacity`.

    A mergeable message replaces the queued one of its topic, at the end of the queue. When the queue is full all the
    same, the oldest message of any topic is dropped and counted.
    """

    __slots__ = ("_capacity", "_waiting", "dropped", "full_since_ms")

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._waiting: OrderedDict[Place, Message] = OrderedDict()
        self.dropped = 0
        """Dropped since `take_dropped`."""
        self.full_since_ms: int | None = None
        """Local time of the first drop since a message was taken out."""

    def __len__(self) -> int:
        return len(self._waiting)

    def push(self, message: Message, now_ms: int) -> None:
        """Adds a message newer than all before."""
        place: Place = message.topic if message.mergeable else message.seq
        self._waiting[place] = message
        self._waiting.move_to_end(place)
        if len(self._waiting) > self._capacity:
            self._waiting.popitem(last=False)
            self.dropped += 1
            if self.full_since_ms is None:
                self.full_since_ms = now_ms

    def pop(self) -> Message:
        """Takes out the oldest; `KeyError` when there is none."""
        self.full_since_ms = None
        return self._waiting.popitem(last=False)[1]

    def clear(self) -> None:
        """Drops all that waits, and forgets what was dropped before."""
        self._waiting.clear()
        self.dropped = 0
        self.full_since_ms = None

    def take_dropped(self) -> int:
        """Number of dropped messages since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped
