"""The dashboard at `/`, `/quality` and `/operations`, its files below `/static/`; the documentation
at `/docs`; all from here.
"""

from functools import partial
from pathlib import Path
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Struct

from api.http.errors import Problem
from api.http.files import Files
from api.http.route import NoParams, RawRoute

DASHBOARD: Final = Path(__file__).parents[1] / "dashboard"
"""`index.html`, and the files that it loads from `/static/…`."""
POLICY: Final = (
    "default-src 'self'; connect-src 'self' ws: wss:; img-src 'self' data:; style-src 'self' 'unsafe-inline'; "
    "frame-ancestors 'none'"
)
"""Content-Security-Policy: pages load from this server alone, and connect to the hubs."""
FILES_PATH: Final = "/static/{path}"
"""Canonical form of the path of the dashboard's files."""


class FileParams(Struct, frozen=True, forbid_unknown_fields=True):
    """A file of the dashboard, with or without the version before it."""

    path: str


def routes(description: dict[str, Any]) -> list[RawRoute]:
    """The routes of this file, for an OpenAPI description."""
    encoded = msgspec.json.encode(description)
    files = Files(DASHBOARD)

    async def openapi(_: web.Request, __: NoParams) -> web.Response:
        """The OpenAPI document."""
        return web.Response(body=encoded, content_type="application/json")

    def shown(request: web.Request, name: str) -> web.Response:
        try:
            return files.page(request, name, {"Content-Security-Policy": POLICY})
        except KeyError:
            raise _no_page(name) from None

    async def dashboard(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The dashboard."""
        return shown(request, "index.html")

    async def docs(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The documentation of the interface, with requests to try."""
        return shown(request, "docs.html")

    async def quality(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The page of quality: what is recorded, what went wrong, what is proven."""
        return shown(request, "quality.html")

    async def operations(request: web.Request, _: NoParams) -> web.StreamResponse:
        """The page of operations: what is up, rates, latency, queues, stores, budgets, and what went wrong."""
        return shown(request, "operations.html")

    async def file(request: web.Request, params: FileParams) -> web.StreamResponse:
        """A file of the dashboard."""
        return files.file(request, params.path)

    page = partial(RawRoute, "GET", needs=None, ignores_unknown=True)
    return [
        page(path="/openapi.json", handler=openapi, media="application/json"),
        page(path="/docs", handler=docs, media="text/html", errors=("not_found",)),
        page(path=FILES_PATH.replace("}", ":.+}"), handler=file, media="text/css", params=FileParams),
        page(path="/quality", handler=quality, media="text/html", errors=("not_found",)),
        page(path="/operations", handler=operations, media="text/html", errors=("not_found",)),
        page(path="/", handler=dashboard, media="text/html", errors=("not_found",)),
    ]


def _no_page(name: str) -> Problem:
    return Problem("not_found", f"there is no page here; the interface is described at /docs ({name})")
