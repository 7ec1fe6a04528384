"""What of the deployment is up, what is down and since when; and health checks for process supervisors."""

from typing import Final

from msgspec import Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, Route
from api.live.connection import ConnectionState
from api.live.freshness import State, unknown_state
from api.live.messages import ms_of
from api.live.state import VenueState
from api.services import Services
from api.stores.health import Dependency
from sinks.hub.payloads import ChannelBody, StatusBody, iso_utc

NAMES_SHOWN: Final = 5
"""Symbols that are named of those in the same state."""


class Part(Struct, frozen=True):
    """A dependency of the API. `since` is its last change; `reason` says why it is down."""

    name: str
    up: bool
    since: str
    reason: str


class Channel(Struct, frozen=True):
    """Messages of a channel of the hub, and the age of the last one."""

    venue: str
    channel: str
    messages: int
    age_ms: int


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


class FlowState(Struct, frozen=True):
    """Whether a flow is alive. `time` is the venue's time by its heartbeats, null while unknown."""

    venue: str
    alive: bool
    heartbeat_ms_ago: int
    time: str | None


class Memory(Struct, frozen=True):
    """Candles cached, and reads that they answered or not."""

    candles: int
    hits: int
    misses: int


class StatusAnswer(Struct, frozen=True):
    """`missing` lists what is down or not current, since when and why; `origin` is the kind of data, null until a hub
    was connected.
    """

    venue: str
    origin: str | None
    missing: list[str]
    parts: list[Part]
    lines: list[StatusBody]
    """The venue's connections, as the flow reports them."""
    flows: list[FlowState]
    instruments: list[InstrumentState]
    """The followed ones by venue and name; empty where the flow publishes no states."""
    channels: list[Channel]
    memory: Memory
    hub_urls: list[str]
    """URLs of the broadcast."""


class Readiness(Struct, frozen=True):
    """All dependencies are up: hubs, the flows behind them, stores; and data is current."""

    parts: list[Part]
    channels: list[Channel]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool = True


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    live, settings = services.live, services.settings

    def parts() -> list[Part]:
        found = [_hub(connection.state) for connection in live.connections]
        if settings.mongo.enabled:
            found.append(_part(services.mongo.watch.state))
        if settings.trades.enabled:
            found.append(_part(services.trades.watch.state))
        return found

    def channels() -> list[Channel]:
        return [
            Channel(
                venue_state.venue, channel, venue_state.counts[channel], max(0, venue_state.clock.now_ms - stamp_ms)
            )
            for venue_state in live.venue_states()
            for channel, stamp_ms in sorted(venue_state.last_stamps.items())
        ]

    async def status(_: NoParams) -> StatusAnswer:
        """What is up, and what is down since when."""
        venue_states = list(live.venue_states())
        found = parts()
        by_venue = [(venue_state, instruments_of([venue_state])) for venue_state in venue_states]
        missing = [f"{part.name} is down since {part.since}: {part.reason}" for part in found if not part.up]
        lines: list[StatusBody] = [
            message.body for venue_state in venue_states for message in venue_state.connections()
        ]
        missing += [f"line {line.line} is {line.state}: {line.reason}" for line in lines if line.state != "live"]
        # a hub that is down is listed above, so its instruments are left out
        missing += describe(
            [one for venue_state, instruments in by_venue if venue_state.is_connected for one in instruments]
        )
        cache = live.candles
        return StatusAnswer(
            settings.feed.venue,
            next((venue_state.origin for venue_state in venue_states if venue_state.origin), None),
            missing,
            found,
            lines,
            [flow_of(venue_state) for venue_state in venue_states],
            [one for _, instruments in by_venue for one in instruments],
            channels(),
            Memory(len(cache), cache.counters.hits, cache.counters.misses),
            [connection.state.url for connection in live.connections],
        )

    async def alive(_: NoParams) -> Alive:
        """Whether the process answers."""
        return Alive()

    async def ready(_: NoParams) -> Readiness:
        """Whether all dependencies are up, and data is current."""
        found = parts()
        down = [f"{part.name} ({part.reason})" for part in found if not part.up]
        down += missing_of(list(live.venue_states()))
        if down:
            raise Problem("not_ready", f"missing: {', '.join(down)}", retry_after_s=2)
        return Readiness(found, channels())

    return [
        Route("GET", "/api/status", status, StatusAnswer),
        Route("GET", "/health/live", alive, Alive, protected=False),
        Route("GET", "/health/ready", ready, Readiness, errors=("not_ready",), protected=False),
    ]


def instruments_of(venue_states: list[VenueState]) -> list[InstrumentState]:
    """State of each instrument of these venues."""
    return [_instrument(venue_state, symbol) for venue_state in venue_states for symbol in sorted(venue_state.states)]


def describe(instruments: list[InstrumentState]) -> list[str]:
    """A sentence for the instruments that are not current, since when and why; equal ones are merged."""
    names: dict[tuple[str, str | None, int, str], list[str]] = {}
    for one in instruments:
        if not State(one.state).is_current:
            seconds = (one.for_ms or 0) // 1_000
            names.setdefault((one.state, one.since, seconds, one.reason), []).append(one.symbol)
    return [
        f"{_names(symbols)} {state} since {since or 'the start'}{f' ({seconds} s)' if since else ''}: {reason}"
        for (state, since, seconds, reason), symbols in names.items()
    ]


def missing_of(venue_states: list[VenueState]) -> list[str]:
    """What is missing for data that is current and stored; nothing where flows publish no states."""
    publishing = [
        venue_state for venue_state in venue_states if venue_state.publishes_states and venue_state.is_connected
    ]
    missing = [
        f"the flow of {venue_state.venue} ({unknown.reason})"
        for venue_state in publishing
        if (unknown := unknown_state(venue_state))
    ]
    missing += [
        f"a line to {venue_state.venue} (there is none yet)"
        for venue_state in publishing
        if not (venue_state.states or venue_state.connections())
    ]
    found = instruments_of(publishing)
    if found and not any(State(one.state).is_current or _has_current_data(one) for one in found):
        missing.append(f"data of now ({'; '.join(describe(found))})")
    stores = {one.reason for state in found for one in state.channels if one.state == "not stored"}
    return missing + [f"a store ({reason})" for reason in sorted(stores)]


def flow_of(venue_state: VenueState) -> FlowState:
    """Whether the flow behind a hub is alive."""
    now = venue_state.clock.now_ms
    alive = venue_state.publishes_states and unknown_state(venue_state) is None
    return FlowState(venue_state.venue, alive, venue_state.clock.silent_ms, iso_utc(now) if now else None)


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
    return Part(f"hub {state.url}", state.connected, iso_utc(state.since_ms), state.reason)
