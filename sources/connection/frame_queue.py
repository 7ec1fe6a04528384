"""The way of frames from the network to the flow."""

import time
from collections import deque
from collections.abc import Callable, Iterable

import structlog

from flows.model import Backpressure, ConnectionEvent, StreamNames

RETIRED_S = 60.0
"""How long messages of a stream that was ended are taken for late ones."""
MOST_RETIRED = 10_000
"""Ended streams that are remembered; the oldest is forgotten first."""

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
        self.items: deque[bytes | ConnectionEvent] = deque()
        self.names: StreamNames | None = None
        """What may come by the connection, replaced as a whole, so that the taker may read it at any moment. None: any
        stream, as long as nothing was admitted.
        """
        self._retired: dict[str, float] = {}
        self._events_put = 0  # two counts, since each thread may change only its own
        self._events_taken = 0
        self._is_behind = False

    def admit(self, streams: Iterable[str]) -> None:
        """These streams are about to be asked for, too."""
        subscribed = frozenset(streams) | (self.names.subscribed if self.names else frozenset())
        for name in subscribed & self._retired.keys():
            del self._retired[name]
        self.names = StreamNames(subscribed, frozenset(self._retired))

    def retire(self, streams: Iterable[str], now_s: float | None = None) -> None:
        """These streams have ended: what still comes of them is late, and later it is foreign."""
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
        """Lets go of the streams that have ended more than `RETIRED_S` ago."""
        now_s = time.monotonic() if now_s is None else now_s
        old = [name for name, ended_s in self._retired.items() if now_s - ended_s >= RETIRED_S]
        if old and self.names:
            for name in old:
                del self._retired[name]
            self.names = StreamNames(self.names.subscribed, frozenset(self._retired))

    def put_event(self, event: ConnectionEvent) -> None:
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
            self.put_event(Backpressure(self.line, symbols, len(self.items)))

    def has_room(self) -> bool:
        """Whether those who wait may go on: they do so well below the bound, not to stop again at once."""
        if len(self.items) >= self.bound // 2:
            return False
        self._is_behind = False
        return True
