"""Messages to one client alone: replies, the snapshot, and notices about its own connection.

None of them has a number of its own: `seq`, where present, is that of the hub's latest message; every later message to
the client has a higher one.
"""

from collections.abc import Mapping
from typing import Final

from msgspec import Struct

from flows.model import timeframe_ms
from sinks.hub.messages import CHANNELS, Encoding, Envelope, encode, is_shared
from sinks.hub.rights import Rights
from sinks.hub.subscription import Rule

SNAPSHOT_PART: Final = 200
"""Messages in one part of a snapshot: well below the size that clients accept by default."""


class Reply(Struct, frozen=True):
    """A message to one client, encoded when it is sent; an answer, or a notice about its connection."""

    body: Struct

    def frame(self, encoding: Encoding) -> bytes:
        """The finished WebSocket frame."""
        return encode(self.body, encoding)


class SharedReply(Struct, eq=False):
    """A message to several clients, encoded once for all of them; a part of the state, or a notice about it."""

    body: Struct
    _frames: dict[Encoding, bytes] = {}

    def frame(self, encoding: Encoding) -> bytes:
        """The finished WebSocket frame."""
        frame = self._frames.get(encoding)
        if frame is None:
            frame = encode(self.body, encoding)
            if is_shared(encoding):
                self._frames[encoding] = frame
        return frame


class Reset(Struct, frozen=True, tag="Reset"):
    """`{"type":"Reset"}`: the missed messages are no longer held; drop all state, the snapshot follows."""


class Lagged(Struct, frozen=True, tag="Lagged"):
    """`{"type":"Lagged","dropped":N}`: N messages were lost between the one before and the one after this."""

    dropped: int


class SubscribedData(Struct, frozen=True):
    """A request as it was understood; null stands for all. `venue` and `origin` are those of
    the hub's first venue.
    """

    channels: list[str]
    symbols: list[str] | None
    timeframes: list[str] | None
    venue: str
    origin: str
    venues: list[str] | None = None
    origins: dict[str, str] = {}
    """The origin of each venue of the hub."""
    rights: list[str] = []
    """The rights of the client."""

    @classmethod
    def of(cls, rule: Rule, origins: Mapping[str, str], rights: Rights) -> "SubscribedData":
        """From the rule made of the request, and the rights of its client."""
        symbols = None if rule.symbols is None else sorted(rule.symbols)
        timeframes = None if rule.timeframes is None else sorted(rule.timeframes, key=timeframe_ms)
        venues = None if rule.venues is None else sorted(rule.venues)
        channels, (venue, origin) = sorted(rule.channels, key=CHANNELS.index), next(iter(origins.items()))
        return cls(channels, symbols, timeframes, venue, origin, venues, dict(origins), sorted(rights))


class SnapshotData(Struct, frozen=True):
    """The latest messages of the subscription, as they were sent, in the order of `seq`. `complete` marks the last
    part.
    """

    messages: list[Envelope]
    complete: bool


def snapshot_parts(envelopes: list[Envelope]) -> list[SnapshotData]:
    """The messages in parts of at most `SNAPSHOT_PART`; one empty part when there are none."""
    begins = range(0, max(len(envelopes), 1), SNAPSHOT_PART)
    return [SnapshotData(envelopes[begin : begin + SNAPSHOT_PART], complete=begin == begins[-1]) for begin in begins]


class ErrorData(Struct, frozen=True):
    """Why a request was refused."""

    reason: str


class Pong(Struct, frozen=True, tag="Pong"):
    """The answer to `ping`."""

    timestamp: str
    seq: int
