"""What of a deployment is up and current: `/health/ready`, the metrics and the outgoing heartbeat say the same."""

from typing import Final

from msgspec import Struct

from api.live.connection import ConnectionState
from api.live.freshness import UNKNOWN_MS, State, unknown_state
from api.live.messages import ms_of
from api.live.state import VenueState
from api.live.view import LiveView
from api.stores.health import Dependency
from api.stores.mongo import MongoStore
from api.stores.trades import TradeArchive
from flows.settings import Settings
from sinks.hub.payloads import ChannelBody, iso_utc

NAMES_SHOWN: Final = 5
"""Symbols that are named of those in the same state."""


class Part(Struct, frozen=True):
    """A dependency of the API. `since` is its last change; `reason` says why it is down."""

    name: str
    up: bool
    since: str
    reason: str


class InstrumentState(Struct, frozen=True):
    """State of an instrument: `live`, `quiet` (nothing happens, and another source confirms it), or what is wrong;
    `unknown` without heartbeats of the flow. It is the worst state of its `channels`, as last published.
    """

    venue: str
    symbol: str
    state: str
    since: str | None
    """In the venue's time; null where unknown."""
    for_ms: int | None
    reason: str
    channels: list[ChannelBody]


class VenueReadiness(Struct, frozen=True):
    """Whether the data of a venue is current and stored, and what is missing for that. `origin` is the kind of its
    data, null until the hub was connected.
    """

    venue: str
    origin: str | None
    ready: bool
    missing: list[str]


class Readiness:
    """Whether all dependencies are up, and data is current."""

    def __init__(self, settings: Settings, live: LiveView, mongo: MongoStore, trades: TradeArchive) -> None:
        self._settings = settings
        self._live = live
        self._mongo = mongo
        self._trades = trades

    def parts(self) -> list[Part]:
        """The dependencies: hubs and stores."""
        found = [_hub(connection.state) for connection in self._live.connections]
        if self._settings.mongo.enabled:
            found.append(_part(self._mongo.watch.state))
        if self._settings.trades.enabled:
            found.append(_part(self._trades.watch.state))
        return found

    def missing(self) -> list[str]:
        """What is down or not current, with the reason; empty when everything is ready."""
        down = [f"{part.name} ({part.reason})" for part in self.parts() if not part.up]
        return down + missing_of(list(self._live.venue_states()))


def instruments_of(venue_states: list[VenueState]) -> list[InstrumentState]:
    """State of each instrument of these venues."""
    return [_instrument(venue_state, symbol) for venue_state in venue_states for symbol in sorted(venue_state.states)]


def venues_of(venue_states: list[VenueState]) -> list[VenueReadiness]:
    """Each venue on its own."""
    return [
        VenueReadiness(state.venue, state.origin or None, state.is_connected and not missing, missing)
        for state in venue_states
        for missing in [missing_of([state])]
    ]


def describe(instruments: list[InstrumentState], *, with_venue: bool = False) -> list[str]:
    """A sentence for the instruments that are not current, since when and why; equal ones are merged."""
    names: dict[tuple[str, str | None, int, str], list[str]] = {}
    for one in instruments:
        if not State(one.state).is_current:
            seconds = (one.for_ms or 0) // 1_000
            names.setdefault((one.state, one.since, seconds, one.reason), []).append(
                f"{one.symbol} of {one.venue}" if with_venue else one.symbol
            )
    return [
        f"{_names(symbols)} {state} since {since or 'the start'}{f' ({seconds} s)' if since else ''}: {reason}"
        for (state, since, seconds, reason), symbols in names.items()
    ]


def missing_of(venue_states: list[VenueState]) -> list[str]:
    """What is missing for data that is current and stored. A flow that publishes no states is known as such when no
    heartbeat has come for as long as one is waited for.
    """
    connected = [venue_state for venue_state in venue_states if venue_state.is_connected]
    publishing = [venue_state for venue_state in connected if venue_state.publishes_states]
    missing = [
        f"the flow of {venue_state.venue} (no sign of life yet)"
        for venue_state in connected
        if not venue_state.publishes_states and venue_state.clock.silent_ms <= UNKNOWN_MS
    ]
    missing += [
        f"the flow of {venue_state.venue} ({unknown.reason})"
        for venue_state in publishing
        if (unknown := unknown_state(venue_state))
    ]
    for venue_state in publishing:
        if not venue_state.states and not venue_state.connections():
            missing.append(f"a line to {venue_state.venue} (there is none yet)")
        elif not venue_state.states and venue_state.symbols():
            missing.append(f"data of now of {venue_state.venue} (no instrument has a state yet)")
    found = instruments_of(publishing)
    for venue in dict.fromkeys(one.venue for one in found):  # that one venue has data is no comfort for another
        own = [one for one in found if one.venue == venue]
        if not any(State(one.state).is_current or _has_current_data(one) for one in own):
            of_venue = f" of {venue}" if len(venue_states) > 1 else ""
            missing.append(f"data of now{of_venue} ({'; '.join(describe(own))})")
    stores = {one.reason for state in found for one in state.channels if one.state == "not stored"}
    return missing + [f"a store ({reason})" for reason in sorted(stores)]


def _instrument(venue_state: VenueState, symbol: str) -> InstrumentState:
    body = venue_state.states[symbol]
    state = unknown_state(venue_state) or State(body.state, body.since, body.reason)
    since_ms = ms_of(state.since) if state.since else None
    for_ms = None if since_ms is None else max(0, venue_state.clock.now_ms - since_ms)
    return InstrumentState(venue_state.venue, symbol, state.state, state.since, for_ms, state.reason, body.channels)


def _has_current_data(one: InstrumentState) -> bool:
    """Whether its data is current, though not stored."""
    data = [State(channel.state) for channel in one.channels if channel.channel != "store"]
    return one.state == "not stored" and bool(data) and all(state.is_current for state in data)


def _names(symbols: list[str]) -> str:
    """The first names and the number of the others, with the verb."""
    shown = ", ".join(symbols[:NAMES_SHOWN])
    more = len(symbols) - NAMES_SHOWN
    named = f"{shown} and {more} more" if more > 0 else shown
    return f"{named} {'is' if len(symbols) == 1 else 'are'}"


def _part(state: Dependency) -> Part:
    return Part(state.name, state.up, iso_utc(state.since_ms), state.reason)


def _hub(state: ConnectionState) -> Part:
    return Part(f"{state.kind} {state.url}", state.connected, iso_utc(state.since_ms), state.reason)
