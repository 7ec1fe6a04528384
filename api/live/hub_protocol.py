"""The client side of the hub's protocol: new messages, lost messages, current state. Pure.

Messages are yielded in the order of `seq`, each once: repetitions after a reconnect or in a snapshot are dropped. A
connection begins with `?channels=…`, after a disconnect also `&resume_after=SEQ`, and with a request for the same
channels: so nothing is missed between the resumption and the request, and its reply names the venue. Channels of
accounts are optional: without the right to them the others come all the same.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from api.live.messages import HubMessage, IncomingMessage, decode, decode_body, decode_snapshot, ms_of
from api.live.state import TIMELESS, VenueState
from sinks.hub.rights import ACCOUNT_CHANNELS


class HubRefusal(Exception):  # noqa: N818 - a reply of the hub
    """The hub refused the request; the text is its reason."""


class Joined(Struct, frozen=True):
    """The hub is connected, or has begun anew meanwhile. Unless `resumed`, the state is replaced, and events may have
    been missed.
    """

    url: str
    venue: str
    resumed: bool


class Lost(Struct, frozen=True):
    """`dropped` messages were lost at this point."""

    url: str
    dropped: int
    seq: int = 0
    """On a bus: the number of the message that says so."""


class Cut(Struct, frozen=True):
    """The connection is lost; the state stays, and ages."""

    url: str
    reason: str


class Replaced(Struct, frozen=True):
    """The state of the hub after a `Joined` that did not resume: the messages of its snapshot, new or not."""

    url: str
    messages: tuple[HubMessage, ...]


class Earlier(Struct, frozen=True):
    """Messages of a bus from before the state that was just read, without a gap up to it: for who resumes there."""

    url: str
    messages: tuple[HubMessage, ...]
    seq: int
    """The number of the stream up to which they go."""


LiveEvent: TypeAlias = HubMessage | Joined | Replaced | Earlier | Lost | Cut


class HubProtocol:
    """Follows one hub over successive connections and keeps the state of each of its venues."""

    def __init__(self, url: str, channels: tuple[str, ...]) -> None:
        self.url = url
        self._states = {"": VenueState("")}
        self.seq = 0
        """Sequence number of the newest message received."""
        optional = [channel for channel in channels if channel in ACCOUNT_CHANNELS]
        self._wanted = {"channels": [channel for channel in channels if channel not in optional]}
        if optional:
            self._wanted["optional"] = optional
        self._yielded_seq = 0
        self._resuming = False
        self._joined = False  # whether this connection's request is answered
        self._placed = False  # whether messages apply to the state held
        self._is_complete = False  # whether a whole snapshot was received
        self._shown: list[HubMessage] = []  # of the snapshot that replaces the state, until it is complete

    @property
    def venue_states(self) -> list[VenueState]:
        """The states of the hub's venues, one without a name before the first answer."""
        return list(self._states.values())

    @property
    def venue_state(self) -> VenueState:
        """That of the hub's first venue."""
        return next(iter(self._states.values()))

    def begin(self) -> dict[str, str]:
        """Begins a connection; returns the query for its URL."""
        if not self._is_complete:
            self.seq = 0
        self._resuming = self._placed = self.seq > 0
        self._joined = False
        query = {name: ",".join(channels) for name, channels in self._wanted.items()}
        return query | {"resume_after": str(self.seq)} if self.seq else query

    def end(self) -> None:
        """Ends a connection: the state is not known to be current."""
        for state in self._states.values():
            state.is_connected = False

    def request(self) -> str:
        """The first message to send."""
        return msgspec.json.encode({"op": "subscribe", **self._wanted}).decode()

    def on_frame(self, frame: str | bytes) -> Iterator[LiveEvent]:
        """The new events of a frame. `msgspec.DecodeError` when it is invalid, `HubRefusal` when the hub refuses."""
        message = decode(frame)
        match message.type:
            case "Subscribed":
                yield self._on_joined(decode_body("Subscribed", message.data))
            case "Snapshot":
                yield from self._on_snapshot(message)
            case "Reset":
                yield from self._on_reset()
            case "Lagged":
                yield Lost(self.url, message.dropped)
            case "Error":
                raise HubRefusal(str(decode_body("Error", message.data)))
            case _ if message.seq > self.seq and self._placed:
                yield from self._new(self._applied(message))

    def _on_joined(self, data: Any) -> Joined:
        origins: dict[str, str] = data.origins or {data.venue: data.origin}
        self._joined = True
        if not self._resuming:
            self._states = {venue: self._states.get(venue) or VenueState(venue) for venue in origins}
            self._begin_anew()
        for venue, state in self._states.items():
            state.origin, state.is_connected = origins.get(venue, state.origin), True
        return Joined(self.url, data.venue, resumed=self._resuming)

    def _on_reset(self) -> Iterator[Joined]:
        """All state is void. The new one follows: at once, or in answer to the request where that is still to come."""
        self._resuming = self._placed = self._is_complete = False
        self.seq = 0
        if self._joined:
            self._begin_anew()
            yield Joined(self.url, self.venue_state.venue, resumed=False)

    def _begin_anew(self) -> None:
        for state in self._states.values():
            state.forget()
        self._placed = True
        self._shown = []

    def _on_snapshot(self, message: IncomingMessage) -> Iterator[LiveEvent]:
        if not self._placed:
            return
        part = decode_snapshot(message.data)
        if any(one.type not in TIMELESS for one in part.messages):
            self.venue_state.clock.on_stamp(ms_of(message.timestamp))  # of the first venue's clock
        for one in part.messages:
            if one.seq > self.seq:
                taken = self._applied(one)
                if not self._resuming:
                    self._shown.append(taken)
                yield from self._new(taken)
        if part.complete:
            self._is_complete = True
            self.seq = max(self.seq, message.seq)
            if not self._resuming:
                shown, self._shown = tuple(self._shown), []
                yield Replaced(self.url, shown)

    def _applied(self, message: IncomingMessage) -> HubMessage:
        self.seq = message.seq
        body = decode_body(message.type, message.data)
        named = body.get("venue") if isinstance(body, dict) else getattr(body, "venue", None)
        state = self._states.get(str(named)) or self.venue_state
        taken = HubMessage(state.venue, message.type, body, ms_of(message.timestamp), message.seq, self.url)
        state.take(taken)
        return taken

    def _new(self, taken: HubMessage) -> Iterator[HubMessage]:
        if taken.seq > self._yielded_seq:
            self._yielded_seq = taken.seq
            yield taken
