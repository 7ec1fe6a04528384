"""nautilus_trader: a live node with Binance's data client, and an actor that collects what comes.

It is older than the routes of USD-M, so there it has two data clients, one for each route.
"""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any, Final

from nautilus_trader.adapters.binance import BinanceAccountType, BinanceDataClientConfig, BinanceLiveDataClientFactory
from nautilus_trader.common.actor import Actor
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.data import BarType
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import ClientId, InstrumentId, TraderId, Venue

from tests.conformance.checks import is_book, near
from tests.conformance.exchange import KEY, SECRET, SYMBOL, Exchange, paused
from tests.conformance.suite import Suite, same

_NAMES: Final = {"spot": "BTCUSDT", "usdm": "BTCUSDT-PERP"}
_CONNECT_S: Final = 50.0
NANOS: Final = 1_000_000
"""Nanoseconds of a millisecond."""


class Collector(Actor):  # type: ignore[misc]
    """Subscribes to everything of one instrument, and keeps it by kind."""

    def __init__(self, market: str) -> None:
        super().__init__()
        self.market = market
        self.seen: dict[str, list[Any]] = defaultdict(list)
        self.instrument_id = InstrumentId.from_str(f"{_NAMES[market]}.BINANCE")
        self.books_id = self.instrument_id
        if market == "usdm":
            self.books_id = InstrumentId.from_str(f"{_NAMES[market]}.BOOKS")
        self.bars = BarType.from_str(f"{self.instrument_id}-1-MINUTE-LAST-EXTERNAL")

    def on_start(self) -> None:
        self.subscribe_trade_ticks(self.instrument_id, ClientId("BINANCE"))
        self.subscribe_bars(self.bars, ClientId("BINANCE"))
        books = ClientId(self.books_id.venue.value)
        self.subscribe_quote_ticks(self.books_id, books)
        self.subscribe_order_book_deltas(self.books_id, BookType.L2_MBP, client_id=books, params={"update_speed": 100})
        if self.market == "usdm":
            self.subscribe_mark_prices(self.instrument_id, ClientId("BINANCE"))

    def on_trade_tick(self, tick: Any) -> None:
        self.seen["trade"].append(tick)

    def on_quote_tick(self, tick: Any) -> None:
        self.seen["quote"].append(tick)

    def on_bar(self, bar: Any) -> None:
        self.seen["bar"].append(bar)

    def on_mark_price(self, mark: Any) -> None:
        self.seen["mark"].append(mark)

    def on_order_book_deltas(self, deltas: Any) -> None:
        self.seen["book"].append(deltas)

    def on_historical_data(self, data: Any) -> None:
        self.seen["history"].append(data)


class Node:
    def __init__(self, node: Any, collector: Collector) -> None:
        self.node = node
        self.collector = collector

    async def several(self, kind: str, count: int = 1) -> list[Any]:
        """The last ones of a kind, as soon as there are so many."""
        while len(self.collector.seen[kind]) < count:
            await asyncio.sleep(0.05)
        return self.collector.seen[kind][-count:]


@asynccontextmanager
async def opens(exchange: Exchange) -> AsyncIterator[Node]:
    def client(venue: str, ws: str) -> BinanceDataClientConfig:
        return BinanceDataClientConfig(
            venue=Venue(venue),
            api_key=KEY,
            api_secret=SECRET,
            account_type=BinanceAccountType.SPOT if exchange.market == "spot" else BinanceAccountType.USDT_FUTURES,
            base_url_http=exchange.http,
            base_url_ws=ws,
            use_agg_trade_ticks=exchange.market == "usdm",
            instrument_provider=InstrumentProviderConfig(load_all=True),
        )

    clients = {"BINANCE": client("BINANCE", exchange.ws)}
    if exchange.market == "usdm":
        clients = {
            "BINANCE": client("BINANCE", f"{exchange.ws}/market"),
            "BOOKS": client("BOOKS", f"{exchange.ws}/public"),
        }
    node = TradingNode(
        config=TradingNodeConfig(
            trader_id=TraderId("CONFORMANCE-001"),
            logging=LoggingConfig(log_level="WARNING"),
            data_clients=clients,
            timeout_connection=_CONNECT_S,
        ),
        loop=asyncio.get_running_loop(),
    )
    collector = Collector(exchange.market)
    node.trader.add_actor(collector)
    for name in clients:
        node.add_data_client_factory(name, BinanceLiveDataClientFactory)
    node.build()
    running = asyncio.create_task(node.run_async())
    try:
        async with asyncio.timeout(_CONNECT_S + 20):
            while not node.trader.is_running:
                await asyncio.sleep(0.1)
        yield Node(node, collector)
    finally:
        with suppress(Exception):
            await node.stop_async()
        running.cancel()


