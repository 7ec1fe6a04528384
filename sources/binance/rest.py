"""Binance's REST interface, as far as the market data needs it (spot `rest-api`, USD-M `rest-api`)."""

from typing import Any, Self

from flows.settings import Feed
from sources.rest import RestClient

_REST_URLS = {
    ("binance", "live"): "https://api.binance.com",
    ("binance", "testnet"): "https://testnet.binance.vision",
    ("binance-usdm", "live"): "https://fapi.binance.com",
    ("binance-usdm", "testnet"): "https://testnet.binancefuture.com",
}
_PATHS = {"binance": "/api/v3", "binance-usdm": "/fapi/v1"}
DEPTH_LIMIT = 1_000
"""Levels a side that both markets serve."""


def rest_url(settings: Feed) -> str:
    """Address of the REST interface; `ValueError` when none is set and the origin has none of its own."""
    url = settings.rest_url or _REST_URLS.get((settings.venue, settings.origin))
    if not url:
        raise ValueError(f"feed.origin is {settings.origin}: set feed.rest_url to the address that serves it")
    return url


class BinanceRest:
    """The questions that the market data asks. Every method raises `VenueError`."""

    def __init__(self, client: RestClient, *, venue: str) -> None:
        self._client = client
        self._prefix = _PATHS[venue]

    @classmethod
    def of(cls, settings: Feed) -> Self:
        """The client for what the settings name; the caller closes it with `async with`."""
        return cls(RestClient(rest_url(settings)), venue=settings.venue)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        await self._client.aclose()

    async def symbols(self) -> list[str]:
        """The names of all instruments that trade."""
        info = await self._client.get(f"{self._prefix}/exchangeInfo")
        return [row["symbol"] for row in info["symbols"]]

    def depth_path(self, symbol: str) -> str:
        """Path and query of a book snapshot, as tapes name it."""
        return f"{self._prefix}/depth?symbol={symbol}&limit={DEPTH_LIMIT}"

    async def depth(self, symbol: str) -> dict[str, Any]:
        """The snapshot of a book: `lastUpdateId`, `bids`, `asks`, as the venue words it."""
        snapshot: dict[str, Any] = await self._client.get(f"{self._prefix}/depth", symbol=symbol, limit=DEPTH_LIMIT)
        return snapshot
