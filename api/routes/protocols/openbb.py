"""OpenBB Workspace: `/widgets.json` describes what it can show of this interface, as a custom backend
(docs.openbb.co/workspace/custom-backend). Its pages are of another origin, which `api.cors` must name.
"""

from typing import Any, Final

import msgspec
from aiohttp import web

from api.http.route import AnyRoute, NoParams, RawRoute
from api.services import Services
from api.udf.symbols import full_name
from flows.model import Instrument

JSON: Final = "application/json"
REFRESH_MS: Final = 5_000
"""Time between two queries for a table, or for the newest bar."""
_OF_ENVELOPE: Final = "data"
"""Where the rows of an answer are."""
_OF_PRICES: Final = (
    ("venue", "Venue", "text"),
    ("symbol", "Symbol", "text"),
    ("price", "Price", "number"),
    ("price_change_percent_24h", "24 h %", "number"),
    ("volume_24h", "Volume 24 h", "number"),
    ("age_ms", "Age (ms)", "number"),
    ("state", "State", "text"),
)
_OF_TICKS: Final = (
    ("venue", "Venue", "text"),
    ("symbol", "Symbol", "text"),
    ("price", "Price", "number"),
    ("bid", "Bid", "number"),
    ("ask", "Ask", "number"),
    ("state", "State", "text"),
)


def _table(name: str, description: str, endpoint: str, columns: tuple[tuple[str, str, str], ...]) -> dict[str, Any]:
    shown = [{"field": field, "headerName": title, "cellDataType": kind} for field, title, kind in columns]
    return {
        "name": name,
        "description": description,
        "category": "Crypto",
        "type": "table",
        "endpoint": endpoint,
        "gridData": {"w": 20, "h": 9},
        "refetchInterval": REFRESH_MS,
        "data": {"dataKey": _OF_ENVELOPE, "table": {"showAll": False, "columnsDefs": shown}},
    }


def widgets_of(first: Instrument | None) -> dict[str, Any]:
    """The widgets by their ids: charts, which begin with an instrument, and tables."""
    chart: dict[str, Any] = {
        "name": "Charts",
        "description": "Candles of every instrument that is followed, with incidents as marks.",
        "category": "Crypto",
        "type": "advanced_charting",
        "endpoint": "/udf",
        "gridData": {"w": 40, "h": 20},
        "data": {"updateFrequency": REFRESH_MS},
    }
    if first:
        chart["data"]["defaultSymbol"] = full_name(first)
    return {
        "marketflow_chart": chart,
        "marketflow_prices": _table(
            "Prices",
            "Newest prices with their change of 24 hours, and how current they are.",
            "/api/prices",
            _OF_PRICES,
        ),
        "marketflow_ticks": _table("Best bid and ask", "Prices with best bid and ask.", "/api/ticks", _OF_TICKS),
    }


def routes(services: Services) -> list[AnyRoute]:
    """The routes of this file."""

    async def widgets(_: web.Request, __: NoParams) -> web.Response:
        """What OpenBB Workspace can show of this interface."""
        instruments = services.instruments
        found = (
            Instrument(venue, min(names)) for venue in instruments.venues() if (names := instruments.followed(venue))
        )
        return web.Response(body=msgspec.json.encode(widgets_of(next(found, None))), content_type=JSON)

    return [RawRoute("GET", "/widgets.json", widgets, JSON, ignores_unknown=True)]
