"""The queue of frames from the network to the flow."""

import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from flows.model import Backpressure, ConnectionEvent, StreamNames

RETIRED_S = 60.0
"""How long messages of an ended stream count as late."""
MOST_RETIRED = 10_000
"""Most ended streams that are kept; the oldest is dropped first."""

_log = structlog.get_logger(__name__)


class FrameQueue:
    """Frames and connection events of one connection, or of several redundant ones, in the order of their arrival; one
    thread puts, another takes.

    Bounded: when `bound` frames wait, sockets are not read, so that TCP slows the venue down.
    """

    def __init__(
        self,
        line: str,
        bound: int,
        wake: Callable[[], None],
        *,
        wake_calm: Callable[[], None] | None = None,
        venue: str = "",
    ) -> None:
        """`venue` and `line` are the connection's, for the log. `wake_calm` is called in the place of `wake` when what
        has come can wait.
        """
        self.line = line
        self.venue = venue
        self.bound = bound
        self.calm: frozenset[str] = frozenset()
        """Streams whose frames can wait for others."""
        self.is_urgent = False
        """Whether anything has come that cannot wait, and the taker was woken; it clears that before it takes."""
        self._wake = wake
        self._wake_calm = wake_calm or wake
        self.items: deque[bytes | ConnectionEvent] = deque()
        self.names: StreamNames | None = None
        """The streams of the connection, replaced as a whole, so that the taker may read it at any time. None: any
        stream, until the first `admit`.
        """
        self._retired: dict[str, float] = {}
        self._events_put = 0  # two counts, as each thread may change only its own
        self._events_taken = 0
        self._is_behind = False

    def ring(self, stream: str = "") -> None:
        """Something has been put; without effect on the taker when `is_urgent`, as a frame that is put then is taken
        with what is urgent.
        """
        if stream in self.calm:
            self._wake_calm()
        else:
            self.is_urgent = True
            self._wake()

    def admit(self, streams: Iterable[str]) -> None:
        """Adds streams that are about to be subscribed."""
        subscribed = frozenset(streams) | (self.names.subscribed if self.names else frozenset())
        for name in subscribed & self._retired.keys():
            del self._retired[name]
        self.names = StreamNames(subscribed, frozenset(self._retired))

    def retire(self, streams: Iterable[str], now_s: float | None = None) -> None:
        """Marks streams as ended: their messages count as late for `RETIRED_S`, and as foreign after that."""
        ended = frozenset(streams)
        now_s = time.monotonic() if now_s is None else now_s
        for name in ended:
            self._retired.pop(name, None)
            self._retired[name] = now_s
        while len(self._retired) > MOST_RETIRED:
            del self._retired[next(iter(self._retired))]
        subscribed = self.names.subscribed if self.names else frozenset()
        self.names = StreamNames(subscribed - ended, frozenset(self._retired))

    def forget_retired(self, now_s: float | None = None) -> None:
        """Drops streams that ended more than `RETIRED_S` ago."""
        now_s = time.monotonic() if now_s is None else now_s
        old = [name for name, ended_s in self._retired.items() if now_s - ended_s >= RETIRED_S]
        if old and self.names:
            for name in old:
                del self._retired[name]
            self.names = StreamNames(self.names.subscribed, frozenset(self._retired))

    def put_event(self, event: ConnectionEvent) -> None:
        """Appends a connection event, after the frames received before it."""
        self._events_put += 1
        self.items.append(event)
        self.ring()

    def has_events(self) -> bool:
        """Whether there are events that the taker has not noted as taken."""
        return self._events_put != self._events_taken

    def note_taken_event(self) -> None:
        """Called by the taker for every event taken."""
        self._events_taken += 1

    def fall_behind(self, symbols: tuple[str, ...]) -> None:
        """Called when the queue is full: puts one `Backpressure` until there is room again."""
        if not self._is_behind:
            self._is_behind = True
            _log.warning("backpressure", venue=self.venue, line=self.line, frames=len(self.items))
            self.put_event(Backpressure(self.line, symbols, len(self.items)))

    def has_room(self) -> bool:
        """Whether reading may go on: only below half the bound, so that it does not stop again at once."""
        if len(self.items) >= self.bound // 2:
            return False
        self._is_behind = False
        return True
