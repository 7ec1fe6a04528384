"""cryptofeed: `Binance` and `BinanceFutures` by its `FeedHandler`, on an event loop of its own on a thread.

It is older than the routes of USD-M, so there it has a feed for each route. It refuses addresses without TLS, so the
socket is opened without TLS at the last moment.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from decimal import Decimal
from typing import Any, ClassVar, Final

from cryptofeed import FeedHandler, connection
from cryptofeed.connection import RestEndpoint, Routes, WebsocketEndpoint
from cryptofeed.defines import ASK, BID, CANDLES, FUNDING, L2_BOOK, OPEN_INTEREST, TICKER, TRADES
from cryptofeed.exchanges import Binance, BinanceFutures

from tests.conformance.checks import is_book, near
from tests.conformance.exchange import SYMBOL, Exchange, paused, until
from tests.conformance.suite import Suite, same

_connect = connection.connect
connection.connect = lambda address, **options: _connect(f"ws{address.removeprefix('wss')}", **options)

BOTH: Final = ("spot", "usdm")
_PAIRS: Final = {"spot": "BTC-USDT", "usdm": "BTC-USDT-PERP"}


class Feeds:
    """What comes of each channel."""

    def __init__(self, exchange: Exchange) -> None:
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.books: list[Any] = []
        self.symbols: list[str] = []
        self._exchange = exchange
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def _run(self) -> None:
        try:
            asyncio.set_event_loop(asyncio.new_event_loop())
            handler = FeedHandler(config={"log": {"disabled": True}, "uvloop": False})
            for feed in self._feeds():
                handler.add_feed(feed)
            handler.run(install_signal_handlers=False)
        except BaseException as error:  # noqa: BLE001 - it is the outcome of the cases
            self.failure = error

    def _feeds(self) -> list[Any]:
        made = []
        pair = _PAIRS[self._exchange.market]
        if self._exchange.market == "spot":
            kind = _pointed(Binance, self._exchange.http, self._exchange.ws)
            made.append(kind(symbols=[pair], channels=[TRADES, TICKER, CANDLES, L2_BOOK], callbacks=self._callbacks()))
        else:
            market = _pointed(BinanceFutures, self._exchange.http, f"{self._exchange.ws}/market")
            public = _pointed(BinanceFutures, self._exchange.http, f"{self._exchange.ws}/public")
            made.append(
                market(symbols=[pair], channels=[TRADES, CANDLES, FUNDING, OPEN_INTEREST], callbacks=self._callbacks())
            )
            made.append(public(symbols=[pair], channels=[TICKER, L2_BOOK], callbacks=self._callbacks()))
        self.symbols = list(made[0].symbols())
        return made

    def _callbacks(self) -> dict[str, Any]:
        return {channel: self._keep(channel) for channel in (TRADES, TICKER, CANDLES, L2_BOOK, FUNDING, OPEN_INTEREST)}

    def _keep(self, channel: str) -> Any:
        async def keep(item: Any, received_s: float) -> None:
            self.seen[channel].append(item)

        return keep

    def several(self, channel: str, count: int = 1) -> list[Any]:
        def look() -> list[Any] | None:
            if self.failure is not None:
                raise AssertionError(f"the feed ended: {self.failure!r}")
            return self.seen[channel][-count:] if len(self.seen[channel]) >= count else None

        return until(look, within_s=120)


def _pointed(kind: Any, http: str, ws: str) -> Any:
    """The feed with other addresses."""
    rest = kind.rest_endpoints[0]
    socket = kind.websocket_endpoints[0]

    class Pointed(kind):  # type: ignore[misc]
        rest_endpoints: ClassVar = [RestEndpoint(http, routes=rest.routes)]
        websocket_endpoints: ClassVar = [WebsocketEndpoint(f"wss{ws.removeprefix('ws')}", options=socket.options)]

    assert isinstance(rest.routes, Routes)
    return Pointed


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Feeds]:
    feeds = Feeds(exchange)
    feeds.start()
    with suppress(Exception):
        yield feeds


SUITE = Suite(opens)


@SUITE.case("symbols", *BOTH)
def symbols(client: Feeds, exchange: Exchange) -> None:
    until(lambda: client.symbols or client.failure)
    assert _PAIRS[exchange.market] in client.symbols, client.failure


@SUITE.case("trades", *BOTH)
def trades(client: Feeds, exchange: Exchange) -> None:
    for trade in client.several(TRADES, 3):
        row = exchange.aggregate(int(trade.id))
        same(
            [Decimal(trade.price), Decimal(trade.amount), trade.side, round(trade.timestamp * 1000)],
            [Decimal(row["p"]), Decimal(row["q"]), "sell" if row["m"] else "buy", row["T"]],
        )


@SUITE.case("ticker", *BOTH)
def ticker(client: Feeds, exchange: Exchange) -> None:
    for quote in client.several(TICKER, 3):
        assert quote.bid < quote.ask
        near(quote.bid, exchange.get("ticker/bookTicker", symbol=SYMBOL)["bidPrice"])


@SUITE.case("candles", *BOTH)
def candles(client: Feeds, exchange: Exchange) -> None:
    (candle,) = client.several(CANDLES)
    row = exchange.kline(round(candle.start * 1000))
    same([Decimal(candle.open), round(candle.stop * 1000)], [Decimal(row[1]), row[6]])
    assert Decimal(row[3]) <= candle.low <= candle.close <= candle.high <= Decimal(row[2])


@SUITE.case("l2_book", *BOTH)
def book(client: Feeds, exchange: Exchange) -> None:
    client.several(L2_BOOK, 10)
    with paused(exchange):
        reasons: list[str | None] = []

        def look() -> bool:
            kept = client.seen[L2_BOOK][-1].book.to_dict()
            reasons.append(is_book(exchange, _levels(kept[BID], best_first=-1), _levels(kept[ASK], best_first=1)))
            return reasons[-1] is None

        try:
            until(look, within_s=10)
        except TimeoutError as error:
            raise AssertionError(reasons[-1]) from error


def _levels(side: dict[Any, Any], *, best_first: int) -> list[tuple[Any, Any]]:
    return sorted(side.items(), key=lambda it: best_first * it[0])


@SUITE.case("funding", "usdm")
def funding(client: Feeds, exchange: Exchange) -> None:
    (mark,) = client.several(FUNDING)
    row = exchange.get("premiumIndex", symbol=SYMBOL)
    near(mark.mark_price, row["markPrice"])
    assert round(mark.next_funding_time * 1000) == row["nextFundingTime"]


@SUITE.case("open_interest", "usdm")
def open_interest(client: Feeds, exchange: Exchange) -> None:
    (interest,) = client.several(OPEN_INTEREST)
    near(interest.open_interest, exchange.get("openInterest", symbol=SYMBOL)["openInterest"])
