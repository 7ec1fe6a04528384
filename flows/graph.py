"""The dataflow, from the venue to the stores. Every part comes in as an argument; nothing here knows a venue or a
store.

The engine runs the steps in the order in which they stand here. Step ids are part of the contract: recovered state is
found by them (`flows.recovered`).
"""

from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.inputs import Source
from bytewax.outputs import Sink
from msgspec import Struct

from flows import steps
from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import FeedClock
from flows.machine import QueryRunner
from flows.model import Document, Incident, Publishable, RefreshResult, Rejected, Removed, TradeBatch, VenueParser
from flows.operators.parse import Parse, Polled
from flows.operators.prices import Prices
from flows.operators.validate import Validate
from flows.recovered import FLOW
from flows.settings import Books, Feed


class Sinks(Struct, frozen=True):
    """Where the results go; None leaves a branch out."""

    candles: Sink[tuple[str, list[Document]]] | None = None
    trades: Sink[tuple[str, list[TradeBatch]]] | None = None
    broadcast: Sink[tuple[str, list[Publishable]]] | None = None
    rejects: Sink[Rejected] | None = None
    incidents: Sink[Incident] | None = None
    commands: Sink[RefreshResult | Removed] | None = None
    """Results of requests, and removed instruments: their open requests will not be answered."""


def market_flow(
    *,
    source: Source[Polled],
    parser: VenueParser,
    feed: Feed,
    sinks: Sinks,
    clock: FeedClock | None = None,
    runner: QueryRunner | None = None,
    books: Books = Books(),  # noqa: B008 - it is frozen
    rules: VenueRules = ANY_VENUE,
    outages: steps.Outages | None = None,
) -> Dataflow:
    """The flow of one venue. Without a `runner` of queries no gap is filled and no history fetched, and there are no
    books and no statistics. What leads to no sink is left out.
    """
    clock = clock or FeedClock()
    trade_clock = clock.twin()  # never ahead of trades that are still held
    flow = Dataflow(FLOW)

    frames = op.input("source", flow, source)
    parsed = op.flat_map_batch("parse", frames, Parse(feed.venue, parser))
    validate = Validate(feed.venue, clock, rules, steps.server_time(runner), is_timely=feed.is_timely)
    events = op.flat_map_batch("validate", parsed, validate)

    prices = op.flat_map_batch("prices", events, Prices(clock))
    steps.broadcast("hub_prices", prices, sink=sinks.broadcast)  # first of all: a price waits for nothing else

    candles = steps.candles("candles", events, feed, trade_clock, rules, runner)
    status = steps.feed_status("feed_status", events, feed, clock)
    book = steps.order_books("order_books", events, books, clock, rules, runner)
    stats = steps.stats_24h("stats_24h", candles.minutes, status.tickers, feed, trade_clock, rules, runner)
    incidents = steps.incidents(
        "incidents", clock, candles.incidents, status.incidents, book and book.incidents, stats and stats.incidents
    )

    steps.to_mongo("mongodb", candles.candles, candles.corrections, stats and stats.per_minute, sink=sinks.candles)
    steps.to_rocksdb("rocksdb", candles.trades, candles.restored, sink=sinks.trades)
    steps.output("ledger", incidents, sink=sinks.incidents)
    steps.output("commands", candles.requests, sink=sinks.commands)
    steps.output("rejects", status.rejected, candles.rejected, book and book.rejected, sink=sinks.rejects)

    states = steps.freshness(
        "freshness", status.observed, candles.witnesses, book and book.synced,
        feed=feed, clock=clock, has_books=runner is not None, outages=outages,
    )  # fmt: skip
    steps.broadcast(
        "hub", candles.trades, candles.candles, book and book.views, stats and stats.latest, status.updates, states,
        incidents, sink=sinks.broadcast,
    )  # fmt: skip
    return steps.drop_unread(flow)
