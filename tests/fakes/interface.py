"""The interface on loopback, beside a real hub, a real mongod and a real trade store."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from pymongo import MongoClient

from api.__main__ import running_api
from api.services import Services
from flows.clock import FeedClock
from flows.model import (
    BookView,
    Candle,
    Capability,
    ChannelState,
    ChannelStatus,
    FeedStatus,
    Heartbeat,
    InstrumentStatus,
    ListedInstrument,
    MarketData,
    Publishable,
    Trade,
    TradeBatch,
)
from flows.settings import Alerts, Analysis, Api, Feed, Metrics, Mongo, Settings
from flows.settings import Heartbeat as HeartbeatSettings
from flows.settings import Hub as HubSettings
from flows.settings import Trades as TradesSettings
from sinks.hub.broadcast import Broadcast
from sinks.hub.messages import exchange_time
from sinks.mongo.buffer import Storable
from sinks.mongo.commands import CommandConsumer
from sinks.mongo.store import CandleStore
from sinks.trades.writer import TradeWriter
from tests.fakes.candles import BEGIN, candle, forming, gap
from tests.fakes.waiting import rest_after

PATIENCE_S = 60
"""Longest wait for something that should take a moment: a bound for broken runs, not a measure."""
NOW = BEGIN + 10 * 60_000 + 30_000
"""The feed's time in the tests: in the middle of the eleventh minute."""


def price(value: float, symbol: str = "BTCUSDT", *, time: int = NOW) -> MarketData:
    return MarketData("binance", symbol, value, time, 1.5, 0.25, 1_000.0)


def state(word: ChannelState, *channels: ChannelStatus, symbol: str = "BTCUSDT", since: int = NOW) -> InstrumentStatus:
    """What the flow says of an instrument; without channels its trades are what it is."""
    reason = "" if word in ("live", "quiet") else f"because it is {word}"
    return InstrumentStatus(
        "binance", symbol, word, since, reason, channels or (ChannelStatus("trades", word, since, reason),)
    )


LIVE = FeedStatus("binance", "market", "live", ("BTCUSDT", "ETHUSDT"))
BOOK = BookView("binance", "BTCUSDT", True, 42, NOW, [(99.5, 1.0)], [(100.5, 2.0)])


def stored_candles(count: int = 10, **changes: Any) -> list[Candle]:
    """So many closed candles from `BEGIN` on."""
    return [candle(minute, close=100.0 + minute, **changes) for minute in range(count)]


def trade(number: int, time: int) -> Trade:
    return Trade("BTCUSDT", number, time, 100.0 + number, 0.5, number % 2 == 0, time)


BEAT_S = 0.3
"""Time between two heartbeats of a flow in the tests."""


class Deployment:
    """What the interface depends on. Each part can be left out, stopped and told something."""

    def __init__(self, tmp_path: Path, mongod_uri: str) -> None:
        self.trades_path = tmp_path / "trades"
        self.mongod_uri = mongod_uri
        self.database = f"api_{tmp_path.name}"
        self.broadcast: Broadcast | None = None
        self.clock = FeedClock()
        """The venue's, as the flow would keep it: at the newest time that was published."""
        self.tokens: dict[str, Any] = {}
        """Those of hub and interface."""
        self.hub: dict[str, Any] = {}
        """Other settings of the hub, and so of the gateway."""
        self.alerts: dict[str, Any] = {}
        """The section of alerts."""
        self.metrics: dict[str, Any] = {"enabled": False}
        """Where the flow serves its own."""
        self.stands_at = 0
        self.keeps_analyses = False
        """Whether the interface stores them each minute; it begins at once, which is in the way of short tests."""

    def start_hub(self, port: int = 0) -> Broadcast:
        settings = HubSettings(port=port, **self.tokens, **self.hub)
        self.broadcast = Broadcast(settings, origins={"binance": "replay"}, clocks={"binance": self.clock})
        self.broadcast.start()
        return self.broadcast

    def tell(self, *items: Publishable) -> None:
        assert self.broadcast is not None
        newest = max(map(exchange_time, items), default=0)
        if newest > self.clock.now().feed:
            self.clock.set_to(newest)
        self.broadcast.write(list(items))

    def beat(self) -> None:
        """The flow is alive, and knows the time unless `stands_at` is when its clock stood still."""
        self.tell(Heartbeat("binance", self.stands_at or self.clock.now().feed, is_sure=not self.stands_at))

    @asynccontextmanager
    async def beating(self) -> AsyncIterator[None]:
        """The flow is alive until it is left."""

        async def beat() -> None:
            while True:
                self.beat()
                await asyncio.sleep(BEAT_S)

        task = asyncio.create_task(beat())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.wait([task])

    async def stop_hub(self) -> None:
        if self.broadcast:
            broadcast, self.broadcast = self.broadcast, None
            await asyncio.to_thread(broadcast.close)

    def store(self, items: Sequence[Storable]) -> None:
        with MongoClient[dict[str, Any]](self.mongod_uri) as client:
            store = CandleStore(client[self.database], retention_days={})
            store.ensure_indexes(timeout_s=5)
            store.store(items, timeout_s=5)

    def list_instruments(self, *symbols: str) -> None:
        """Those that end with USDT or EUR have their assets."""
        with MongoClient[dict[str, Any]](self.mongod_uri) as client:
            consumer = CommandConsumer(client[self.database])
            consumer.publish_instruments("binance", [_listed(symbol) for symbol in symbols])
            consumer.publish_capabilities("binance", [BOOKS])

    def store_trades(self, trades: Sequence[Trade]) -> None:
        writer = TradeWriter(self.trades_path / "binance" / "part-00", venue="binance", retention_days=0)
        writer.write([TradeBatch("binance", "BTCUSDT", list(trades))])
        writer.close()

    def settings(
        self, *, heartbeat: Mapping[str, Any] | None = None, feed: Mapping[str, Any] | None = None, **api: Any
    ) -> Settings:
        port = self.broadcast.port if self.broadcast else 1
        hub_urls = (f"ws://127.0.0.1:{port}/ws",)
        return Settings(
            mongo=Mongo(uri=self.mongod_uri, database=self.database),
            trades=TradesSettings(path=self.trades_path),
            hub=HubSettings(**self.tokens, **self.hub),
            api=Api(**{"port": 0, "hub_urls": hub_urls, "store_timeout_s": PATIENCE_S, **self.tokens, **api}),
            alerts=Alerts(**self.alerts),
            metrics=Metrics(**self.metrics),
            analysis=Analysis(store=self.keeps_analyses),
            heartbeat=HeartbeatSettings(**heartbeat or {}),
            feed=Feed(**feed or {}),
        )


