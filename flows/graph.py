"""The dataflow, from the venue to the stores. Every part comes in as an argument; nothing here knows a venue or a
store.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, get_args

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from msgspec import Struct

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import FeedClock, monotonic_ms
from flows.machine import QueryRunner, keeper, machine, refuse_queries
from flows.model import (
    BookTicker,
    BookView,
    Candle,
    ConnectionEvent,
    FeedStatus,
    Flush,
    Incident,
    Instrument,
    RefreshResult,
    Rejected,
    Removed,
    Stats24h,
    StoreOnly,
    StoreOnlyTrades,
    Ticker,
    TradeBatch,
    TradeWitness,
)
from flows.operators.books.keeper import BookKeeper, BookPolicy, book_events
from flows.operators.candles import builder as candle_state
from flows.operators.candles import reconcile as proof_state
from flows.operators.candles.builder import CandleBuilder
from flows.operators.candles.reconcile import KEPT_MS, Reconciler
from flows.operators.parse import Parse, VenueParser
from flows.operators.pipeline import Pipeline
from flows.operators.prices import Prices
from flows.operators.refusals import RejectIncidents
from flows.operators.state_version import StateVersionError, check_version
from flows.operators.stats.day import DayStats, OncePerMinute, minutes_of
from flows.operators.status.freshness import Freshness
from flows.operators.status.line_status import News
from flows.operators.status.observations import BookSyncs, ChannelRefused, Observe, Progress
from flows.operators.trades import sequence as sequence_state
from flows.operators.trades.batching import MicroBatcher
from flows.operators.trades.sequence import Sequencer
from flows.operators.validate import Validate
from flows.settings import Books, Feed

FLOW = "marketflow"
SEQUENCE_STEP = "sequence_candles_reconcile"

_VERSIONS = {
    "the sequence of trades": sequence_state.STATE_VERSION,
    "the candles": candle_state.STATE_VERSION,
    "the proofs of candles": proof_state.STATE_VERSION,
}


class Sinks(Struct, frozen=True):
    """Where the results go; None leaves a branch out."""

    candles: Sink[tuple[str, Any]] | None = None
    trades: Sink[tuple[str, TradeBatch]] | None = None
    broadcast: Sink[Any] | None = None
    rejects: Sink[Rejected] | None = None
    incidents: Sink[Incident] | None = None
    refreshed: Sink[RefreshResult | Removed] | None = None
    """What became of requests, and whose streams have ended: what was under way for those will not come."""


def market_flow(
    *,
    source: Source[Any],
    parser: VenueParser,
    feed: Feed,
    sinks: Sinks,
    clock: FeedClock | None = None,
    runner: QueryRunner | None = None,
    books: Books = Books(),  # noqa: B008 - it is frozen
    rules: VenueRules = ANY_VENUE,
    outages: Callable[[], Mapping[str, str]] | None = None,
) -> Dataflow:
    """The flow of one venue. Without a `runner` of queries no hole is repaired and no history fetched, and there are no
    books and no statistics. Step ids are part of the contract: recovered state is found by them. `outages` gives the
    reason of each store that takes nothing now, by its name.
    """
    clock = clock or FeedClock()
    trade_clock = clock.twin()  # never ahead of trades that are still held
    flow = Dataflow(FLOW)
    parsed = op.flat_map_batch("parse", op.input("source", flow, source), Parse(feed.venue, parser))
    valid = op.flat_map_batch("validate", parsed, Validate(feed.venue, clock, rules))
    if sinks.broadcast:
        # first of all, for the engine runs the steps in the order in which they stand here
        prices = op.flat_map_batch("prices", valid, Prices())
        op.output("latest", op.flat_map_batch("at_once", prices, partial(together, "hub")), sinks.broadcast)

    gathered = op.flat_map_batch(
        "gather", valid, MicroBatcher(trade_clock, hold_ms=feed.gather_ms, monotonic_ms=monotonic_ms)
    )
    build = partial(sequence_candles, feed=feed, can_query=runner is not None, rules=rules)
    traded = machine(SEQUENCE_STEP, gathered, build, trade_clock, runner or refuse_queries)
    trades = only("sequence", traded, TradeBatch)
    candles = only("candles", traded, Candle)
    proofs = op.flat_map_batch("reconcile", traded, recorded)
    # one step, for each costs at every poll; those behind it only when there is something
    news = op.flat_map_batch("news", valid, News(feed.venue, clock, observe=Observe(monotonic_ms)))
    found = only("found", traded, Incident, TradeWitness, Rejected)
    told: list[Stream[Any]] = [trades, candles]
    stored: list[Stream[Any]] = [candles, proofs]
    amiss: list[Stream[Any]] = [
        _of_type("amiss", found, Incident),
        _of_type("outages", news, Incident, Progress, Flush),  # with what tells that time passes
    ]
    kept: KeyedStream[Any] | None = None
    if runner:
        book_input = op.flat_map_batch("book_events", valid, book_events)
        kept = machine("books", book_input, partial(_book, books=books), clock, runner)
        tickers = op.flat_map_batch("tickers", news, partial(_tickers, feed.venue))
        minutes = op.flat_map_batch("minutes", traded, partial(_minutes, minutes_of(feed.timeframes)))
        day = machine("stats", op.merge("daily", minutes, tickers), partial(_stats, feed=feed), trade_clock, runner)
        stored.append(op.flat_map_batch("each_minute", only("statistics", day, Stats24h), OncePerMinute()))
        watched = op.merge("watched", kept, day)
        told.append(op.flat_map_batch("quotes", watched, _quotes))
        amiss.append(only("watched_amiss", watched, Incident))
    incidents = op.flat_map_batch("incidents", op.merge("all_amiss", *amiss), RejectIncidents(clock))

    if sinks.candles:
        op.output(
            "mongodb",
            op.flat_map_batch("documents", op.merge("stored", *stored), partial(together, "mongodb")),
            sinks.candles,
        )
    if sinks.trades:
        op.output("rocksdb", _trades_to_store(trades, traded), sinks.trades)
    if sinks.incidents:
        op.output("ledger", incidents, sinks.incidents)
    if sinks.refreshed:
        op.output("requests", op.flat_map_batch("refreshed", traded, ends_of_requests), sinks.refreshed)
    if sinks.rejects:
        op.output("rejects", _refused(news, found, kept), sinks.rejects)
    if sinks.broadcast:
        build_states = partial(_freshness, clock, feed=feed, has_books=runner is not None, outages=outages)
        states = keeper("freshness", _observed(news, found, kept), build_states)
        everything = op.merge("everything", *told, _of_type("told", news, FeedStatus, Ticker), states, incidents)
        op.output("broadcast", op.flat_map_batch("all", everything, partial(together, "hub")), sinks.broadcast)
    return flow


def sequence_candles(
    key: str, state: Any, *, feed: Feed, can_query: bool, rules: VenueRules = ANY_VENUE, kept_ms: int = KEPT_MS
) -> Pipeline:
    """Sequencing, candles and their proof for one instrument, in one keyed step. Closed candles are remembered for
    `kept_ms`.
    """
    sequenced, built, reconciled = state or (None, None, None)
    sequencer = Sequencer(
        key,
        reorder_ms=feed.reorder_ms,
        repair_ms=feed.repair_ms if can_query else 0,
        repair_trades=feed.repair_trades,
        rules=rules,
        state=sequenced,
    )
    return Pipeline(
        sequencer,
        CandleBuilder(
            key,
            timeframes=feed.timeframes,
            close_grace_ms=feed.close_grace_ms,
            forming_ms=feed.forming_ms,
            seed_ms=feed.seed_ms if "kline" in feed.streams else 0,
            is_behind=sequencer.holds_back,
            state=built,
        ),
        Reconciler(
            key,
            timeframes=feed.timeframes,
            can_query=can_query,
            grace_ms=feed.proof_grace_ms,
            refresh_ms=feed.refresh_minutes * 60_000,
            kept_ms=kept_ms,
            state=reconciled,
        ),
    )


def state_fault(step_id: str, state: Any) -> str:
    """Why what a step has left in the recovered state cannot be resumed by this program; empty when it can. `state` is
    as `MachineLogic.snapshot` gave it. Steps that keep nothing to be resumed take anything.
    """
    if step_id != f"{FLOW}.{SEQUENCE_STEP}.machine":
        return ""
    try:
        key, parts = state
        for (name, version), part in zip(_VERSIONS.items(), parts, strict=True):
            check_version(part, version, f"{name} of {key}")
    except StateVersionError as error:
        return str(error)
    except (TypeError, ValueError):
        return f"the state of {step_id} has another form"
    return ""


def _book(key: str, _: Any, *, books: Books) -> BookKeeper:
    """The order book of one instrument."""
    policy = BookPolicy(
        levels=books.levels,
        every_ms=books.every_ms,
        depth=books.depth,
        first_depth=books.first_depth if books.levels <= books.first_depth else books.depth,
        audit_ms=int(books.audit_s * 1_000),
        audit_least_share=books.audit_least_share,
    )
    return BookKeeper(key, policy=policy)


def _stats(key: str, _: Any, *, feed: Feed) -> DayStats:
    """The 24 hours of one instrument."""
    return DayStats(key, timeframe=minutes_of(feed.timeframes))


def _freshness(
    clock: FeedClock, *, feed: Feed, has_books: bool, outages: Callable[[], Mapping[str, str]] | None
) -> Freshness:
    """The states of all instruments."""
    return Freshness(
        feed.venue,
        clock,
        kinds=feed.streams,
        has_books=has_books,
        is_timely=feed.origin in ("live", "testnet"),
        outages=outages,
    )


def only(step_id: str, up: KeyedStream[Any], *kinds: type) -> Stream[Any]:
    """The values of some types, without their keys."""
    return op.flat_map_batch(step_id, up, lambda items: [value for _, value in items if type(value) in kinds])


def by_instrument(batches: list[TradeBatch]) -> list[tuple[str, TradeBatch]]:
    """Trades under the key of their instrument, for the partitions of the store."""
    return [(Instrument(batch.venue, batch.symbol).key, batch) for batch in batches]


def _refused(news: Stream[Any], found: Stream[Any], kept: KeyedStream[Any] | None) -> Stream[Rejected]:
    """What was refused, wherever."""
    refused = [_of_type("refused_input", news, Rejected), _of_type("refused_trades", found, Rejected)]
    if kept is not None:
        refused.append(only("refused_books", kept, Rejected))
    return op.merge("refused", *refused)


def _observed(news: Stream[Any], found: Stream[Any], kept: KeyedStream[Any] | None) -> Stream[Any]:
    """What tells the state of instruments."""
    observed = [
        _of_type("observed", news, Progress, ChannelRefused, *get_args(ConnectionEvent)),
        _of_type("witnesses", found, TradeWitness),
    ]
    if kept is not None:
        observed.append(op.flat_map_batch("book_syncs", kept, BookSyncs()))
    return op.merge("observations", *observed)


def _of_type(step_id: str, up: Stream[Any], *kinds: type) -> Stream[Any]:
    """The items of some types."""
    return op.flat_map_batch(step_id, up, lambda items: [item for item in items if isinstance(item, kinds)])


def recorded(items: list[tuple[str, Any]]) -> list[Candle]:
    """Candles that are for the store alone."""
    return [value.candle for _, value in items if type(value) is StoreOnly]


def _trades_to_store(trades: Stream[TradeBatch], traded: KeyedStream[Any]) -> Stream[tuple[str, TradeBatch]]:
    restored = op.flat_map_batch("restored", traded, restored_trades)
    return op.flat_map_batch("by_instrument", op.merge("kept_trades", trades, restored), by_instrument)


def restored_trades(items: list[tuple[str, Any]]) -> list[TradeBatch]:
    """Trades that are for the store alone."""
    return [value.batch for _, value in items if type(value) is StoreOnlyTrades]


def ends_of_requests(items: list[tuple[str, Any]]) -> list[RefreshResult | Removed]:
    """What became of requests, and which machines are gone with what was asked of them."""
    return [value for _, value in items if type(value) is RefreshResult or type(value) is Removed]


def _tickers(venue: str, items: list[Any]) -> list[tuple[str, Ticker]]:
    return [(Instrument(venue, item.symbol).key, item) for item in items if isinstance(item, Ticker)]


def _minutes(timeframe: str, items: list[tuple[str, Any]]) -> list[tuple[str, Candle | Removed]]:
    """The candles of the minutes, and behind the last one that no more will come."""
    return [
        keyed
        for keyed in items
        if (type(keyed[1]) is Candle and keyed[1].timeframe == timeframe) or type(keyed[1]) is Removed
    ]


def _quotes(items: list[tuple[str, Any]]) -> list[Any]:
    return [value for _, value in items if isinstance(value, BookView | BookTicker | Stats24h)]


def together(key: str, items: list[Any]) -> list[tuple[str, Any]]:
    """For a sink that is one for the whole deployment: everything has the same key."""
    return [(key, items)] if items else []
