"""What a venue's protocol answers to one client, as the exchange and its faults need it."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import msgspec

from flows.websocket import BINARY, TEXT, encode_frame
from sources.replay.market.market import Message


class Refused(NamedTuple):
    """An order to refuse streams of a request."""

    streams: frozenset[str]
    """Names, as in `Requests.requested`."""
    form: str
    """`wrapped` or `flat`: an error, in the venue's form where it has one alone. `silent`: acknowledged, no effect."""
    code: int
    text: str
    """Of the error; empty: the venue's usual one."""


class Requests(Protocol):
    """The requests of one client on its WebSocket connection. Nothing raises, whatever the text."""

    def answer(self, text: str | bytes) -> tuple[bytes, ...]:
        """Executes a request; the replies to send."""

    def requested(self, text: str | bytes) -> list[str]:
        """The streams that a request would subscribe."""

    def request_id(self, text: str | bytes) -> Any:
        """The id of a request as it was sent; None without one."""

    def refuse(self, text: str | bytes, order: Refused) -> tuple[bytes, ...]:
        """Executes a request that subscribes without the refused streams, or not at all; the replies to send."""


class FrameEncoding(Protocol):
    """How a client wants its messages. Clients with equal encodings share their frames."""

    def __hash__(self) -> int: ...

    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one message."""


class Numbered:
    """The encoding of one connection whose messages are numbered, whatever their stream; its replies are too.

    A message gets its number before faults act, so that one that is lost leaves a gap. Those that faults add count too:
    all that follow have higher numbers than they were given.
    """

    first = 0
    """The number of the first message."""

    def __init__(self) -> None:
        self._next = self.first
        self._added = 0

    def numbers(self, stream: str) -> bool:
        """Whether messages of a stream are numbered: here all are."""
        del stream
        return True

    def take(self) -> int:
        """The next number, without those of added messages."""
        number, self._next = self._next, self._next + 1
        return number

    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one message."""
        number = message.numbers.get(self) if message.numbers else None
        data = message.data if message.frame is None else message.frame
        if not self.numbers(message.stream):
            return encode_frame(data, BINARY if message.is_binary else TEXT)
        sent = self.payload(data, (self.take() if number is None else number) + self._added)
        self._added += message.is_added and sent != data
        return encode_frame(sent, BINARY if message.is_binary else TEXT)

    def numbered(self, reply: bytes) -> bytes:
        """A reply with the next number."""
        return self.payload(reply, self.take() + self._added)

    def payload(self, data: bytes, number: int) -> bytes:
        """A payload with its number; as it is where it has no place for one."""
        raise NotImplementedError


class Joining(ABC):
    """An encoding whose frames may hold several messages of a stream."""

    @abstractmethod
    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one message."""

    @abstractmethod
    def key(self, message: Message) -> object:
        """Messages of a stream that follow one another with the same key share a frame; None: this one is alone."""

    @abstractmethod
    def joined(self, messages: Sequence[Message]) -> bytes:
        """The WebSocket frame of messages with the same key."""


class Conversation(Requests, Protocol):
    """The subscriptions of one client."""

    @property
    def encoding(self) -> FrameEncoding:
        """The encoding of its messages."""

    @property
    def delivered(self) -> frozenset[str]:
        """The streams delivered to it."""

    @property
    def counts_requests(self) -> bool:
        """Whether its requests count among the messages that a client may send in a second."""

    def greet(self) -> tuple[bytes, ...]:
        """What is sent when the connection is open."""

    def report(self) -> dict[str, Any]:
        """Its part of the exchange's state."""


def decode_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON text holds; an empty one when it holds none."""
    try:
        request = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return {}
    return request if isinstance(request, dict) else {}