BOOKS = Capability("book", "no change is missing", "update ids", ("There is no checksum.",))
"""What the venue of the tests says of itself."""


def _listed(symbol: str) -> ListedInstrument:
    quote = next((name for name in ("USDT", "EUR") if symbol.endswith(name)), "")
    assets = (symbol.removesuffix(quote), quote, 2, 5) if quote else ()
    return ListedInstrument("binance", symbol, "TRADING", *assets)


def fill(deployment: Deployment) -> None:
    """Ten stored minutes, an incident, forty trades, a listing, and a hub that knows the present."""
    deployment.store([*stored_candles(), gap()])
    deployment.list_instruments("BTCUSDT", "ETHUSDT", "SOLUSDT")
    deployment.store_trades([trade(number, BEGIN + number * 1_000) for number in range(1, 41)])
    deployment.start_hub()
    deployment.tell(LIVE, price(100.0), price(50.0, "ETHUSDT"), BOOK, candle(9, close=109.0), forming(10))


class Interface:
    """The running interface and a client of it."""

    def __init__(self, url: str, services: Services, session: ClientSession) -> None:
        self.url = url
        self.services = services
        self.session = session

    async def get(self, path: str, **options: Any) -> tuple[int, Any]:
        return await self.ask("GET", path, **options)

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, Any]:
        async with self.session.request(method, self.url + path, **options) as response:
            return response.status, await response.json()

    async def data(self, path: str, **options: Any) -> Any:
        """The data of an answer, once the stores answer: on a busy machine they may take too long at first."""
        async with asyncio.timeout(PATIENCE_S):
            while True:
                status, body = await self.get(path, **options)
                if status != HTTPStatus.SERVICE_UNAVAILABLE:
                    break
        assert (status, body["success"], body["error"]) == (200, True, None), body
        return body["data"]

    async def error(self, path: str, **options: Any) -> tuple[int, str]:
        status, body = await self.get(path, **options)
        assert (body["success"], body["data"]) == (False, None), body
        return status, body["error"]["code"]


@asynccontextmanager
async def interface(deployment: Deployment, **api: Any) -> AsyncIterator[Interface]:
    """Serves the interface; where there is a hub, it has been heard."""
    async with AsyncExitStack() as stack:
        url, services = await stack.enter_async_context(running_api(deployment.settings(**api)))
        session = await stack.enter_async_context(ClientSession())
        if deployment.broadcast:
            await until(lambda: services.live.connections[0].seq > 0)
        yield Interface(url, services, session)


async def until(condition: Callable[[], bool | Awaitable[bool]], *, patience_s: float = PATIENCE_S) -> None:
    """Waits until it is so."""
    async with asyncio.timeout(patience_s):
        while True:
            begun, found = time.monotonic(), condition()
            if found if isinstance(found, bool) else await found:
                return
            await rest_after(begun, least_s=0.01)
