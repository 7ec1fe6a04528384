"""The replay exchange behind a flow: how far it is, its speed, pause, and faults. Only venues whose `origin` in the
settings is a replay have one; it is at their `rest_url`, and nothing else is reached through here.
"""

import asyncio
from collections.abc import Sequence
from http import HTTPStatus
from typing import Annotated, Any, Final

import aiohttp
import msgspec
from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, Route, Venue
from api.services import Services
from flows.settings import Feed

PLAYED: Final = ("replay", "synthetic")
"""Origins of venues that are played."""
TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)
ANSWER_BYTES: Final = 4 << 20
"""Longest answer of an exchange."""
ERRORS: Final = ("bad_request", "not_found", "not_ready", "unknown_venue")
CHANGE_ERRORS: Final = (*ERRORS, "body_too_large", "unsupported_media_type")

Speed = Annotated[float, Meta(gt=0, le=1_000_000, description="seconds of market time a second")]


class OfVenue(Struct, frozen=True, forbid_unknown_fields=True):
    """The exchange of a venue, or without one, of every venue that is played."""

    venue: Venue = ""


class ReplayBody(Struct, frozen=True):
    """A replay exchange. What it says of itself is null while it is not `reached`; times are ms UTC of its market.
    `speed` is null where its clients set the pace. `faults` are the orders that are on, with how often each is `left`
    to act.
    """

    venue: str
    origin: str
    reached: bool
    plays: str = ""
    begin: int | None = None
    now: int | None = None
    speed: float | None = None
    paused: bool = False
    finished: bool = False
    faults: list[dict[str, Any]] = []


class ChangeReplay(Struct, frozen=True, forbid_unknown_fields=True):
    """Pauses or resumes, sets another speed, or both; without a venue, of every one that is played."""

    venue: Venue = ""
    paused: bool | None = None
    speed: Speed | None = None


class OrderFault(Struct, frozen=True, forbid_unknown_fields=True):
    """An order of a fault, as `GET /api/replay/faults` and docs/replay-exchange.md describe them."""

    order: dict[str, Any]
    venue: Venue = ""


class FaultKind(Struct, frozen=True):
    """A kind of fault: its name, what it does, an order as an example, and its fields."""

    name: str
    summary: str
    example: dict[str, Any]
    fields: list[dict[str, Any]]


class _State(Struct, frozen=True):
    """What is read of an exchange's own state."""

    begin: int
    now: int
    speed: float | str
    paused: bool
    finished: bool
    plays: str = ""
    faults: list[dict[str, Any]] = []


class _NotReachedError(Exception):
    """The exchange gave no answer that is one."""


