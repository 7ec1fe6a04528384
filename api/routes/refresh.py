"""Requests to the flow to fetch a symbol's candles again, and the state of such a request."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import SYMBOL_ERRORS, AnyRoute, Route
from api.routes.history_requests import JobView, job_view
from api.routes.prices import OfSymbol
from api.services import Services
from flows.names import TEXT_END
from sinks.mongo.commands import Work


class OfRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    id: Annotated[str, Meta(pattern=f"^[0-9a-f]{{32}}{TEXT_END}")]


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    mongo, commands = services.mongo, services.mongo.commands

    async def refresh(params: OfSymbol) -> JobView:
        """Fetch a symbol's recent candles again, of all timeframes."""
        instrument = await services.instruments.find(params.symbol, params.venue)
        async with mongo.guarded():
            return job_view(await commands.submit(Work("refresh", *instrument)))

    async def progress(params: OfRequest) -> JobView:
        """State of a request; it is deleted an hour after its last change."""
        async with mongo.guarded():
            found = await commands.request(params.id)
        if found is None:
            raise Problem("not_found", f"there is no request {params.id}, or no more")
        return job_view(found)

    errors = ("bad_request", "unreadable_data", "store_unavailable")
    return [
        Route(
            "POST",
            "/api/market-data/refresh/{symbol}",
            refresh,
            JobView,
            OfSymbol,
            accepted=JobView,
            errors=(*errors, *SYMBOL_ERRORS),
        ),
        Route("GET", "/api/requests/{id}", progress, JobView, OfRequest, errors=(*errors, "not_found")),
    ]
