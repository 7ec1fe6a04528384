"""Stateful reconnects: what was sent is kept until the client has it, and sent again over the connection that follows a
cut. Pure; time is an argument, ms of any monotonic clock.

Each side numbers its counted messages from 1: calls, items, completions and cancellations. The number is not on the
wire. `Ack` names the last one that has come. After a cut each side sends `Sequence`, the number of the counted message
that comes next, then again all that the other one has not acknowledged; what it has already, it drops. Sources:
dotnet/aspnetcore, `src/SignalR/docs/specs/HubProtocol.md`, "Stateful Reconnect"; `MessageBuffer` of @microsoft/signalr,
which sends the number of its first message where the specification leaves that open.
"""

from collections import deque
from typing import Final, NamedTuple

from api.signalr.protocol import (
    Ack,
    Cancellation,
    Close,
    Codec,
    Ignored,
    Incoming,
    Invocation,
    ProtocolError,
    Sequence,
)

KEPT_BYTES: Final = 1_048_576
"""What may be sent and not acknowledged, plus at most a write; then the client has no more room. The official clients
acknowledge once a second.
"""
WINDOW_MS: Final = 30_000
"""How long a client may be away before its connection ends."""


class _Written(NamedTuple):
    """Messages that were written together; they are kept and sent again together."""

    last: int
    """The number of the last one."""
    length: int
    """How many they are."""
    records: bytes


class Outbox:
    """What was sent, until the client has it."""

    def __init__(self, kept_bytes: int = KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._written: deque[_Written] = deque()
        self._sent = 0
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before the client acknowledges."""
        return self._bytes >= self._kept_bytes

    def put(self, records: bytes, count: int) -> None:
        """Keeps counted messages."""
        self._sent += count
        self._bytes += len(records)
        self._written.append(_Written(self._sent, count, records))

    def on_ack(self, number: int) -> None:
        """The client has all up to this number. `ProtocolError` for one that was never sent."""
        if number > self._sent:
            raise ProtocolError(f"message {number} is acknowledged, and {self._sent} were sent")
        while self._written and self._written[0].last <= number:
            self._bytes -= len(self._written.popleft().records)

    def unacknowledged(self) -> tuple[int, list[bytes]]:
        """What is to be sent again, after the number of its first message; that of the next one when it is nothing."""
        first = self._written[0].last - self._written[0].length + 1 if self._written else self._sent + 1
        return first, [written.records for written in self._written]


class Inbox:
    """Which messages of the client are new."""

    def __init__(self) -> None:
        self._next = 1
        self._received = 0
        self._acknowledged = 0
        self._awaits_sequence = False

    def on_cut(self) -> None:
        """What follows comes over another connection."""
        self._awaits_sequence = True

    def is_new(self, message: Incoming) -> bool:
        """Whether a message is to be served. Behind a cut nothing is before the `Sequence`; `ProtocolError` for one
        behind which messages are missing.
        """
        if isinstance(message, Sequence):
            self._on_sequence(message.number)
            return True
        if self._awaits_sequence or not isinstance(message, Invocation | Cancellation | Ignored):
            return not self._awaits_sequence or isinstance(message, Close)
        if isinstance(message, Ignored) and not message.is_counted:
            return True
        number, self._next = self._next, self._next + 1
        if number <= self._received:
            self._acknowledged = min(self._acknowledged, number - 1)  # it has not got the acknowledgement
            return False
        self._received = number
        return True

    def _on_sequence(self, number: int) -> None:
        if not self._awaits_sequence:
            raise ProtocolError("a Sequence is only the first message after a reconnect")
        if not 1 <= number <= self._received + 1:
            raise ProtocolError(f"message {number} would come after message {self._received}")
        self._awaits_sequence = False
        self._next = number

    def take_ack(self) -> int | None:
        """The number to acknowledge, once; None when there is nothing new."""
        if self._acknowledged == self._received:
            return None
        self._acknowledged = self._received
        return self._received


class Resumption:
    """Both directions of a connection that may be cut."""

    def __init__(self, codec: Codec) -> None:
        self._codec = codec
        self._inbox = Inbox()
        self._outbox = Outbox()
        self._away_since_ms: int | None = None

    @property
    def is_full(self) -> bool:
        """Whether nothing more may be sent before the client acknowledges."""
        return self._outbox.is_full

    def on_written(self, records: bytes) -> None:
        """Counted messages are sent, or would be if the client were there."""
        self._outbox.put(records, self._codec.count(records))

    def is_new(self, message: Incoming) -> bool:
        """Whether a message is to be served. `ProtocolError` ends the connection."""
        is_new = self._inbox.is_new(message)
        if is_new and isinstance(message, Ack):
            self._outbox.on_ack(message.number)
        return is_new

    def on_cut(self) -> None:
        """The messages that are read from now on come over another connection."""
        self._inbox.on_cut()

    def again(self) -> bytes:
        """What is written first to another connection."""
        self._away_since_ms = None
        number, written = self._outbox.unacknowledged()
        return b"".join((self._codec.sequence(number), *written))

    def take_ack(self) -> bytes:
        """The acknowledgement that is due; empty when none is."""
        number = self._inbox.take_ack()
        return b"" if number is None else self._codec.ack(number)

    def has_left(self, now_ms: int) -> bool:
        """Whether a client without connection has been away for too long."""
        if self._away_since_ms is None:
            self._away_since_ms = now_ms
        return now_ms - self._away_since_ms >= WINDOW_MS
