"""One client of the hub: how far it has been sent what is meant for it."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from sinks.hub.backlog import Backlog
from sinks.hub.messages import Encoding, Message, Sendable
from sinks.hub.replies import Answer, Lagged
from sinks.hub.subscription import Subscription

CHUNK_BYTES = 32_768
"""What a client that is behind gets in one write, give or take a message."""
FULL_MS = 5_000
"""How long a client may read nothing while its queue is full."""
STALLED_MS = 60_000
"""How long a client may read nothing at all while there is something for it."""


class Peer(Protocol):
    """The client's line, as the hub needs it. Neither method calls the hub back."""

    def write_frames(self, frames: bytes) -> bool:
        """Takes finished frames. False: enough for now, until `Hub.on_writable`. A line that is closing swallows them
        and returns True.
        """

    def dismiss(self, code: int, reason: str) -> None:
        """Begins to close the line; whatever the peer does, that ends soon."""


class Client:
    """What is on its way to a client, in this order: what it alone gets (answers, a snapshot, a replay), then the queue
    of messages that came meanwhile.

    `ahead` is only added to while the client is not behind, so it is bounded by one request's answer or the hub's ring;
    the bound of the queue is `capacity`.
    """

    __slots__ = ("_ahead", "_backlog", "_blocked_since_ms", "encoding", "peer", "subscription")

    def __init__(self, peer: Peer, *, encoding: Encoding, subscription: Subscription, capacity: int) -> None:
        self.peer = peer
        self.encoding = encoding
        self.subscription = subscription
        self._ahead: deque[Sendable] = deque()
        self._backlog = Backlog(capacity)
        self._blocked_since_ms: int | None = None

    @property
    def behind(self) -> bool:
        """Whether anything waits for the client to read."""
        return self._blocked_since_ms is not None or bool(self._ahead) or len(self._backlog) > 0

    @property
    def dropped(self) -> int:
        """Messages that were lost for it, and it does not know yet."""
        return self._backlog.dropped

    def write(self, frames: bytes, now_ms: int) -> None:
        """Writes to a client that is not behind."""
        if not self.peer.write_frames(frames):
            self._blocked_since_ms = now_ms

    def put_ahead(self, items: Iterable[Sendable]) -> None:
        """Has something for this client alone, in front of the messages still to come."""
        self._ahead.extend(items)

    def queue(self, messages: Iterable[Message], now_ms: int) -> int:
        """Keeps messages until the client reads again; returns how many others were dropped for them."""
        before = self._backlog.dropped
        for message in messages:
            self._backlog.push(message, now_ms)
        return self._backlog.dropped - before

    def lose(self, count: int) -> None:
        """Takes note that messages never came to be queued."""
        self._backlog.dropped += count

    def resume(self) -> None:
        """The peer has room again."""
        self._blocked_since_ms = None

    def pump(self, now_ms: int) -> int:
        """Writes what waits until the peer has enough; returns how many frames that were."""
        written = 0
        while self._blocked_since_ms is None:
            chunk = list(self._take_chunk())
            if not chunk:
                break
            self.write(b"".join(chunk), now_ms)
            written += len(chunk)
        return written

    def is_stuck(self, now_ms: int) -> bool:
        """Whether it is time to give the client up."""
        full, blocked = self._backlog.full_since_ms, self._blocked_since_ms
        return (full is not None and now_ms - full >= FULL_MS) or (
            blocked is not None and now_ms - blocked >= STALLED_MS
        )

    def _take_chunk(self) -> Iterator[bytes]:
        size = 0
        while size < CHUNK_BYTES and (item := self._next()) is not None:
            frame = item.frame(self.encoding)
            size += len(frame)
            yield frame

    def _next(self) -> Sendable | None:
        if self._ahead:
            return self._ahead.popleft()
        if self._backlog.dropped:
            return Answer(Lagged(self._backlog.take_dropped()))
        return self._backlog.pop() if self._backlog else None
