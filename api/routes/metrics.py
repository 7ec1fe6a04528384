"""`/metrics`, for Prometheus, and those of the flow for the page of operations, which reaches this address alone."""

from http import HTTPStatus
from typing import Final

import aiohttp
from aiohttp import hdrs, web

from api.http.errors import Problem
from api.http.route import AnyRoute, NoParams, RawRoute
from api.services import Services

TIMEOUT: Final = aiohttp.ClientTimeout(total=5.0)
ANSWER_BYTES: Final = 16 << 20
"""Longest text of a flow."""
ANY_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - where a flow listens that listens everywhere


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""
    of_flow = services.settings.metrics

    async def metrics(request: web.Request, _: NoParams) -> web.Response:
        """The API's metrics in Prometheus' text format, or as OpenMetrics where `Accept` names that."""
        body, content_type = services.metrics.text(request.headers.get(hdrs.ACCEPT, ""))
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type, hdrs.VARY: hdrs.ACCEPT})

    async def flow_metrics(_: web.Request, __: NoParams) -> web.Response:
        """The metrics of the flow of these settings (`metrics.host`, `metrics.port`), in Prometheus' text format."""
        if not of_flow.enabled:
            raise Problem("not_found", "the flow of these settings serves no metrics: metrics.enabled")
        host = ANY_HOST.get(of_flow.host, of_flow.host)
        name = f"[{host}]" if ":" in host else host
        return web.Response(body=await _read(f"http://{name}:{of_flow.port}/metrics"), content_type="text/plain")

    return [
        RawRoute("GET", "/metrics", metrics, "text/plain"),
        RawRoute("GET", "/metrics/flow", flow_metrics, "text/plain", errors=("not_found", "not_ready")),
    ]


async def _read(url: str) -> bytes:
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(url, allow_redirects=False) as answer:
            body = await answer.content.read(ANSWER_BYTES)
            if answer.status == HTTPStatus.OK and answer.content.at_eof():
                return body
    except (aiohttp.ClientError, TimeoutError, OSError):
        pass
    raise Problem("not_ready", "the flow's metrics are not reached from here", retry_after_s=5)
