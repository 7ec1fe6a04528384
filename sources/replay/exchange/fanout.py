"""Who listens to what: every message is encoded once for each form, and written once a turn to each client."""

from collections.abc import Iterable
from typing import Protocol

from sources.replay.market.market import Message
from sources.replay.protocol.frames import Form, encode_message


class Listener(Protocol):
    """A client, as the audience sees it."""

    @property
    def form(self) -> Form:
        """How it wants its messages."""

    @property
    def delivered(self) -> frozenset[str]:
        """The streams that it gets."""

    def take(self, frame: bytes) -> None:
        """Gets a frame, to be held until the end of the turn."""

    def flush(self) -> None:
        """The turn is over."""


class Fanout:
    """The clients by stream and form."""

    def __init__(self) -> None:
        self._places: dict[Listener, tuple[Form, frozenset[str]]] = {}
        self._by_stream: dict[str, dict[Form, list[Listener]]] = {}

    @property
    def streams(self) -> frozenset[str]:
        """Every stream that somebody gets."""
        return frozenset(self._by_stream)

    def wants(self, stream: str) -> bool:
        """Whether anybody gets a stream."""
        return stream in self._by_stream

    def seat(self, listener: Listener) -> None:
        """Takes note of what a listener wants now, in place of what it wanted before."""
        self.dismiss(listener)
        form, streams = listener.form, listener.delivered
        self._places[listener] = (form, streams)
        for stream in streams:
            self._by_stream.setdefault(stream, {}).setdefault(form, []).append(listener)

    def dismiss(self, listener: Listener) -> None:
        """Forgets a listener."""
        place = self._places.pop(listener, None)
        if place is None:
            return
        form, streams = place
        for stream in streams:
            forms = self._by_stream[stream]
            forms[form].remove(listener)
            if not forms[form]:
                del forms[form]
            if not forms:
                del self._by_stream[stream]

    def deliver(self, messages: Iterable[Message]) -> None:
        """Hands the messages of one turn to those who want them, in order."""
        by_stream = self._by_stream
        for message in messages:
            for form, listeners in by_stream.get(message.stream, {}).items():
                frame = encode_message(message, form)
                for listener in listeners:
                    listener.take(frame)
        for listener in self._places:
            listener.flush()
