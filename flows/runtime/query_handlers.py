"""Handlers of all queries of a process: the venue's REST side and the stores."""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

from pymongo import MongoClient
from pymongo.database import Database

from flows.loop_thread import EventLoopThread
from flows.machine import QueryRunner
from flows.queries import (
    BookQuery,
    DisputedTradesQuery,
    HistoryQuery,
    KlinesQuery,
    LastTradeQuery,
    MissedTradesQuery,
    Query,
    RefillQuery,
    RenewQuery,
    StoreCheckQuery,
    TimeQuery,
    TradesQuery,
)
from flows.runtime.history import HistoryLoader
from flows.runtime.stored_trades import StoredTrades
from flows.settings import Mongo, Settings
from sinks.mongo.reader import CandleReader
from sources.rest.query_runner import Handler, QueryDispatcher
from sources.venue import VenueRest
from sources.venues import VENUES

Renew: TypeAlias = Callable[[str, tuple[str, ...], str], None]
"""Subscribes streams of a symbol, of these kinds, anew, for a reason."""

READ_TIMEOUT_MS = 5_000
"""Longest wait for MongoDB in a query of history; then that is an incident, and live candles go on."""


def open_query_handlers(
    settings: Settings, *, renew: Renew | None = None, rest: VenueRest | None = None
) -> QueryRunner:
    """The runner of a flow's queries. It ends with the process. `renew` subscribes streams anew; `rest` is used instead
    of a client of its own.
    """
    rest = rest or VENUES[settings.feed.venue].rest(settings.feed, settings.rest)

    history = HistoryLoader(
        CandleReader(open_database(settings.mongo), venue=settings.feed.venue) if settings.mongo.enabled else None,
        rest.klines,
        limit=settings.feed.kline_limit,
        pause_s=settings.feed.request_pause_ms / 1_000,
    )

    trades = settings.trades
    stored = StoredTrades(trades.path / settings.feed.venue if trades.enabled else None, rest.trades)

    handlers: dict[type[Query], Handler] = {
        TradesQuery: rest.trades,
        KlinesQuery: rest.klines,
        BookQuery: rest.book,
        HistoryQuery: history.answer,
        MissedTradesQuery: rest.trades,
        RefillQuery: rest.trades,
        LastTradeQuery: stored.last_trade,
        StoreCheckQuery: stored.missing,
        TimeQuery: partial(_time, rest),
        DisputedTradesQuery: rest.disputed_trades,
    }
    if renew is not None:
        handlers[RenewQuery] = partial(_renew, renew)
    return QueryDispatcher(handlers, EventLoopThread())


async def _time(rest: VenueRest, _: TimeQuery) -> int:
    return await rest.time()


async def _renew(renew: Renew, query: RenewQuery) -> None:
    renew(query.symbol, query.kinds, query.reason)


def open_database(mongo: Mongo) -> Database[dict[str, Any]]:
    """The database for reading; a read raises `PyMongoError` after `READ_TIMEOUT_MS`."""
    client: MongoClient[dict[str, Any]] = MongoClient(
        mongo.uri, serverSelectionTimeoutMS=READ_TIMEOUT_MS, timeoutMS=READ_TIMEOUT_MS
    )
    return client[mongo.database]
