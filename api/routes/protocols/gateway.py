"""The gateway's WebSocket at `/ws`; not in the OpenAPI document, `docs/broadcast.md` describes its messages."""

from aiohttp import web

from api.http.route import NoParams, RawRoute
from api.services import Services


def routes(services: Services) -> list[RawRoute]:
    """The routes of this file."""

    async def serve(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The messages of all hubs."""
        return await services.gateway.serve(request)

    return [RawRoute("GET", "/ws", serve, "application/json", ignores_unknown=True)]