class _Handlers:
    """The handlers of this file."""

    def __init__(self, services: Services) -> None:
        self._feeds = services.settings.by_venue

    async def found(self, params: OfVenue) -> list[ReplayBody]:
        """The replay exchanges behind the venues: position, speed, pause, faults. Empty where nothing is played."""
        feeds = self._played() if not params.venue else self._wanted(params.venue)
        return await asyncio.gather(*map(_state_of, feeds))

    async def change(self, _: NoParams, body: ChangeReplay) -> list[ReplayBody]:
        """Pauses, resumes or sets the speed of what is played, for all who use it."""
        if body.paused is None and body.speed is None:
            raise Problem("bad_request", "write what is to change: paused, speed, or both")
        steps: list[tuple[str, Any]] = []
        if body.speed is not None:
            steps.append(("speed", {"speed": body.speed}))
        if body.paused is not None:
            steps.append(("pause" if body.paused else "resume", None))
        return [await self._run(feed, "POST", steps) for feed in self._wanted(body.venue)]

    async def order(self, _: NoParams, body: OrderFault) -> list[ReplayBody]:
        """Orders a fault of the exchange: messages that are lost, late, doubled or wrong, connections that end."""
        return [await self._run(feed, "POST", [("faults", body.order)]) for feed in self._wanted(body.venue)]

    async def clear(self, params: OfVenue) -> list[ReplayBody]:
        """Ends all faults of the exchange."""
        return [await self._run(feed, "DELETE", [("faults", None)]) for feed in self._wanted(params.venue)]

    async def kinds(self, params: OfVenue) -> list[FaultKind]:
        """The faults that there are, with their fields."""
        feed = self._wanted(params.venue)[0]
        try:
            return msgspec.json.decode(await _asked(feed, "GET", "faults"), type=list[FaultKind])
        except (_NotReachedError, msgspec.DecodeError) as error:
            raise _not_reached(feed) from error

    async def _run(self, feed: Feed, method: str, steps: Sequence[tuple[str, Any]]) -> ReplayBody:
        try:
            for name, body in steps:
                answer = await _asked(feed, method, name, body)
            return _body(feed, answer)
        except _NotReachedError as error:
            raise _not_reached(feed) from error

    def _played(self) -> Sequence[Feed]:
        return [feed for feed in self._feeds.values() if feed.origin in PLAYED and feed.rest_url]

    def _wanted(self, venue: str) -> Sequence[Feed]:
        if venue and venue not in self._feeds:
            raise Problem(
                "unknown_venue",
                f"{venue} is not followed here; there are {', '.join(self._feeds)}",
                nearest=list(self._feeds),
            )
        found = [feed for feed in self._played() if venue in ("", feed.venue)]
        if not found:
            raise Problem(
                "not_found", f"{venue or 'nothing'} is played here: the settings name no replay exchange of it"
            )
        return found


async def _state_of(feed: Feed) -> ReplayBody:
    try:
        return _body(feed, await _asked(feed, "GET", "state"))
    except _NotReachedError:
        return ReplayBody(feed.venue, feed.origin, reached=False)


def _body(feed: Feed, answer: bytes) -> ReplayBody:
    try:
        state = msgspec.json.decode(answer, type=_State)
    except msgspec.DecodeError as error:
        raise _NotReachedError from error
    return ReplayBody(
        feed.venue,
        feed.origin,
        reached=True,
        plays=state.plays,
        begin=state.begin,
        now=state.now,
        speed=None if isinstance(state.speed, str) else state.speed,
        paused=state.paused,
        finished=state.finished,
        faults=state.faults,
    )


async def _asked(feed: Feed, method: str, name: str, body: Any = None) -> bytes:
    """The answer of an exchange's control endpoint; `Problem` with its own text where it refuses an order."""
    url = f"{str(feed.rest_url).rstrip('/')}/control/{name}"
    data = None if body is None else msgspec.json.encode(body)
    try:
        async with (
            aiohttp.ClientSession(timeout=TIMEOUT) as session,
            session.request(method, url, data=data, allow_redirects=False) as response,
        ):
            answer = await response.content.read(ANSWER_BYTES)
            if not response.content.at_eof():
                raise _NotReachedError
            if response.status == HTTPStatus.BAD_REQUEST:
                raise Problem("bad_request", msgspec.json.decode(answer, type=dict[str, str])["error"])
            if response.status != HTTPStatus.OK:
                raise _NotReachedError
            return answer
    except (aiohttp.ClientError, TimeoutError, OSError, KeyError, msgspec.DecodeError) as error:
        raise _NotReachedError from error


def _not_reached(feed: Feed) -> Problem:
    return Problem("not_ready", f"the replay exchange of {feed.venue} does not answer", retry_after_s=2)


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    of = _Handlers(services)
    return [
        Route("GET", "/api/replay", of.found, list[ReplayBody], OfVenue, errors=ERRORS),
        Route("POST", "/api/replay", of.change, list[ReplayBody], body=ChangeReplay, errors=CHANGE_ERRORS),
        Route("GET", "/api/replay/faults", of.kinds, list[FaultKind], OfVenue, errors=ERRORS),
        Route("POST", "/api/replay/faults", of.order, list[ReplayBody], body=OrderFault, errors=CHANGE_ERRORS),
        Route("DELETE", "/api/replay/faults", of.clear, list[ReplayBody], OfVenue, errors=ERRORS),
    ]
