"""The state of what the flows of a bus publish: new messages, lost messages, current state. Pure.

Several flows may publish about one venue, each with a part of its symbols, so every flow has a state of its own: what
one still says tells nothing of another's instruments. A heartbeat counts only when it comes; an old one that the stream
still has is no sign of life.
"""

from collections.abc import Iterable, Iterator
from typing import Final

from api.live.hub_protocol import Earlier, Joined, LiveEvent, Lost, Replaced
from api.live.messages import HubMessage, decode, decode_body, ms_of
from api.live.state import VenueState
from flows.model import timeframe_ms
from sinks.bus.stored import Stored
from sinks.bus.subjects import LOST, channel_of, venue_of
from sinks.bus.unreadable import Unreadable
from sinks.hub.payloads import CandleBody, ChartUpdateBody, HeartbeatBody, InstrumentBody

_UNREADABLE: Final = (ValueError, KeyError, TypeError, OverflowError, RecursionError)
"""Of a message that no flow has published; msgspec's are ValueErrors."""


class BusProtocol:
    """Follows the stream over successive connections."""

    def __init__(self, url: str, venues: Iterable[str]) -> None:
        """`venues` are those expected: each is missing until a flow has published about it."""
        self.url = url
        self.seq = 0
        """Number of the newest message received."""
        self.has_begun = False
        """Whether the state was read once."""
        self._states: dict[tuple[str, str], VenueState] = {}
        self._absent = {venue: VenueState(venue) for venue in venues}
        for state in self._absent.values():
            state.is_connected = False
        self._flow_of: dict[tuple[str, str], str] = {}
        self._unreadable = Unreadable()

    @property
    def venue_states(self) -> list[VenueState]:
        """By flow and venue; one that is not connected for each venue about which no flow has published."""
        return [*self._states.values(), *self._absent.values()]

    @property
    def absent(self) -> list[str]:
        """The venues about which no flow has published."""
        return list(self._absent)

    def begin(self, newest: Iterable[Stored], seq: int) -> Iterator[LiveEvent]:
        """Takes the newest message of every subject, as of number `seq`: they replace the state."""
        for state in self._states.values():
            state.forget()
        self.has_begun = True
        self.on_connection(is_up=True)
        taken = [self._applied(one, is_new=False) for one in newest if channel_of(one.subject) != LOST]
        shown = tuple(one for one in taken if one and not isinstance(one.body, HeartbeatBody))
        self.seq = seq
        yield Joined(self.url, self.venue_states[0].venue, resumed=False)
        yield from shown
        yield Replaced(self.url, shown)

    def resume(self) -> Joined:
        """The connection goes on behind the newest message."""
        self.on_connection(is_up=True)
        return Joined(self.url, self.venue_states[0].venue, resumed=True)

    def on_connection(self, *, is_up: bool) -> None:
        """The connection was opened, or is lost."""
        for state in self._states.values():
            state.is_connected = is_up

    def earlier(self, stored: Iterable[Stored]) -> Earlier:
        """Messages from before the state, which they do not change. No client can resume from before a loss, so what
        came before one is left out.
        """
        some = list(stored)
        lost = max((place for place, one in enumerate(some, 1) if channel_of(one.subject) == LOST), default=0)
        read = [self._read(one) for one in some[lost:]]
        return Earlier(self.url, tuple(one for one in read if one), self.seq)

    def on_message(self, stored: Stored) -> Iterator[LiveEvent]:
        """The events of a new message."""
        if stored.seq <= self.seq:
            return
        self.seq = stored.seq
        if channel_of(stored.subject) == LOST:
            taken: LiveEvent | None = self._lost(stored)
        else:
            taken = self._applied(stored, is_new=True)
        if taken:
            yield taken

    def _lost(self, stored: Stored) -> Lost | None:
        try:
            messages = int(decode_body(LOST, decode(stored.body).data)["messages"])
        except _UNREADABLE as error:
            self._unreadable.count(stored.subject, error)
            return None
        return Lost(self.url, messages, stored.seq)

    def _applied(self, stored: Stored, *, is_new: bool) -> HubMessage | None:
        message = self._read(stored)
        if message and (is_new or not isinstance(message.body, HeartbeatBody)):
            state = self._state_of(message)
            try:
                state.take(message)
            except _UNREADABLE as error:
                self._unreadable.count(stored.subject, error)
                return None
            if isinstance(message.body, InstrumentBody):
                self._own(message)
        return message

    def _state_of(self, message: HubMessage) -> VenueState:
        key = message.flow, message.venue
        found = self._states.get(key)
        if found is None:
            absent = self._absent.pop(message.venue, None)
            found = self._states[key] = absent or VenueState(message.venue)
            found.is_connected = True
        return found

    def _own(self, message: HubMessage) -> None:
        """An instrument belongs to the flow that published its state last."""
        key = message.venue, message.symbol
        before = self._flow_of.get(key, message.flow)
        self._flow_of[key] = message.flow
        if before != message.flow:
            self._states[before, message.venue].drop(message.symbol)

    def _read(self, stored: Stored) -> HubMessage | None:
        """The message; None for one that cannot be read, which is logged."""
        try:
            envelope = decode(stored.body)
            body = decode_body(envelope.type, envelope.data)
            if isinstance(body, CandleBody | ChartUpdateBody):
                timeframe_ms(body.timeframe)  # one that is none has no place among the candles
            venue, stamp = venue_of(stored.subject), ms_of(envelope.timestamp)
        except _UNREADABLE as error:
            self._unreadable.count(stored.subject, error)
            return None
        return HubMessage(venue, envelope.type, body, stamp, stored.seq, self.url, envelope.flow)
