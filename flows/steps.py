"""The steps of the flow, each of them one node of its picture. `flows.graph` puts them together.

A step is an operator made of the engine's own ones. One that gives several kinds of results gives each as a stream of
its own: `trades.candles`, `feed.incidents`. Every such stream costs a look at every batch of results, so those that
nothing reads are taken out in the end (`drop_unread`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, final, get_args

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Operator, Stream, operator
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import FeedClock, monotonic_ms
from flows.machine import QueryRunner, keeper, machine, refuse_queries
from flows.model import (
    BookInput,
    BookResult,
    BookTicker,
    BookView,
    Candle,
    ConnectionEvent,
    Document,
    FeedStatus,
    Flush,
    Heartbeat,
    Incident,
    Instrument,
    InstrumentStatus,
    Publishable,
    RefreshResult,
    Rejected,
    Removed,
    Stats24h,
    StatsInput,
    StatsResult,
    StoreOnly,
    StoreOnlyTrades,
    Ticker,
    TradeBatch,
    TradeInput,
    TradeResult,
    TradeWitness,
)
from flows.operators.books.keeper import BookKeeper, BookPolicy, book_events
from flows.operators.candles.builder import CandleBuilder
from flows.operators.candles.reconcile import KEPT_MS, Reconciler
from flows.operators.parse import Validated
from flows.operators.pipeline import Pipeline
from flows.operators.refusals import RejectIncidents
from flows.operators.stats.day import DayStats, OncePerMinute, minutes_of
from flows.operators.status.freshness import Freshness
from flows.operators.status.line_status import LineStatus, StatusOutput
from flows.operators.status.observations import BookSyncs, ChannelRefused, Observation, Observe, Progress, Unsynced
from flows.operators.time_gate import QueryTime
from flows.operators.trades.batching import MicroBatcher
from flows.operators.trades.sequence import Sequencer
from flows.queries import TimeQuery
from flows.settings import Books, Feed

X = TypeVar("X")
Y = TypeVar("Y")
Step = TypeVar("Step", bound=Operator)

Outages: TypeAlias = Callable[[], Mapping[str, str]]
"""Gives the reason of each store that takes nothing now, by its name; empty for one that works."""


def server_time(runner: QueryRunner | None) -> QueryTime | None:
    """How the step `validate` queries the venue's REST side for its time; None without one."""
    if runner is None:
        return None

    def query(answer: Callable[[int | None], None]) -> None:
        runner("server_time", TimeQuery(""), lambda time: answer(time if isinstance(time, int) else None))

    return query


# --- trades and candles ---


@final
@dataclass(frozen=True)
class CandleStreams:
    """What is made of trades and klines."""

    trades: Stream[TradeBatch]
    """In the order of their ids, without a hole and without a duplicate."""
    candles: Stream[Candle]
    corrections: Stream[Candle]
    """Candles for the store alone: of the past, or published before their proof was known."""
    restored: Stream[TradeBatch]
    """Trades for the store alone, which has lost them."""
    minutes: KeyedStream[Candle | Removed]
    """The candles of the shortest timeframe of a minute or more, and behind the last one that no more will come."""
    requests: Stream[RefreshResult | Removed]
    """What became of requests to fetch the past again, and the instruments whose requests have ended with them."""
    incidents: Stream[Incident]
    witnesses: Stream[TradeWitness]
    rejected: Stream[Rejected]


@operator
def candles(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    events: Stream[Validated],
    feed: Feed,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner | None,
) -> CandleStreams:
    """Trades in sequence and the candles made of them, both complete, one machine for each instrument. Without a
    `runner` no hole is repaired and no history fetched. `clock` closes the candles, and is set here.
    """
    batches: KeyedStream[TradeInput] = op.flat_map_batch(
        "batches", events, MicroBatcher(clock, hold_ms=feed.gather_ms, monotonic_ms=monotonic_ms)
    )
    build = partial(sequence_candles, feed=feed, can_query=runner is not None, rules=rules)
    results: KeyedStream[TradeResult] = machine("pipeline", batches, build, clock, runner or refuse_queries)
    trades = pick("trades", results, TradeBatch)
    built = pick("candles", results, Candle)
    corrections = op.flat_map_batch("corrections", results, corrected_candles)
    # one step, for each costs at every poll; those behind it only when there is something
    rare: Stream[Incident | TradeWitness | Rejected] = pick("rare", results, Incident, TradeWitness, Rejected)
    return CandleStreams(
        trades=trades,
        candles=built,
        corrections=corrections,
        restored=op.flat_map_batch("restored", results, restored_trades),
        minutes=op.flat_map_batch("minutes", results, partial(minutes_among, minutes_of(feed.timeframes))),
        requests=op.flat_map_batch("requests", results, ends_of_requests),
        incidents=select("incidents", rare, Incident),
        witnesses=select("witnesses", rare, TradeWitness),
        rejected=select("rejected", rare, Rejected),
    )


