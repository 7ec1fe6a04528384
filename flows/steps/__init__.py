"""The steps of the flow, each of them one node of its picture. `flows.graph` puts them together.

A step is an operator made of the engine's own ones. One that gives several kinds of results gives each as a stream of
its own: `trades.candles`, `feed.incidents`. Every such stream costs a look at every batch of results, so those that
nothing reads are taken out in the end (`drop_unread`).
"""

from flows.steps.accounts import AccountParts, AccountStreams, accounts
from flows.steps.alerts import AlertParts, AlertStreams, alerts
from flows.steps.books import BookStreams, order_books
from flows.steps.derivatives import DerivativeStreams, derivatives
from flows.steps.feed import FeedStreams, feed_status, server_time
from flows.steps.outputs import broadcast, output, pack, to_alerts, to_mongo, to_rocksdb, trades_by_instrument
from flows.steps.states import Outages, freshness, incidents
from flows.steps.stats import StatsStreams, stats_24h
from flows.steps.streams import drop_unread
from flows.steps.trades import (
    CandleStreams,
    candles,
    corrected_candles,
    minutes_among,
    restored_trades,
    sequence_candles,
)

__all__ = [
    "AccountParts",
    "AccountStreams",
    "AlertParts",
    "AlertStreams",
    "BookStreams",
    "CandleStreams",
    "DerivativeStreams",
    "FeedStreams",
    "Outages",
    "StatsStreams",
    "accounts",
    "alerts",
    "broadcast",
    "candles",
    "corrected_candles",
    "derivatives",
    "drop_unread",
    "feed_status",
    "freshness",
    "incidents",
    "minutes_among",
    "order_books",
    "output",
    "pack",
    "restored_trades",
    "sequence_candles",
    "server_time",
    "stats_24h",
    "to_alerts",
    "to_mongo",
    "to_rocksdb",
    "trades_by_instrument",
]
