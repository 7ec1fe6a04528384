"""Work for the flow: fetch a symbol's candles again, and how far that is."""

from typing import Annotated

from msgspec import Meta, Struct

from api.http.errors import Problem
from api.http.route import AnyRoute, Route
from api.routes.history_requests import WorkView, view_of
from api.routes.prices import OfSymbol
from api.services import Services
from flows.names import TEXT_END
from sinks.mongo.commands import Work


class OfRequest(Struct, frozen=True, forbid_unknown_fields=True):
    """One request."""

    id: Annotated[str, Meta(pattern=f"^[0-9a-f]{{32}}{TEXT_END}")]


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    documents, petitioner = services.documents, services.documents.petitioner

    async def refresh(params: OfSymbol) -> WorkView:
        """Fetch a symbol's recent candles again, of all timeframes."""
        instrument = await services.catalogue.instrument(params.symbol, params.venue)
        async with documents.guarded():
            return view_of(await petitioner.submit(Work("refresh", *instrument)))

    async def progress(params: OfRequest) -> WorkView:
        """How far a request is; it is forgotten an hour after its last change."""
        async with documents.guarded():
            found = await petitioner.request(params.id)
        if found is None:
            raise Problem("not_found", f"there is no request {params.id}, or no more")
        return view_of(found)

    errors = ("bad_request", "store_unavailable")
    return [
        Route(
            "POST",
            "/api/market-data/refresh/{symbol}",
            refresh,
            WorkView,
            OfSymbol,
            accepted=WorkView,
            errors=(*errors, "unknown_symbol", "unknown_venue"),
        ),
        Route("GET", "/api/requests/{id}", progress, WorkView, OfRequest, errors=(*errors, "not_found")),
    ]
