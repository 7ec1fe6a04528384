"""Binance's REST interface, as far as the market data needs it (spot `rest-api`, USD-M `rest-api`)."""

from typing import Any, Self

from flows.asks import KlinesAsk, TradesAsk
from flows.model import AggregateTrade, Kline, timeframe_ms
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

    async def trades(self, ask: TradesAsk) -> list[AggregateTrade]:
        """The aggregates of these ids that the venue still has."""
        found: list[AggregateTrade] = []
        following = ask.first_id
        while following <= ask.last_id:
            rows = await self._client.get(f"{self._prefix}/aggTrades", symbol=ask.symbol, fromId=following, limit=1000)
            page = [_aggregate(ask.symbol, row) for row in rows]
            found += [trade for trade in page if ask.first_id <= trade.id <= ask.last_id]
            if not page or page[-1].id < following:
                break
            following = page[-1].id + 1
        return found

    async def klines(self, ask: KlinesAsk) -> list[Kline]:
        """The klines that open in the span; closed are those behind which another one is known."""
        found: list[Kline] = []
        start = ask.start
        length = timeframe_ms(ask.timeframe)
        while start <= ask.end:
            rows = await self._client.get(
                f"{self._prefix}/klines",
                symbol=ask.symbol, interval=ask.timeframe, startTime=start, endTime=ask.end + length, limit=1000,
            )  # fmt: skip
            if not rows:
                break
            last = rows[-1][0]
            found += [_kline(ask, row, is_closed=row[0] < last) for row in rows if row[0] <= ask.end]
            if len(rows) < 1000:
                break
            start = last
        return found


def _aggregate(symbol: str, row: dict[str, Any]) -> AggregateTrade:
    return AggregateTrade(
        symbol=symbol, id=row["a"], time=row["T"], price=float(row["p"]), quantity=float(row["q"]),
        buyer_is_maker=row["m"], event_time=row["T"], first_id=row["f"], last_id=row["l"],
    )  # fmt: skip


def _kline(ask: KlinesAsk, row: list[Any], *, is_closed: bool) -> Kline:
    return Kline(
        symbol=ask.symbol, timeframe=ask.timeframe, event_time=row[6], open_time=row[0],
        open=float(row[1]), high=float(row[2]), low=float(row[3]), close=float(row[4]), volume=float(row[5]),
        quote_volume=float(row[7]), trades=row[8], taker_buy_volume=float(row[9]),
        taker_buy_quote_volume=float(row[10]), first_id=-1, last_id=-1, is_closed=is_closed,
    )  # fmt: skip
