"""`/metrics`, for Prometheus."""

from aiohttp import web
from prometheus_client import CONTENT_TYPE_LATEST

from api.http.route import AnyRoute, NoParams, RawRoute
from api.services import Services


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def metrics(_: web.Request, __: NoParams) -> web.Response:
        """The API's metrics in Prometheus' text format."""
        return web.Response(body=services.metrics.text(), headers={"Content-Type": CONTENT_TYPE_LATEST})

    return [RawRoute("GET", "/metrics", metrics, "text/plain")]
