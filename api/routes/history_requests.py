"""What was asked of the flow, as the API shows it."""

from typing import Final

from msgspec import Struct

from api.http.errors import Problem
from api.http.params import Span
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
"""A request that ended is not repeated by reading again before so much time is over."""


class WorkView(Struct, frozen=True):
    """A request to the flow. `GET /api/requests/{id}` tells how far it is."""

    id: str
    kind: RequestKind
    venue: str
    symbol: str
    timeframe: str | None
    """Null for all of them."""
    state: RequestState
    """`open` until the flow takes it, then `running`; at the end `done` or `failed`."""
    report: str
    """What came of it, for people."""
    created_at: str
    updated_at: str
    wait_s: float
    """Estimate of how much longer it takes; 0 when it has ended."""


def view_of(request: Request, *, candles: int = 0) -> WorkView:
    """A request with an estimate of its time."""
    work = request.work
    under_way = request.state in UNDER_WAY
    total_s = FIRST_WAIT_S + PAGE_WAIT_S * (candles // PAGE_CANDLES)
    waited_s = (wall_ms() - request.created_ms) / 1_000
    return WorkView(
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


async def ask_for_history(services: Services, key: SeriesKey, span: Span, *, has_some: bool) -> WorkView | None:
    """Asks for candles that are not stored, and for the symbol if nobody follows it. Nothing is asked again that was
    answered a moment ago: then there are no more candles, which is a `Problem` when there are none at all.
    """
    documents, petitioner = services.documents, services.documents.petitioner
    work = Work("history", *key, start=span.start, end=span.end)
    try:
        async with documents.guarded():
            last = await petitioner.last_of(work)
            if last and last.state not in UNDER_WAY and wall_ms() - last.updated_ms < ASK_AGAIN_MS:
                return _ended(last, has_some=has_some)
            if key.symbol not in services.catalogue.followed(key.venue):
                await petitioner.set_subscription(DesiredSubscription(key.venue, key.symbol, wanted=True))
            return view_of(await petitioner.submit(work), candles=span.most)
    except Problem as problem:
        if has_some and problem.code == "store_unavailable":
            return None  # what there is can be shown all the same
        raise


def _ended(request: Request, *, has_some: bool) -> WorkView:
    if not has_some:
        raise Problem("no_data", f"there are no such candles: {request.report or request.state}")
    return view_of(request)