def sequence_candles(
    key: str, state: Any, *, feed: Feed, can_query: bool, rules: VenueRules = ANY_VENUE, kept_ms: int = KEPT_MS
) -> Pipeline[TradeInput, TradeResult]:
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
            rules=rules,
            can_query=can_query,
            grace_ms=feed.proof_grace_ms,
            refresh_ms=feed.refresh_minutes * 60_000,
            kept_ms=kept_ms,
            state=reconciled,
        ),
    )


def corrected_candles(items: list[tuple[str, TradeResult]]) -> list[Candle]:
    """Candles that are for the store alone."""
    return [value.candle for _, value in items if type(value) is StoreOnly]


def restored_trades(items: list[tuple[str, TradeResult]]) -> list[TradeBatch]:
    """Trades that are for the store alone."""
    return [value.batch for _, value in items if type(value) is StoreOnlyTrades]


def ends_of_requests(items: list[tuple[str, TradeResult]]) -> list[RefreshResult | Removed]:
    """Results of requests, and the instruments whose machines are gone with what was requested of them."""
    return [value for _, value in items if type(value) is RefreshResult or type(value) is Removed]


def minutes_among(timeframe: str, items: list[tuple[str, TradeResult]]) -> list[tuple[str, Candle | Removed]]:
    """The candles of a timeframe, and the ends of instruments, in their order."""
    return [
        (key, value)
        for key, value in items
        if (type(value) is Candle and value.timeframe == timeframe) or type(value) is Removed
    ]


# --- connections, rejected input, the exchange's statistics ---


@final
@dataclass(frozen=True)
class FeedStreams:
    """What is known of the feed itself."""

    updates: Stream[FeedStatus | Ticker]
    """For clients: states of the connections, and the exchange's own 24-hour statistics."""
    tickers: KeyedStream[Ticker]
    """The same statistics by instrument."""
    observed: Stream[ConnectionEvent | Progress | ChannelRefused]
    incidents: Stream[Incident | Progress | Flush]
    """With what says that time passes, and that the input ends."""
    rejected: Stream[Rejected]


@operator
def feed_status(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    events: Stream[Validated],
    feed: Feed,
    clock: FeedClock,
) -> FeedStreams:
    """What happens seldom and is not about trades. One step looks at everything, for each costs at every poll; those
    behind it only when there is something.
    """
    rare: Stream[StatusOutput | Observation] = op.flat_map_batch(
        "rare", events, LineStatus(feed.venue, clock, observe=Observe(monotonic_ms))
    )
    return FeedStreams(
        updates=select("updates", rare, FeedStatus, Ticker),
        tickers=op.flat_map_batch("tickers", rare, partial(_tickers_by_instrument, feed.venue)),
        observed=select("observed", rare, Progress, ChannelRefused, *get_args(ConnectionEvent)),
        incidents=select("incidents", rare, Incident, Progress, Flush),
        rejected=select("rejected", rare, Rejected),
    )


def _tickers_by_instrument(venue: str, items: list[StatusOutput | Observation]) -> list[tuple[str, Ticker]]:
    return [(Instrument(venue, item.symbol).key, item) for item in items if isinstance(item, Ticker)]


# --- order books ---


@final
@dataclass(frozen=True)
class BookStreams:
    """What is made of the differences of order books."""

    views: Stream[BookView | BookTicker]
    """The best levels, and the best bid and ask."""
    synced: Stream[Unsynced]
    incidents: Stream[Incident]
    rejected: Stream[Rejected]


