"""One client of the hub, and what is queued for it."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Protocol

from sinks.hub.backlog import Backlog
from sinks.hub.messages import Encoding, Message, Sendable
from sinks.hub.replies import Lagged, Reply, SharedReply
from sinks.hub.subscription import Subscription

CHUNK_BYTES = 32_768
"""Size of one write to a client that is behind, plus at most a message."""
FULL_MS = 5_000
"""How long a client may read nothing while its queue is full."""
STALLED_MS = 60_000
"""How long a client may read nothing at all while something is queued for it."""


class Peer(Protocol):
    """The client's connection, as the hub uses it. Neither method calls the hub back."""

    def write_frames(self, frames: bytes) -> bool:
        """Takes finished frames. False: no room until `Hub.on_writable`. A connection that is closing discards them and
        returns True.
        """

    def begin_close(self, code: int, reason: str) -> None:
        """Begins to close the connection; that ends within a time limit, whatever the peer does."""


class Client:
    """What waits for a client, in this order: what it alone gets (replies, a snapshot, a replay), then the queue of
    messages that came meanwhile.

    `ahead` only grows while the client is not behind, so it is bounded by one reply or the replay buffer; the bound of
    the queue is `capacity`.
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
        """Messages dropped for it that have not been reported to it yet."""
        return self._backlog.dropped

    def write(self, frames: bytes, now_ms: int) -> None:
        """Writes to a client that is not behind."""
        if not self.peer.write_frames(frames):
            self._blocked_since_ms = now_ms

    def put_ahead(self, items: Iterable[Sendable]) -> None:
        """Queues items for this client alone, before the messages."""
        self._ahead.extend(items)

    def begin_anew(self, items: Iterable[Sendable]) -> None:
        """Drops the state and the messages that wait, but no answer, and queues items for this client alone."""
        self._ahead = deque(item for item in self._ahead if not isinstance(item, Message | SharedReply))
        self._backlog.clear()
        self.put_ahead(items)

    def queue(self, messages: Iterable[Message], now_ms: int) -> int:
        """Queues messages until the client reads again; returns how many older ones were dropped."""
        before = self._backlog.dropped
        for message in messages:
            self._backlog.push(message, now_ms)
        return self._backlog.dropped - before

    def lose(self, count: int) -> None:
        """Counts messages that were lost before they could be queued."""
        self._backlog.dropped += count

    def resume(self) -> None:
        """The peer has room again."""
        self._blocked_since_ms = None

    def pump(self, now_ms: int) -> int:
        """Writes what waits while the peer has room; returns the number of frames."""
        written = 0
        while self._blocked_since_ms is None:
            chunk = list(self._take_chunk())
            if not chunk:
                break
            self.write(b"".join(chunk), now_ms)
            written += len(chunk)
        return written

    def is_stuck(self, now_ms: int) -> bool:
        """Whether the client has been behind for too long."""
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
            return Reply(Lagged(self._backlog.take_dropped()))
        return self._backlog.pop() if self._backlog else None
