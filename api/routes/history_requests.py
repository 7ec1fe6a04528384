"""Requests to the flow for history, and their state."""

from typing import Final

from msgspec import Struct

from api.http.errors import Problem
from api.http.params import CandleRange
from api.live.candle_cache import SeriesKey
from api.services import Services
from flows.clock import wall_ms
from sinks.hub.payloads import iso_utc
from sinks.mongo.commands import UNDER_WAY, DesiredSubscription, Request, RequestKind, RequestState, Work

FIRST_WAIT_S: Final = 3.0
"""Estimate of the time until the flow has taken a request and the venue has answered."""
PAGE_WAIT_S: Final = 0.5
"""The same for each further page of history."""
PAGE_CANDLES: Final = 1_000
ASK_AGAIN_MS: Final = 60_000
"""Time after the end of a request in which reading the same candles does not repeat it."""


class JobView(Struct, frozen=True):
    """A request to the flow. `GET /api/requests/{id}` returns its state."""

    id: str
    kind: RequestKind
    venue: str
    symbol: str
    timeframe: str | None
    """Null: all timeframes."""
    state: RequestState
    """`open` until the flow takes it, then `running`; at the end `done` or `failed`."""
    report: str
    """The result, for people."""
    created_at: str
    updated_at: str
    wait_s: float
    """Estimated seconds until it ends; 0 when it has ended."""


def job_view(request: Request, *, candles: int = 0) -> JobView:
    """A request with an estimate of its remaining time; `candles` is the number requested."""
    work = request.work
    under_way = request.state in UNDER_WAY
    total_s = FIRST_WAIT_S + PAGE_WAIT_S * (candles // PAGE_CANDLES)
    waited_s = (wall_ms() - request.created_ms) / 1_000
    return JobView(
        request.id,
        work.kind,
        work.venue,
        work.symbol,
        work.timeframe,
        request.state,
        request.report,
        iso_utc(request.created_ms),
        iso_utc(request.updated_ms),
        round(max(total_s - waited_s, 1.0), 1) if under_way else 0.0,
    )


async def request_history(services: Services, key: SeriesKey, wanted: CandleRange, *, has_some: bool) -> JobView | None:
    """Requests candles that are not stored, and a subscription if the symbol is not followed. A request that ended
    less than `ASK_AGAIN_MS` ago is not repeated: there are no more candles, a `Problem` when there are none at all.
    """
    mongo, commands = services.mongo, services.mongo.commands
    work = Work("history", *key, start=wanted.start, end=wanted.end)
    try:
        async with mongo.guarded():
            last = await commands.last_of(work)
            if last and last.state not in UNDER_WAY and wall_ms() - last.updated_ms < ASK_AGAIN_MS:
                return _ended(last, has_some=has_some)
            if key.symbol not in services.instruments.followed(key.venue):
                await commands.wish(DesiredSubscription(key.venue, key.symbol, wanted=True))
            return job_view(await commands.ask(work), candles=wanted.most)
    except Problem as problem:
        if has_some and problem.code == "store_unavailable":
            return None  # the candles found are returned without a job
        raise


def _ended(request: Request, *, has_some: bool) -> JobView:
    if not has_some:
        raise Problem("no_data", f"there are no such candles: {request.report or request.state}")
    return job_view(request)
