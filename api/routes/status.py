"""What is there, what is missing and since when; and health, for whoever starts and stops the process."""

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
"""Symbols that are named where many are in the same state."""


class Part(Struct, frozen=True):
    """Something the answers depend on. `reason` says why it is down, `since` since when it is as it is."""

    name: str
    up: bool
    since: str
    reason: str


class Channel(Struct, frozen=True):
    """What came by a channel of the hub, and how long ago the last of it did."""

    venue: str
    channel: str
    messages: int
    age_ms: int


class InstrumentState(Struct, frozen=True):
    """What an instrument is: `live`, `quiet` (nothing happens, and another source agrees), or what is wrong with it;
    `unknown` while the flow gives no sign of life. That of the worst of its `channels`, as they were published last.
    """

    venue: str
    symbol: str
    state: str
    since: str | None
    """In the venue's time; null where not known."""
    for_ms: int | None
    reason: str
    channels: list[ChannelBody]


class FlowState(Struct, frozen=True):
    """Whether a flow is alive. `time` is what it says the venue's time is, null as long as it has not."""

    venue: str
    alive: bool
    heartbeat_ms_ago: int
    time: str | None


class Memory(Struct, frozen=True):
    """Candles held, and how often they were enough."""

    candles: int
    hits: int
    misses: int


class StatusAnswer(Struct, frozen=True):
    """`missing` says in words what is down or not of now, since when and why; `origin` what the data is, null as long
    as no hub was reached.
    """

    venue: str
    origin: str | None
    missing: list[str]
    parts: list[Part]
    lines: list[StatusBody]
    """The venue's lines, as the flow tells."""
    flows: list[FlowState]
    instruments: list[InstrumentState]
    """Those that are followed, by venue and name; empty where the flow publishes no states."""
    channels: list[Channel]
    memory: Memory
    hub_urls: list[str]
    """Where pages and programs follow the broadcast."""


class Readiness(Struct, frozen=True):
    """Everything is there: the hubs, the flows behind them, the stores, and data of now."""

    parts: list[Part]
    channels: list[Channel]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool = True


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    live, settings = services.live, services.settings

    def parts() -> list[Part]:
        found = [_hub(line.state) for line in live.connections]
        if settings.mongo.enabled:
            found.append(_part(services.mongo.watch.state))
        if settings.trades.enabled:
            found.append(_part(services.trades.watch.state))
        return found

    def channels() -> list[Channel]:
        return [
            Channel(
                venue_state.venue, channel, venue_state.counts[channel], max(0, venue_state.clock.now_ms - heard_ms)
            )
            for venue_state in live.venue_states()
            for channel, heard_ms in sorted(venue_state.last_stamps.items())
        ]

    async def status(_: NoParams) -> StatusAnswer:
        """What is there, and what is missing since when."""
        venue_states = list(live.venue_states())
        found = parts()
        by_venue = [(venue_state, instruments_of([venue_state])) for venue_state in venue_states]
        missing = [f"{part.name} is down since {part.since}: {part.reason}" for part in found if not part.up]
        lines: list[StatusBody] = [news.body for venue_state in venue_states for news in venue_state.lines()]
        missing += [f"line {line.line} is {line.state}: {line.reason}" for line in lines if line.state != "live"]
        # a hub that is not reached is named above, so its instruments are left out
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
            [line.state.url for line in live.connections],
        )

    async def alive(_: NoParams) -> Alive:
        """Whether the process answers."""
        return Alive()

    async def ready(_: NoParams) -> Readiness:
        """Whether everything is there that answers are made of, and they are of now."""
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
    """What each instrument is that the flows tell of."""
    return [_instrument(venue_state, symbol) for venue_state in venue_states for symbol in sorted(venue_state.states)]


def describe(instruments: list[InstrumentState]) -> list[str]:
    """What is not of now, since when and why: instruments of which the same is to be said, together."""
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
    """Why answers are not of now or not stored; nothing where flows publish no states."""
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
        if not (venue_state.states or venue_state.lines())
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
    """Whether its data is of now, though it is not stored."""
    data = [State(channel.state) for channel in one.channels if channel.channel != "store"]
    return one.state == "not stored" and bool(data) and all(state.is_current for state in data)


def _names(symbols: list[str]) -> str:
    """Some names, and how many more, with a verb."""
    shown = ", ".join(symbols[:NAMES_SHOWN])
    more = len(symbols) - NAMES_SHOWN
    named = f"{shown} and {more} more" if more > 0 else shown
    return f"{named} {'is' if len(symbols) == 1 else 'are'}"


def _part(state: Dependency) -> Part:
    return Part(state.name, state.up, iso_utc(state.since_ms), state.reason)


def _hub(state: ConnectionState) -> Part:
    return Part(f"hub {state.url}", state.connected, iso_utc(state.since_ms), state.reason)
