"""What a client of a hub makes of what it is sent: which news are new, what was missed, what the present is. Pure.

The order is that of `seq`, each message once: what comes again after a cut or in a snapshot is not told again. A line
begins with `?channels=…`, after a cut also `&resume_after=SEQ`, and with a request for the same channels: so nothing is
missed between the resumption and the request, and the answer to it says what venue this is.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from api.live.messages import IncomingMessage, News, decode, decode_body, decode_snapshot, ms_of
from api.live.state import TIMELESS, VenueState


class HubRefusal(Exception):  # noqa: N818 - it is an answer
    """The hub does not do what it was asked; the text says why."""


class Joined(Struct, frozen=True):
    """The line is up. Unless `resumed`, the state was replaced, and events may have been missed."""

    url: str
    venue: str
    resumed: bool


class Lost(Struct, frozen=True):
    """So many messages were lost here."""

    url: str
    dropped: int


class Cut(Struct, frozen=True):
    """The line is down; what is known stays, and ages."""

    url: str
    reason: str


LiveEvent: TypeAlias = News | Joined | Lost | Cut


class HubProtocol:
    """Follows one hub, line after line, and keeps its board."""

    def __init__(self, url: str, channels: tuple[str, ...]) -> None:
        self.url = url
        self.board = VenueState("")
        self.seq = 0
        """Number of the newest message that was heard."""
        self._channels = channels
        self._told = 0
        self._resuming = False
        self._placed = False  # whether what comes now adds to what the board knows
        self._whole = False  # whether the board knows all that there was

    def begin(self) -> dict[str, str]:
        """A new line begins: the query for its address."""
        if not self._whole:
            self.seq = 0
        self._resuming = self._placed = self.seq > 0
        query = {"channels": ",".join(self._channels)}
        return query | {"resume_after": str(self.seq)} if self.seq else query

    def end(self) -> None:
        """The line is cut: what the board knows is not known to be the present."""
        self.board.is_connected = False

    def request(self) -> str:
        """What to send first."""
        return msgspec.json.encode({"op": "subscribe", "channels": self._channels}).decode()

    def on_frame(self, frame: str | bytes) -> Iterator[LiveEvent]:
        """What a message says that was not known; `msgspec.DecodeError` when it is none, `HubRefusal` when the hub
        refuses.
        """
        heard = decode(frame)
        match heard.type:
            case "Subscribed":
                yield self._on_joined(decode_body("Subscribed", heard.data))
            case "Snapshot":
                yield from self._on_snapshot(heard)
            case "Reset":
                self._resuming = self._placed = self._whole = False
                self.seq = 0
            case "Lagged":
                yield Lost(self.url, heard.dropped)
            case "Error":
                raise HubRefusal(str(decode_body("Error", heard.data)))
            case _ if heard.seq > self.seq and self._placed:
                yield from self._take(heard)

    def _on_joined(self, data: Any) -> Joined:
        if not self._resuming:
            if self.board.venue != data.venue:
                self.board = VenueState(data.venue)
            self.board.forget()
            self._placed = True
        self.board.origin, self.board.is_connected = data.origin, True
        return Joined(self.url, data.venue, resumed=self._resuming)

    def _on_snapshot(self, heard: IncomingMessage) -> Iterator[News]:
        if not self._placed:
            return
        part = decode_snapshot(heard.data)
        if any(message.type not in TIMELESS for message in part.messages):
            self.board.clock.on_stamp(ms_of(heard.timestamp))
        for message in part.messages:
            if message.seq > self.seq:
                yield from self._take(message)
        if part.complete:
            self._whole = True
            self.seq = max(self.seq, heard.seq)

    def _take(self, heard: IncomingMessage) -> Iterator[News]:
        self.seq = heard.seq
        body = decode_body(heard.type, heard.data)
        news = News(self.board.venue, heard.type, body, ms_of(heard.timestamp), heard.seq)
        self.board.take(news)
        if news.seq > self._told:
            self._told = news.seq
            yield news
