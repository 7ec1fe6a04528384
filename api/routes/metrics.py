"""`/metrics`, for Prometheus."""

from aiohttp import hdrs, web

from api.http.route import AnyRoute, NoParams, RawRoute
from api.services import Services


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def metrics(request: web.Request, _: NoParams) -> web.Response:
        """The API's metrics in Prometheus' text format, or as OpenMetrics where `Accept` names that."""
        body, content_type = services.metrics.text(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, hdrs.VARY: hdrs.ACCEPT})

    return [RawRoute("GET", "/metrics", metrics, "text/plain")]
