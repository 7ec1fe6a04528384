"""Delivers messages to subscribers: encoded once per encoding, written once per turn and client."""

from collections.abc import Iterable
from typing import NamedTuple, Protocol

from sources.replay.market.market import Message
from sources.replay.protocol.conversation import FrameEncoding, Joining, Numbered


class Subscriber(Protocol):
    """A client, as the fanout sees it."""

    @property
    def encoding(self) -> FrameEncoding:
        """The encoding of its messages."""

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it."""

    def take(self, frame: bytes) -> None:
        """Buffers a frame until the end of the turn."""

    def flush(self) -> None:
        """Ends the turn: writes the buffered frames."""


class _Run(NamedTuple):
    """Messages of a stream in a turn that share a frame."""

    key: object
    messages: list[Message]


class Fanout:
    """The subscribers by stream and encoding."""

    def __init__(self) -> None:
        self._subscribed: dict[Subscriber, tuple[FrameEncoding, frozenset[str]]] = {}
        self._by_stream: dict[str, dict[FrameEncoding, list[Subscriber]]] = {}
        self._numbered = 0

    @property
    def streams(self) -> frozenset[str]:
        """Every stream with a subscriber."""
        return frozenset(self._by_stream)

    def wants(self, stream: str) -> bool:
        """Whether a stream has a subscriber."""
        return stream in self._by_stream

    def subscribe(self, subscriber: Subscriber) -> None:
        """Replaces the registration of a subscriber by its present streams and encoding."""
        self.unsubscribe(subscriber)
        encoding, streams = subscriber.encoding, subscriber.delivered
        self._subscribed[subscriber] = (encoding, streams)
        self._numbered += isinstance(encoding, Numbered)
        for stream in streams:
            self._by_stream.setdefault(stream, {}).setdefault(encoding, []).append(subscriber)

    def unsubscribe(self, subscriber: Subscriber) -> None:
        """Removes a subscriber; does nothing for an unknown one."""
        place = self._subscribed.pop(subscriber, None)
        if place is None:
            return
        encoding, streams = place
        self._numbered -= isinstance(encoding, Numbered)
        for stream in streams:
            encodings = self._by_stream[stream]
            encodings[encoding].remove(subscriber)
            if not encodings[encoding]:
                del encodings[encoding]
            if not encodings:
                del self._by_stream[stream]

    def numbered(self, messages: list[Message]) -> list[Message]:
        """The messages with their numbers on every connection that numbers what it is sent."""
        if not self._numbered:
            return messages
        return [message._replace(numbers=self._numbers_of(message.stream)) for message in messages]

    def _join(self, encoding: Joining, message: Message, waiting: dict[tuple[Joining, str], _Run]) -> None:
        """Adds a message to those of its stream that wait for the end of their frame, or begins another one."""
        place, key = (encoding, message.stream), encoding.key(message)
        run = waiting.get(place)
        if run is not None and run.key == key is not None:
            run.messages.append(message)
            return
        if run is not None:
            self._send(encoding, message.stream, run)
        waiting[place] = _Run(key, [message])

    def _send(self, encoding: Joining, stream: str, run: _Run) -> None:
        frame = encoding.joined(run.messages)
        for subscriber in self._by_stream[stream][encoding]:
            subscriber.take(frame)

    def _numbers_of(self, stream: str) -> dict[object, int]:
        encodings = self._by_stream.get(stream, {})
        return {
            encoding: encoding.take()
            for encoding in encodings
            if isinstance(encoding, Numbered) and encoding.numbers(stream)
        }

    def deliver(self, messages: Iterable[Message]) -> None:
        """Delivers the messages of one turn to their subscribers, those of a stream in order."""
        by_stream = self._by_stream
        waiting: dict[tuple[Joining, str], _Run] = {}
        for message in messages:
            for encoding, subscribers in by_stream.get(message.stream, {}).items():
                if isinstance(encoding, Joining):
                    self._join(encoding, message, waiting)
                    continue
                frame = encoding.frame(message)
                for subscriber in subscribers:
                    subscriber.take(frame)
        for (encoding, stream), run in waiting.items():
            self._send(encoding, stream, run)
        for subscriber in self._subscribed:
            subscriber.flush()
