"""What is there, what is missing and since when; and health, for whoever starts and stops the process."""

from msgspec import Struct

from api.errors import Problem
from api.health import Dependency
from api.hub_line import LineState
from api.route import AnyRoute, NoParams, Route
from api.services import Services
from sinks.bodies import StatusBody, iso_utc


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


class Memory(Struct, frozen=True):
    """Candles held, and how often they were enough."""

    candles: int
    hits: int
    misses: int


class StatusAnswer(Struct, frozen=True):
    """`missing` says in words what is down; `origin` what the data is, null as long as no hub was reached."""

    venue: str
    origin: str | None
    missing: list[str]
    parts: list[Part]
    lines: list[StatusBody]
    """The venue's lines, as the flow tells."""
    channels: list[Channel]
    memory: Memory
    hub_urls: list[str]
    """Where pages and programs follow the broadcast."""


class Readiness(Struct, frozen=True):
    """Everything is there."""

    parts: list[Part]
    channels: list[Channel]


class Alive(Struct, frozen=True):
    """The process answers."""

    alive: bool = True


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    live, settings = services.live, services.settings

    def parts() -> list[Part]:
        found = [_hub(line.state) for line in live.lines]
        if settings.mongo.enabled:
            found.append(_part(services.documents.watch.state))
        if settings.trades.enabled:
            found.append(_part(services.trades.watch.state))
        return found

    def channels() -> list[Channel]:
        return [
            Channel(board.venue, channel, board.counts[channel], max(0, board.clock.now().feed - heard_ms))
            for board in live.boards()
            for channel, heard_ms in sorted(board.last_heard.items())
        ]

    async def status(_: NoParams) -> StatusAnswer:
        """What is there, and what is missing since when."""
        boards = list(live.boards())
        found = parts()
        missing = [f"{part.name} is down since {part.since}: {part.reason}" for part in found if not part.up]
        lines: list[StatusBody] = [news.body for board in boards for news in board.lines()]
        missing += [f"line {line.line} is {line.state}: {line.reason}" for line in lines if line.state != "live"]
        cache = live.candles
        return StatusAnswer(
            settings.feed.venue,
            next((board.origin for board in boards if board.origin), None),
            missing,
            found,
            lines,
            channels(),
            Memory(len(cache), cache.counters.hits, cache.counters.misses),
            [line.state.url for line in live.lines],
        )

    async def alive(_: NoParams) -> Alive:
        """Whether the process answers."""
        return Alive()

    async def ready(_: NoParams) -> Readiness:
        """Whether everything is there that answers are made of."""
        found = parts()
        if down := [f"{part.name} ({part.reason})" for part in found if not part.up]:
            raise Problem("not_ready", f"missing: {', '.join(down)}", retry_after_s=2)
        return Readiness(found, channels())

    return [
        Route("GET", "/api/status", status, StatusAnswer),
        Route("GET", "/health/live", alive, Alive, protected=False),
        Route("GET", "/health/ready", ready, Readiness, errors=("not_ready",), protected=False),
    ]


def _part(state: Dependency) -> Part:
    return Part(state.name, state.up, iso_utc(state.since_ms), state.reason)


def _hub(state: LineState) -> Part:
    return Part(f"hub {state.url}", state.connected, iso_utc(state.since_ms), state.reason)
