"""What of the deployment is up, what is down and since when; and health checks for process supervisors."""

from msgspec import Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, Route
from api.live.freshness import clock_name, unknown_state
from api.live.state import VenueState
from api.readiness import InstrumentState, Part, VenueReadiness, describe, instruments_of, venues_of
from api.services import Services
from sinks.hub.payloads import StatusBody, iso_utc


class Channel(Struct, frozen=True):
    """Messages of a channel of the hub, and the age of the last one."""

    venue: str
    channel: str
    messages: int
    age_ms: int


class FlowState(Struct, frozen=True):
    """Whether a flow is alive. `time` is the venue's time by its heartbeats, null while unknown. `clock` is `unsure`
    while that time, and so all ages of the venue, is carried on by a local clock; null where it publishes no states.
    """

    venue: str
    alive: bool
    heartbeat_ms_ago: int
    time: str | None
    clock: str | None


class Memory(Struct, frozen=True):
    """Candles cached, and reads that they answered or not."""

    candles: int
    hits: int
    misses: int


class ShardState(Struct, frozen=True):
    """A part of the symbols. `owner` is the flow that follows it, null while there is none; `since` is when it took it,
    or when it was seen last.
    """

    shard: str
    owner: str | None
    epoch: int
    since: str | None


class SharingState(Struct, frozen=True):
    """A flow that takes at most `room` shards; `url` is that of the interface beside it, if others may query that."""

    name: str
    url: str | None
    room: int
    seen_ms_ago: int


class StatusAnswer(Struct, frozen=True):
    """`missing` lists what is down or not current, since when and why. `venue` is that of requests which name none;
    `origin` is the kind of the first venue's data, null until a hub was connected.
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
    """URLs of the broadcast, for the page; one that begins with `/` is on the API's own server."""
    venues: list[VenueReadiness]
    """Every venue that the hubs report."""
    shards: list[ShardState]
    """Where flows share shards, each of them."""
    sharing: list[SharingState]
    """The flows that share them, as far as they were seen within a minute."""


class Readiness(Struct, frozen=True):
    """All dependencies are up: hubs, the flows behind them, stores; and data of every venue is current."""

    parts: list[Part]
    channels: list[Channel]
    venues: list[VenueReadiness]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool = True


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    live, settings, readiness = services.live, services.settings, services.readiness

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
        found, many = readiness.parts(), len(venue_states) > 1
        by_venue = [(venue_state, instruments_of([venue_state])) for venue_state in venue_states]
        missing = [f"{part.name} is down since {part.since}: {part.reason}" for part in found if not part.up]
        lines: list[StatusBody] = [
            message.body for venue_state in venue_states for message in venue_state.connections()
        ]
        missing += [
            f"line {line.line}{of_venue} is {line.state}: {line.reason or 'no reason is told'}"
            for line in lines
            for of_venue in [f" of {line.venue}" if many else ""]
            if line.state != "live"
        ]
        # a hub that is down is listed above, so its instruments are left out
        missing += describe(
            [one for venue_state, instruments in by_venue if venue_state.is_connected for one in instruments],
            with_venue=many,
        )
        board = services.shards
        shards = [
            ShardState(one.shard, one.owner, one.epoch, iso_utc(one.since_ms) if one.since_ms else None)
            for one in (board.owners() if board else ())
        ]
        missing += [f"shard {one.shard} has no owner" for one in shards if one.owner is None]
        away = services.peers.away if services.peers else {}
        missing += [f"the trades at {url} cannot be read: {reason}" for url, reason in sorted(away.items())]
        cache = live.candles
        return StatusAnswer(
            settings.first_feed.venue,
            next((venue_state.origin for venue_state in venue_states if venue_state.origin), None),
            missing,
            found,
            lines,
            [flow_of(venue_state) for venue_state in venue_states],
            [one for _, instruments in by_venue for one in instruments],
            channels(),
            Memory(len(cache), cache.counters.hits, cache.counters.misses),
            page_hub_urls(services),
            venues_of(venue_states),
            shards,
            [SharingState(one.name, one.url or None, one.room, one.seen_ms_ago) for one in board.flows()]
            if board
            else [],
        )

    async def alive(_: NoParams) -> Alive:
        """Whether the process answers."""
        return Alive()

    async def ready(_: NoParams) -> Readiness:
        """Whether all dependencies are up, and data is current."""
        if missing := readiness.missing():
            raise Problem("not_ready", f"missing: {', '.join(missing)}", retry_after_s=2)
        return Readiness(readiness.parts(), channels(), venues_of(list(live.venue_states())))

    return [
        Route("GET", "/api/status", status, StatusAnswer),
        Route("GET", "/health/live", alive, Alive, needs=None),
        Route("GET", "/health/ready", ready, Readiness, errors=("not_ready",), needs=None),
    ]


def page_hub_urls(services: Services) -> list[str]:
    """Where the page connects to: the hubs, or where there is a bus, which browsers cannot read, the gateway."""
    own = ["/ws"] if services.live.is_bus else [connection.state.url for connection in services.live.connections]
    return [*services.settings.api.page_hub_urls] or own


def flow_of(venue_state: VenueState) -> FlowState:
    """Whether the flow behind a hub is alive."""
    now = venue_state.clock.now_ms
    alive = venue_state.publishes_states and unknown_state(venue_state) is None
    return FlowState(
        venue_state.venue, alive, venue_state.clock.silent_ms, iso_utc(now) if now else None, clock_name(venue_state)
    )
