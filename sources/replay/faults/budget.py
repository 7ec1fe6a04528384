"""How much the faults of an exchange may make, read and hold back, whatever is ordered together. Time is an argument.

A fault asks before each message; what does not fit is left undone and counted. So memory and work have a bound that
no combination of faults can exceed.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from sources.replay.market.market import Message

MEGABYTE = 1_048_576
LONGEST_FRAME = 48 * MEGABYTE
"""Most bytes that a fault adds to one message, B."""
MADE_BYTES_PER_S = 50 * MEGABYTE
"""Default of what all faults make and read in a second, B."""
HELD_BYTES = 50 * MEGABYTE
"""Most bytes of the messages that all faults hold back, B."""
_MESSAGE_BYTES = 64
"""Counted for each message and each fault that sees it, so that many small ones have a bound too."""
_WINDOW_S = 1.0


class BudgetState(Struct, frozen=True):
    """The budget as the control endpoint shows it."""

    most_bytes_per_s: int
    bytes: int
    """Made and read in the present second."""
    dropped: int
    """How often a fault was not done, or not wholly, because the second's bytes were spent."""
    held_bytes: int
    not_held: int
    """How often a message passed that would have been held back."""


class Budget:
    """The bytes of all faults in the present second, and those they hold back.

    The first thing that does not fit ends the second's work, so that at most one is made in vain. A second is not
    renewed while messages are altered: what one turn makes has the same bound.
    """

    def __init__(self, monotonic_s: Callable[[], float], *, most_bytes_per_s: int = MADE_BYTES_PER_S) -> None:
        self._monotonic_s = monotonic_s
        self._most = most_bytes_per_s
        self._began_s = monotonic_s()
        self._each = _MESSAGE_BYTES
        self._bytes = 0
        self._is_spent = False
        self._dropped = 0
        self._held = 0
        self._not_held = 0

    def renew(self, *, faults: int = 1) -> None:
        """Begins a turn in which each message is seen by `faults` faults, and a new second when the last is over."""
        self._each = _MESSAGE_BYTES * (1 + faults)
        now_s = self._monotonic_s()
        if now_s - self._began_s >= _WINDOW_S:
            self._began_s, self._bytes, self._is_spent = now_s, 0, False

    def admits(self, size: int) -> bool:
        """Counts `size` bytes, if they fit into the present second."""
        cost = size + self._each
        if self._is_spent or self._bytes + cost > self._most:
            self._is_spent = True
            self._dropped += 1
            return False
        self._bytes += cost
        return True

    def admitted(self, messages: Iterable[Message]) -> Iterator[Message]:
        """The messages up to the first that does not fit; no other is made."""
        for message in messages:
            if not self.admits(size_of(message)):
                return
            yield message

    def holds(self, message: Message) -> bool:
        """Counts a message that is to be held back, if it fits."""
        size = size_of(message) + _MESSAGE_BYTES
        if self._held + size > HELD_BYTES:
            self._not_held += 1
            return False
        self._held += size
        return True

    def lets_go(self, message: Message) -> None:
        """A message is not held back any more."""
        self._held -= size_of(message) + _MESSAGE_BYTES

    def state(self) -> BudgetState:
        """The present figures."""
        return BudgetState(self._most, self._bytes, self._dropped, self._held, self._not_held)


def size_of(message: Message) -> int:
    """Bytes of a message."""
    return len(message.data) + len(message.name or b"") + len(message.frame or b"")


def check_size(size: int) -> None:
    """`ValueError` when a fault would make more at once than it ever may."""
    if size > LONGEST_FRAME:
        raise ValueError(f"that makes {size:,} bytes at once; at most {LONGEST_FRAME:,} are allowed")
