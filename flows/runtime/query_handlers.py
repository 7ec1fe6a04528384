"""Handlers of all queries of a process: the venue's REST side and the stores."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final, TypeAlias

from pymongo import MongoClient
from pymongo.database import Database

from flows.loop_thread import EventLoopThread
from flows.machine import QueryRunner
from flows.queries import (
    BookQuery,
    DisputedTradesQuery,
    FundingQuery,
    FundingTermsQuery,
    HistoryQuery,
    KlinesQuery,
    LastTradeQuery,
    MarkQuery,
    MissedTradesQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
    Query,
    RefillQuery,
    RenewQuery,
    StoreCheckQuery,
    TimeQuery,
    TradesQuery,
)
from flows.runtime.history import HistoryLoader
from flows.runtime.stored_trades import NO_BEGINS, Begin, StoredTrades
from flows.settings import Feed, Mongo, Settings
from sinks.mongo.reader import CandleReader
from sources.rest.query_runner import Handler, QueryDispatcher
from sources.venue import DerivativesRest, VenueRest
from sources.venues import VENUES

Renew: TypeAlias = Callable[[str, tuple[str, ...], str], None]
"""Subscribes streams of a symbol, of these kinds, anew, for a reason."""

_NONE: Final[Mapping[type[Query], Handler]] = {}
READ_TIMEOUT_MS = 5_000
"""Longest wait for MongoDB in a query of history; then that is an incident, and live candles go on."""


def open_query_handlers(
    settings: Settings,
    *,
    feed: Feed | None = None,
    renew: Renew | None = None,
    rest: VenueRest | None = None,
    network: EventLoopThread | None = None,
    more: Mapping[type[Query], Handler] = _NONE,
    begins: Mapping[str, Begin] = NO_BEGINS,
) -> QueryRunner:
    """The runner of the queries to one venue, by default that of requests which name none. It ends with the process.
    `renew` subscribes streams anew; `rest` is used instead of a client of its own, on the loop of `network`. `more` are
    handlers of further queries. `begins` are where symbols begin that another process has followed.
    """
    feed = feed or settings.first_feed
    rest = rest or VENUES[feed.venue].rest(feed, settings.rest)

    history = HistoryLoader(
        CandleReader(open_database(settings.mongo), venue=feed.venue) if settings.mongo.enabled else None,
        rest.klines,
        limit=feed.kline_limit,
        pause_s=feed.request_pause_ms / 1_000,
    )

    trades = settings.trades
    stored = StoredTrades(trades.path / feed.venue if trades.enabled else None, rest.trades, begins=begins)

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
    if (derivatives := VENUES[feed.venue].derivatives) is not None:
        handlers |= _of_derivatives(derivatives(rest))
    if renew is not None:
        handlers[RenewQuery] = partial(_renew, renew)
    return QueryDispatcher({**handlers, **more}, network or EventLoopThread())


def _of_derivatives(rest: DerivativesRest) -> dict[type[Query], Handler]:
    return {
        MarkQuery: rest.mark,
        FundingQuery: rest.funding,
        FundingTermsQuery: rest.funding_terms,
        OpenInterestQuery: rest.open_interest,
        OpenInterestHistoryQuery: rest.open_interest_history,
    }


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
