"""The objects that route handlers use, and their start and end."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from api.analysis import AnalysisService
from api.analysis_recorder import AnalysisRecorder
from api.gateway.gateway import Gateway
from api.heartbeat import beat
from api.live.candle_cache import SeriesKey
from api.live.view import LiveView
from api.metrics import ApiMetrics
from api.readiness import Readiness
from api.stores.history import History
from api.stores.instruments import Instruments
from api.stores.lake import WithLake
from api.stores.mongo import MongoStore
from api.stores.peers import PeerTrades
from api.stores.trades import TradeArchive
from flows.settings import Settings, SettingsError
from flows.settings.extras import needs_extra
from sinks.bus.stored import BusError
from sinks.hub.messages import CHANNELS
from sinks.lake.manifest import LakeError
from sinks.lake.place import Lake

if TYPE_CHECKING:
    from api.live.shards import ShardBoard

CHECK_TRADES_S: Final = 5.0
"""Time between two checks of the trade stores."""
CHECK_ABSENT_TRADES_S: Final = 1.0
"""The same while one cannot be read: the flow makes it with the first trade."""


class Services(Struct, frozen=True):
    """Settings, live view, stores and metrics: all that handlers read."""

    settings: Settings
    live: LiveView
    gateway: Gateway
    mongo: MongoStore
    trades: TradeArchive
    lake: Lake | None
    own_trades: TradeArchive
    """What this host alone has, without that of other hosts and of a lake."""
    peers: PeerTrades | None
    shards: "ShardBoard | None"
    """Where flows share shards: who has which."""
    instruments: Instruments
    history: History
    analysis: AnalysisService
    metrics: ApiMetrics
    readiness: Readiness


@asynccontextmanager
async def running_services(settings: Settings) -> AsyncIterator[Services]:
    """Follows the hubs, or the bus, and checks the stores while entered. Starts also when hubs or stores are down."""
    api = settings.api
    live = _live_view(settings)
    mongo = MongoStore(settings.mongo, timeout_s=api.store_timeout_s)
    shards = _shard_board(settings)
    peers = _peers(settings, shards)
    venues = tuple(settings.by_venue)
    lake = _lake(settings)
    trades = TradeArchive(settings.trades, venues=venues, lake=lake, peers=peers)
    own_trades = TradeArchive(settings.trades, venues=())
    candles = WithLake(mongo, lake) if lake else None
    instruments = Instruments(settings.by_venue, live, mongo, older=candles)
    gateway = Gateway(settings.hub, live, venues=settings.by_venue, names_of=instruments.names_of)
    history = History(candles or mongo, live.candles)
    analysis = AnalysisService(settings, history, live)
    record = AnalysisRecorder(analysis, live, mongo, retention_days=settings.analysis.retention_days)
    readiness = Readiness(settings, live, mongo, trades)
    metrics = ApiMetrics(live, is_ready=lambda: not readiness.missing())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(mongo.close)
        stack.push_async_callback(trades.close)
        stack.push_async_callback(own_trades.close)
        await stack.enter_async_context(live)
        await asyncio.gather(mongo.check_at_start(), trades.check())
        works = [mongo.follow(), instruments.follow(), _follow(trades), history.warm(_series(settings))]
        if settings.analysis.store:
            works.append(record.follow())
        works += [one.follow() for one in (shards, peers) if one]
        if peers:
            stack.callback(peers.close)
        if settings.heartbeat.url:
            works.append(beat(settings.heartbeat.url, every_s=settings.heartbeat.every_s, missing=readiness.missing))
        for work in works:
            task = asyncio.create_task(work)
            stack.push_async_callback(_end, task)
        stack.push_async_callback(mongo.drain)
        yield Services(
            settings, live, gateway, mongo, trades, lake, own_trades, peers, shards, instruments, history, analysis,
            metrics, readiness,
        )  # fmt: skip


def _shard_board(settings: Settings) -> "ShardBoard | None":
    if not (settings.shares_shards and settings.bus.url):
        return None
    with needs_extra("bus", "feed.shard"):
        from api.live.shards import ShardBoard  # noqa: PLC0415
    return ShardBoard(settings.bus)


def _peers(settings: Settings, shards: "ShardBoard | None") -> PeerTrades | None:
    """The interfaces of other hosts: those of the settings, and those beside flows that share shards."""
    if not shards and not settings.api.peer_urls:
        return None
    own = str(settings.bus.api_url or "")

    def urls() -> set[str]:
        shared = {flow.url for flow in shards.flows()} if shards else set()
        return {url.rstrip("/") for url in {*settings.api.peer_urls, *shared} - {"", own}}

    return PeerTrades(urls, token=settings.api.token)


def _lake(settings: Settings) -> Lake | None:
    """The lake, if there is one. `SettingsError` when its place cannot be used."""
    try:
        return Lake(settings.lake.path) if settings.lake.path else None
    except LakeError as error:
        raise SettingsError(str(error)) from error


def _live_view(settings: Settings) -> LiveView:
    """Follows the hubs, or the bus. `SettingsError` when its client library is not installed."""
    size = settings.api.cache_size
    if not settings.follows_bus:
        return LiveView(*settings.hub_urls, token=settings.hub.best_token, channels=CHANNELS, cache_size=size)
    with needs_extra("bus", "bus.url"):
        from api.live.bus import BusConnection, check_credentials  # noqa: PLC0415
    try:
        check_credentials(settings.bus)
    except BusError as error:
        raise SettingsError(str(error)) from error
    open_bus = partial(BusConnection, settings.bus, venues=tuple(settings.by_venue), ring=settings.hub.ring)
    return LiveView(bus=open_bus, cache_size=size)


def _series(settings: Settings) -> list[SeriesKey]:
    return [
        SeriesKey(venue, symbol, timeframe)
        for venue, feed in settings.by_venue.items()
        for symbol in feed.symbols
        for timeframe in feed.timeframes
    ]


async def _follow(trades: TradeArchive) -> None:
    while True:
        await asyncio.sleep(CHECK_TRADES_S if trades.watch.state.up else CHECK_ABSENT_TRADES_S)
        await trades.check()


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled():
        task.result()
