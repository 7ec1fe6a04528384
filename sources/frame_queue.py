"""The way of frames from the network to the flow."""

from collections import deque
from collections.abc import Callable

import structlog

from flows.model import Behind, LineEvent

_log = structlog.get_logger(__name__)


class FrameQueue:
    """Frames and line events of one connection, or of several that carry the same, in the order of their arrival; one
    thread puts, another takes.

    Bounded: when `bound` frames wait, sockets are left unread, and so in the end the venue waits.
    """

    def __init__(self, line: str, bound: int, ring: Callable[[], None]) -> None:
        self.line = line
        self.bound = bound
        self.ring = ring
        self.items: deque[bytes | LineEvent] = deque()
        self._events_put = 0  # two counts, since each thread may change only its own
        self._events_taken = 0
        self._is_behind = False

    def put_event(self, event: LineEvent) -> None:
        """Puts what happened to the line behind the frames that came before it."""
        self._events_put += 1
        self.items.append(event)
        self.ring()

    def has_events(self) -> bool:
        """Whether there are line events that the taker has not noted as taken."""
        return self._events_put != self._events_taken

    def note_taken_event(self) -> None:
        """The taker came upon a line event."""
        self._events_taken += 1

    def fall_behind(self, symbols: tuple[str, ...]) -> None:
        """It is full: the flow hears of it, once until there is room again."""
        if not self._is_behind:
            self._is_behind = True
            _log.warning("the flow is behind, the line waits", line=self.line, frames=len(self.items))
            self.put_event(Behind(self.line, symbols, len(self.items)))

    def has_room(self) -> bool:
        """Whether those who wait may go on: they do so well below the bound, not to stop again at once."""
        if len(self.items) >= self.bound // 2:
            return False
        self._is_behind = False
        return True
