"""Messages of one partition of a topic become what connections hand on: frames by line, events of their lines. Pure."""

from collections import Counter
from collections.abc import Iterable
from typing import Any, Final, Protocol

from flows.kafka.frames import Frame, NotAFrame, frame_of
from flows.model import Connected, Disconnected, RawFrames, Rejected, Removed, Subscribed
from sources.frames import KEPT_BYTES
from sources.kafka.channels import Channels

MOST_REJECTED: Final = 20
"""Refused messages of a poll that are handed on one by one; of more, those of a reason are counted as one."""


class TopicMessage(Protocol):
    """A message as the client library or the engine's connector has it."""

    @property
    def value(self) -> Any:
        """Its bytes; None for a tombstone."""

    @property
    def headers(self) -> Any:
        """Pairs of name and bytes."""


class FrameReader:
    """Reads one partition. A line of an instrument is up from its first frame on, until `went_down`."""

    def __init__(self, venue: str, channels: Channels, *, url: str) -> None:
        self._venue = venue
        self._name = venue.encode()
        self._channels = channels
        self._url = url
        self._live: dict[tuple[str, str], tuple[str, ...]] = {}
        """Lines and symbols that are up, with the kinds of their streams."""
        self._names: dict[str, Any] = {}
        self.not_followed = 0
        """Frames of streams that are not followed."""
        self.refused = 0

    def frame(self, message: TopicMessage) -> Frame | Rejected:
        """The frame that a message is, or why it is none."""
        try:
            return frame_of(self._name, message.headers, message.value)
        except NotAFrame as error:
            value = message.value
            return Rejected(self._venue, f"a message of the topic: {error}", (value or b"")[:KEPT_BYTES], 0)

    def read(self, found: Iterable[Frame | Rejected]) -> list[Any]:
        """Events and frames in their order, the frames of a line together."""
        channels = self._channels
        by_name, channel_of = channels.by_name, channels.channel_of
        out: list[Any] = list(self._ended())
        by_line: dict[str, list[Frame]] = {}
        rejected: list[Rejected] = []
        for one in found:
            if isinstance(one, Rejected):
                rejected.append(one)
                continue
            name = channel_of(one.payload)
            channel = by_name.get(name)
            if channel is not None:
                line = channel.line
                if (line, channel.symbol) not in self._live and channel.symbol:
                    out += self._came_up(line, channel.symbol)
            elif name:
                self.not_followed += 1
                continue
            elif one.line in channels.names:
                line = one.line  # the parser says what is wrong with it
            else:
                reason = "a message of the topic: it names no stream, and its line is none that is followed"
                rejected.append(Rejected(self._venue, reason, one.payload[:KEPT_BYTES], one.received_ns))
                continue
            by_line.setdefault(line, []).append(one)
        for line, frames in by_line.items():
            payloads = [frame.payload for frame in frames]
            out.append(RawFrames(line, payloads, frames[-1].received_ns, channels.names.get(line)))
        return out + self._counted(rejected)

    def went_down(self, reason: str) -> list[Disconnected]:
        """The lines that were up are not any more."""
        by_line: dict[str, list[str]] = {}
        for line, symbol in self._live:
            by_line.setdefault(line, []).append(symbol)
        self._live.clear()
        return [Disconnected(line, tuple(symbols), reason) for line, symbols in by_line.items()]

    def _came_up(self, line: str, symbol: str) -> list[Connected | Subscribed]:
        streams = dict(self._channels.of_symbol(line, symbol))
        self._live[line, symbol] = tuple(one.kind for one in streams.values())
        return [Connected(line, (symbol,), self._url), Subscribed(line, (symbol,), tuple(streams))]

    def _ended(self) -> Iterable[Removed]:
        """Instruments that are not followed any more."""
        if self._names is self._channels.names:
            return
        self._names = self._channels.names
        followed = {(one.line, one.symbol) for one in self._channels.by_name.values()}
        symbols = {symbol for _, symbol in followed}
        for line, symbol in [one for one in self._live if one not in followed]:
            kinds = self._live.pop((line, symbol))
            yield Removed(line, (symbol,), kinds, is_gone=symbol not in symbols)

    def _counted(self, rejected: list[Rejected]) -> list[Rejected]:
        self.refused += len(rejected)
        if len(rejected) <= MOST_REJECTED:
            return rejected
        counts = Counter(one.reason for one in rejected)
        newest = {one.reason: one for one in rejected}
        return [
            Rejected(one.venue, reason, one.payload, one.received_ns, count=counts[reason])
            for reason, one in newest.items()
        ]
