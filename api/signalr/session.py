"""One connection's protocol: handshake, then messages; when to send a ping, and when the client is silent for too long.
Pure: time is an argument, ms of any monotonic clock.
"""

from typing import Final

from api.signalr.protocol import MESSAGE_BYTES, Codec, Incoming, ProtocolError, read_handshake
from api.signalr.resumption import Resumption

KEEP_ALIVE_MS: Final = 15_000
"""Time without a message after which a ping is sent."""
SILENCE_MS: Final = 30_000
"""Longest time without a message of the client, which pings too."""
HANDSHAKE_MS: Final = 15_000
"""Longest time until the handshake."""
STATEFUL: Final = 2
"""Version of the protocol with stateful reconnects."""


class Session:
    """A connection from its begin."""

    def __init__(self, now_ms: int, *, may_resume: bool = False) -> None:
        """`may_resume`: the negotiation has granted stateful reconnects, should the handshake want them."""
        self.codec: Codec | None = None
        """That of the handshake; None before it."""
        self.resumption: Resumption | None = None
        """Since the handshake, where the client may come back."""
        self._may_resume = may_resume
        self._received_ms = now_ms
        self._sent_ms = now_ms

    def on_frame(self, data: bytes, now_ms: int) -> list[Incoming]:
        """The messages of a frame that are new, those beside the handshake too. `ProtocolError` ends the connection."""
        if len(data) > MESSAGE_BYTES:
            raise ProtocolError(f"more than {MESSAGE_BYTES} bytes")
        self._received_ms = now_ms
        if self.codec is not None:
            return self._new(self.codec.decode(data))
        codec, version, rest = read_handshake(data)
        messages = codec.decode(rest) if rest else []
        self.codec = codec
        if self._may_resume and version >= STATEFUL:
            self.resumption = Resumption(codec)
        return self._new(messages)

    def _new(self, messages: list[Incoming]) -> list[Incoming]:
        resumption = self.resumption
        return [message for message in messages if resumption.is_new(message)] if resumption else messages

    def on_sent(self, now_ms: int) -> None:
        """Something was sent."""
        self._sent_ms = now_ms

    def on_seen(self, now_ms: int) -> None:
        """The client is there, although it said nothing. This is no handshake, and does not put off its end."""
        if self.codec is not None:
            self._received_ms = now_ms

    def wants_ping(self, now_ms: int) -> bool:
        """Whether it is time for a ping."""
        return self.codec is not None and now_ms - self._sent_ms >= KEEP_ALIVE_MS

    def is_silent(self, now_ms: int) -> bool:
        """Whether the client said nothing for too long."""
        return now_ms - self._received_ms >= (HANDSHAKE_MS if self.codec is None else SILENCE_MS)