def order_books(
    step_id: str,
    events: Stream[Validated],
    books: Books,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner | None,
) -> BookStreams | None:
    """The order book of each instrument; without a `runner` there is none, as its snapshot is queried."""
    return _order_books(step_id, events, books, clock, rules, runner) if runner else None


@operator
def _order_books(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    events: Stream[Validated],
    books: Books,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner,
) -> BookStreams:
    by_instrument: KeyedStream[BookInput] = op.flat_map_batch("by_instrument", events, book_events)
    build = partial(_book, books=books, rules=rules)
    results: KeyedStream[BookResult | Removed] = machine("book", by_instrument, build, clock, runner)
    return BookStreams(
        views=op.flat_map_batch("views", results, _views),
        synced=op.flat_map_batch("synced", results, BookSyncs()),
        incidents=pick("incidents", results, Incident),
        rejected=pick("rejected", results, Rejected),
    )


def _book(key: str, _: object, *, books: Books, rules: VenueRules) -> BookKeeper:
    """The order book of one instrument."""
    policy = BookPolicy(
        levels=books.levels,
        every_ms=books.every_ms,
        depth=books.depth,
        first_depth=books.first_depth if books.levels <= books.first_depth else books.depth,
        audit_ms=int(books.audit_s * 1_000),
        audit_least_share=books.audit_least_share,
    )
    return BookKeeper(key, policy=policy, rules=rules)


def _views(items: list[tuple[str, BookResult | Removed]]) -> list[BookView | BookTicker]:
    return [value for _, value in items if isinstance(value, BookView | BookTicker)]


# --- 24-hour statistics ---


@final
@dataclass(frozen=True)
class StatsStreams:
    """Statistics over the last 24 hours."""

    latest: Stream[Stats24h]
    per_minute: Stream[Stats24h]
    """The first complete ones of each minute, for the store."""
    incidents: Stream[Incident]


def stats_24h(
    step_id: str,
    minutes: KeyedStream[Candle | Removed],
    tickers: KeyedStream[Ticker],
    feed: Feed,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner | None,
) -> StatsStreams | None:
    """The statistics of each instrument, from its own candles, compared with the exchange's `tickers`; without a
    `runner` there are none, as the minutes before the start are queried.
    """
    return _stats_24h(step_id, minutes, tickers, feed, clock, rules, runner) if runner else None


@operator
def _stats_24h(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    minutes: KeyedStream[Candle | Removed],
    tickers: KeyedStream[Ticker],
    feed: Feed,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner,
) -> StatsStreams:
    inputs: KeyedStream[StatsInput] = op.merge("inputs", minutes, tickers)
    build = partial(_day, timeframe=minutes_of(feed.timeframes), rules=rules)
    results: KeyedStream[StatsResult | Removed] = machine("day", inputs, build, clock, runner)
    latest = pick("latest", results, Stats24h)
    return StatsStreams(
        latest=latest,
        per_minute=op.flat_map_batch("per_minute", latest, OncePerMinute()),
        incidents=pick("incidents", results, Incident),
    )


def _day(key: str, _: object, *, timeframe: str, rules: VenueRules) -> DayStats:
    """The 24 hours of one instrument."""
    return DayStats(key, timeframe=timeframe, rules=rules)


# --- states of instruments ---


def freshness(
    step_id: str,
    *observed: Stream[Observation] | None,
    feed: Feed,
    clock: FeedClock,
    has_books: bool,
    outages: Outages | None,
) -> Stream[InstrumentStatus | Heartbeat]:
    """How current the data of each instrument is, one keeper for the whole deployment."""
    build = partial(
        Freshness,
        feed.venue,
        clock,
        kinds=feed.streams,
        has_books=has_books,
        is_timely=feed.origin in ("live", "testnet"),
        outages=outages,
    )
    return _freshness(step_id, build, *_built(observed))


@operator
def _freshness(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    build: Callable[[], Freshness],
    *observed: Stream[Observation],
) -> Stream[InstrumentStatus | Heartbeat]:
    return keeper("states", op.merge("observations", *observed), build)


# --- incidents ---


def incidents(step_id: str, clock: FeedClock, *found: Stream[Incident | Progress | Flush] | None) -> Stream[Incident]:
    """Everything that went wrong; refused input as one incident a second."""
    return _incidents(step_id, clock, *_built(found))