SUITE = Suite(opens)
BOTH: Final = ("spot", "usdm")


@SUITE.case("connects", *BOTH)
async def connects(client: Node, exchange: Exchange) -> None:
    assert client.node.kernel.data_engine.check_connected()


@SUITE.case("loads the instruments", *BOTH)
async def instruments(client: Node, exchange: Exchange) -> None:
    row = next(it for it in exchange.get("exchangeInfo")["symbols"] if it["symbol"] == SYMBOL)
    rules = {it["filterType"]: it for it in row["filters"]}
    instrument = client.node.cache.instrument(client.collector.instrument_id)
    assert instrument is not None, "the instrument is not loaded"
    assert Decimal(str(instrument.price_increment)) == Decimal(rules["PRICE_FILTER"]["tickSize"])
    assert Decimal(str(instrument.size_increment)) == Decimal(rules["LOT_SIZE"]["stepSize"])


@SUITE.case("streams trades", *BOTH)
async def trades(client: Node, exchange: Exchange) -> None:
    for tick in await client.several("trade", 3):
        number = int(tick.trade_id.value)
        row = exchange.trade(number) if exchange.market == "spot" else exchange.aggregate(number)
        price, size, at = ("price", "qty", "time") if exchange.market == "spot" else ("p", "q", "T")
        same(
            [Decimal(str(tick.price)), Decimal(str(tick.size)), round(tick.ts_event / NANOS)],
            [Decimal(row[price]), Decimal(row[size]), row[at]],
        )


@SUITE.case("streams quotes", *BOTH)
async def quotes(client: Node, exchange: Exchange) -> None:
    for tick in await client.several("quote", 3):
        assert tick.bid_price < tick.ask_price
        near(tick.bid_price, exchange.get("ticker/bookTicker", symbol=SYMBOL)["bidPrice"])


@SUITE.case("streams bars", *BOTH)
async def bars(client: Node, exchange: Exchange) -> None:
    (bar,) = await client.several("bar")
    close_ms = round(bar.ts_event / NANOS)
    row = exchange.kline(close_ms // 60_000 * 60_000 if close_ms % 60_000 else close_ms - 60_000)
    same(
        [Decimal(str(it)) for it in (bar.open, bar.high, bar.low, bar.close, bar.volume)],
        [Decimal(it) for it in row[1:6]],
    )


@SUITE.case("streams mark prices", "usdm")
async def marks(client: Node, exchange: Exchange) -> None:
    (mark,) = await client.several("mark")
    near(mark.value, exchange.get("premiumIndex", symbol=SYMBOL)["markPrice"])


@SUITE.case("keeps a book", *BOTH)
async def book(client: Node, exchange: Exchange) -> None:
    await client.several("book", 10)
    with paused(exchange):
        await asyncio.sleep(2)  # what was sent before arrives

        def difference() -> str | None:
            kept = client.node.cache.order_book(client.collector.books_id)
            return is_book(exchange, _levels(kept.bids()), _levels(kept.asks()))

        await _until_none(difference)


def _levels(levels: Any) -> list[tuple[Any, Any]]:
    return [(level.price, Decimal(str(level.size()))) for level in levels]


async def _until_none(difference: Callable[[], str | None]) -> None:
    reason: str | None = "not looked at"
    for _ in range(50):
        reason = difference()
        if reason is None:
            return
        await asyncio.sleep(0.2)
    raise AssertionError(reason)


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1_000, UTC)


@SUITE.case("requests bars", *BOTH)
async def requested_bars(client: Node, exchange: Exchange) -> None:
    collector = client.collector
    now_ms = exchange.get("time")["serverTime"]
    collector.seen["history"].clear()
    collector.request_bars(
        collector.bars,
        start=_time(now_ms - 3_600_000),
        end=_time(now_ms - 600_000),
        client_id=ClientId("BINANCE"),
    )
    rows = {row[0] + 59_999: row for row in exchange.get("klines", symbol=SYMBOL, interval="1m", limit=100)}
    found = await client.several("history", 45)
    for bar in found:
        close_ms = round(bar.ts_event / NANOS)
        row = rows.get(close_ms) or rows[close_ms - 1]
        same([Decimal(str(it)) for it in (bar.open, bar.close, bar.volume)], [Decimal(row[it]) for it in (1, 4, 5)])
