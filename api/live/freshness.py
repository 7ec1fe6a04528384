"""How current an answer is, decided here alone, by the states and heartbeats that the flow publishes. Pure.

A published state is valid while heartbeats arrive. Without them, or without the hub, the state is `unknown`, however
recent the data is. Where a flow publishes no states, the age of the data decides.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec import Struct

from api.live.state import VenueState
from sinks.hub.payloads import ChannelBody, InstrumentBody, iso_utc

UNKNOWN_MS: Final = 2_000
"""Time without a heartbeat after which the state is `unknown`: two heartbeats."""
UNKNOWN: Final = "unknown"
CURRENT: Final = ("live", "quiet")
"""States in which data is current."""
OF_PRICE: Final = ("trades", "klines", "ticker")
"""Channels that a price comes from, best first."""
OF_TRADES: Final = ("trades",)
OF_CANDLES: Final = ("trades", "klines")
OF_BOOK: Final = ("book", "best")
OF_MARK: Final = ("mark",)
OF_LIQUIDATIONS: Final = ("liquidations",)


class State(Struct, frozen=True):
    """State of an instrument or of one of its channels: a state of the model, or `unknown`. `since` is ISO-8601 in the
    venue's time, None when unknown.
    """

    state: str
    since: str | None = None
    reason: str = ""

    @property
    def is_current(self) -> bool:
        """Whether the data is current."""
        return self.state in CURRENT


def now_ms(venue_states: Iterable[VenueState]) -> int | None:
    """The venue's time, ms UTC; None while no hub has reported it."""
    return max((venue_state.clock.now_ms for venue_state in venue_states), default=0) or None


def age_ms(venue_states: Iterable[VenueState], time_ms: int) -> int | None:
    """Milliseconds since a moment of the venue's time; None while no hub has reported that time."""
    now = now_ms(venue_states)
    return None if now is None else max(0, now - time_ms)


def state_of(venue_states: Iterable[VenueState], symbol: str, channels: Sequence[str] = ()) -> State | None:
    """State of the first of these channels that the instrument has; of the instrument where none is named or it has
    none of them. None: the flow publishes no states.
    """
    venue_state = _venue_state_of(list(venue_states), symbol)
    if venue_state is None:
        return State(UNKNOWN, reason="no hub tells of it")
    if unknown := unknown_state(venue_state):
        return unknown
    if not venue_state.publishes_states:
        return None
    body = venue_state.states.get(symbol)
    if body is None:
        return State(UNKNOWN, reason="the flow says nothing of it")
    found = _first(body, channels) or body
    return State(found.state, found.since, found.reason)


def channel_state_of(venue_states: Iterable[VenueState], symbol: str, channels: Sequence[str]) -> State | None:
    """The same for a channel that an instrument need not have: None also where it has none of these."""
    known = list(venue_states)
    state = state_of(known, symbol, channels)
    venue_state = _venue_state_of(known, symbol)
    body = venue_state.states.get(symbol) if venue_state else None
    has_channel = body is None or _first(body, channels) is not None
    return state if state is None or state.state == UNKNOWN or has_channel else None


def account_state_of(venue_state: VenueState, account: str) -> State:
    """State of an account: whether what is known of it is the venue's."""
    if unknown := unknown_state(venue_state):
        return unknown
    found = venue_state.of_accounts("Account", account)
    if not found:
        return State(UNKNOWN, reason="the flow says nothing of it")
    body = found[0].body
    return State(body.state, body.since, body.reason)


def unknown_state(venue_state: VenueState) -> State | None:
    """The `unknown` state with its reason while a flow's states are not valid; None while they are."""
    if not venue_state.is_connected:
        return State(UNKNOWN, _last_heartbeat(venue_state), "the hub is not reached")
    is_silent = venue_state.clock.silent_ms > UNKNOWN_MS if venue_state.clock.is_alive else bool(venue_state.states)
    if is_silent:
        return State(UNKNOWN, _last_heartbeat(venue_state), "the flow gives no sign of life")
    return None


def clock_of(venue_states: Iterable[VenueState], symbol: str) -> str | None:
    """The clock that ages of an instrument are counted on."""
    venue_state = _venue_state_of(list(venue_states), symbol)
    return clock_name(venue_state) if venue_state else None


def clock_name(venue_state: VenueState) -> str | None:
    """`sure`, or `unsure` while the venue's time is only carried on by a local clock, as it is without the flow's
    heartbeats; None where the flow publishes no states.
    """
    if not venue_state.publishes_states:
        return None
    return "sure" if venue_state.clock.is_sure and unknown_state(venue_state) is None else "unsure"


def is_stale(state: State | None, age: int | None, limit_ms: int) -> bool:
    """Whether data is not current; its age (ms) counts only where the flow publishes no states."""
    if state is None:
        return age is None or age > limit_ms
    return not state.is_current


def state_name(state: State | None) -> str | None:
    """The state's name as responses contain it."""
    return state.state if state else None


def _venue_state_of(venue_states: list[VenueState], symbol: str) -> VenueState | None:
    """The hub that reports an instrument, connected ones first."""
    if len(venue_states) == 1:
        return venue_states[0]
    candidates = [venue_state for venue_state in venue_states if symbol in venue_state.states] or [
        b for b in venue_states if symbol in b.symbols()
    ]
    return max(candidates or venue_states, key=lambda venue_state: venue_state.is_connected, default=None)


def _first(body: InstrumentBody, channels: Sequence[str]) -> ChannelBody | None:
    for name in channels:  # two or three of a handful: a loop costs less than a mapping
        for channel in body.channels:
            if channel.channel == name:
                return channel
    return None


def _last_heartbeat(venue_state: VenueState) -> str | None:
    now = venue_state.clock.now_ms
    return iso_utc(now - venue_state.clock.silent_ms) if now else None