@operator
def _incidents(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    clock: FeedClock,
    *found: Stream[Incident | Progress | Flush],
) -> Stream[Incident]:
    return op.flat_map_batch("bounded", op.merge("found", *found), RejectIncidents(clock))


# --- outputs ---


def output(step_id: str, *streams: Stream[X] | None, sink: Sink[X] | None) -> None:
    """Streams into a sink; without one they are not read."""
    if sink is not None:
        _output(step_id, sink, *_built(streams))


def broadcast(
    step_id: str, *news: Stream[Publishable] | None, sink: Sink[tuple[str, list[Publishable]]] | None
) -> None:
    """Everything for clients, to the one hub of the deployment."""
    if sink is not None:
        _output_packed(step_id, "hub", sink, *_built(news))


def to_mongo(step_id: str, *documents: Stream[Document] | None, sink: Sink[tuple[str, list[Document]]] | None) -> None:
    """Candles and statistics, to the one writer of the deployment."""
    if sink is not None:
        _output_packed(step_id, "mongodb", sink, *_built(documents))


def to_rocksdb(step_id: str, *trades: Stream[TradeBatch], sink: Sink[tuple[str, list[TradeBatch]]] | None) -> None:
    """Trades, to the partitions of their store."""
    if sink is not None:
        _output_trades(step_id, sink, *trades)


@operator
def _output(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    sink: Sink[X],
    *streams: Stream[X],
) -> None:
    op.output("sink", _merged(streams), sink)


@operator
def _output_packed(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    key: str,
    sink: Sink[tuple[str, list[X]]],
    *streams: Stream[X],
) -> None:
    packed: KeyedStream[list[X]] = op.flat_map_batch("packed", _merged(streams), partial(pack, key))
    op.output("sink", packed, sink)


@operator
def _output_trades(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    sink: Sink[tuple[str, list[TradeBatch]]],
    *trades: Stream[TradeBatch],
) -> None:
    op.output("sink", op.flat_map_batch("by_instrument", _merged(trades), trades_by_instrument), sink)


def pack(key: str, items: list[X]) -> list[tuple[str, list[X]]]:
    """For a sink that is one for the whole deployment: everything has the same key, and is one item of the engine."""
    return [(key, items)] if items else []


def trades_by_instrument(batches: list[TradeBatch]) -> list[tuple[str, list[TradeBatch]]]:
    """Trades under the key of their instrument, for the partitions of the store."""
    return [(Instrument(batch.venue, batch.symbol).key, [batch]) for batch in batches]


# --- streams ---


def pick(step_id: str, results: KeyedStream[Any], *kinds: type[Y]) -> Stream[Y]:
    """The values of some types, without their keys."""
    return op.flat_map_batch(step_id, results, lambda items: [value for _, value in items if type(value) in kinds])


def select(step_id: str, items: Stream[Any], *kinds: type[Y]) -> Stream[Y]:
    """The items of some types."""
    return op.flat_map_batch(step_id, items, lambda batch: [item for item in batch if isinstance(item, kinds)])


def _built(streams: Sequence[Stream[X] | None]) -> list[Stream[X]]:
    return [stream for stream in streams if stream is not None]


def _merged(streams: Sequence[Stream[X]]) -> Stream[X]:
    return streams[0] if len(streams) == 1 else op.merge("merged", *streams)


def drop_unread(flow: Dataflow) -> Dataflow:
    """Takes out every step whose results nothing reads: what leads to no sink costs nothing."""
    _keep_read(flow.substeps, set())
    return flow


def _keep_read(steps: list[Step], read: set[str]) -> None:
    """Looks at the steps from the last one to the first; `read` are the streams that those behind them read."""
    kept: list[Step] = []
    for step in reversed(steps):
        if step.substeps:
            _keep_read(step.substeps, read)
            is_read = bool(step.substeps)
        else:
            results = _stream_ids(step, step.dwn_names)
            is_read = not results or not read.isdisjoint(results)
            if is_read:
                read |= _stream_ids(step, step.ups_names)
        if is_read:
            kept.append(step)
    steps[:] = reversed(kept)


def _stream_ids(step: Operator, ports: list[str]) -> set[str]:
    return {stream_id for port in ports for stream_id in getattr(step, port).stream_ids.values()}
