"""The dataflow, from the venue to the stores. Every part comes in as an argument; nothing here knows a venue or a
store.
"""

from functools import partial
from typing import Any

from bytewax import operators as op
from bytewax.dataflow import Dataflow, Stream
from bytewax.inputs import Source
from bytewax.operators import KeyedStream
from bytewax.outputs import Sink
from msgspec import Struct

from flows.clock import FeedClock, monotonic_ms
from flows.machine import AskRunner, machine, refuse_asks
from flows.model import Candle, FeedStatus, Incident, Instrument, Recorded, Refreshed, Rejected, Ticker, TradeBatch
from flows.operators.candles import CandleBuilder
from flows.operators.chain import Chain
from flows.operators.gather import Gather
from flows.operators.news import News
from flows.operators.parse import Parse, VenueParser
from flows.operators.prices import Prices
from flows.operators.reconcile import Reconciler
from flows.operators.sequence import Sequencer
from flows.operators.validate import Validate
from flows.settings import Feed


class Sinks(Struct, frozen=True):
    """Where the results go; None leaves a branch out."""

    candles: Sink[tuple[str, Any]] | None = None
    trades: Sink[tuple[str, TradeBatch]] | None = None
    broadcast: Sink[Any] | None = None
    rejects: Sink[Rejected] | None = None
    incidents: Sink[Incident] | None = None
    refreshed: Sink[Refreshed] | None = None


def market_flow(
    *,
    source: Source[Any],
    parser: VenueParser,
    feed: Feed,
    sinks: Sinks,
    clock: FeedClock | None = None,
    runner: AskRunner | None = None,
) -> Dataflow:
    """The flow of one venue. Without a `runner` of asks no hole is repaired and no history fetched. Step ids are part
    of the contract: recovered state is found by them.
    """
    clock = clock or FeedClock()
    flow = Dataflow("marketflow")
    frames = op.input("source", flow, source)
    parsed = op.flat_map_batch("parse", frames, Parse(feed.venue, parser))
    valid = op.flat_map_batch("validate", parsed, Validate())

    gathered = op.flat_map_batch("gather", valid, Gather(clock, hold_ms=feed.gather_ms, monotonic_ms=monotonic_ms))
    build = partial(_sequence_candles, feed=feed, asks=runner is not None)
    traded = machine("sequence_candles_reconcile", gathered, build, clock, runner or refuse_asks)
    trades = _only("sequence", traded, TradeBatch)
    candles = _only("candles", traded, Candle)
    proofs = op.flat_map_batch("reconcile", traded, _recorded)
    news = op.flat_map_batch("news", valid, News(feed.venue, clock))
    incidents = op.merge("incidents", _only("amiss", traded, Incident), _of_type("outages", news, Incident))

    if sinks.candles:
        stored = op.merge("stored", candles, proofs)
        op.output("mongodb", op.flat_map_batch("documents", stored, partial(_together, "mongodb")), sinks.candles)
    if sinks.trades:
        op.output("rocksdb", op.flat_map_batch("by_instrument", trades, _by_instrument), sinks.trades)
    if sinks.incidents:
        op.output("ledger", incidents, sinks.incidents)
    if sinks.refreshed:
        op.output("requests", _only("refreshed", traded, Refreshed), sinks.refreshed)
    if sinks.rejects:
        op.output("rejects", _of_type("refused", news, Rejected), sinks.rejects)
    if sinks.broadcast:
        prices = op.flat_map_batch("prices", valid, Prices())
        told = _of_type("told", news, FeedStatus, Ticker)
        everything = op.merge("everything", prices, told, trades, candles, incidents)
        op.output("broadcast", op.flat_map_batch("all", everything, partial(_together, "hub")), sinks.broadcast)
    return flow


def _sequence_candles(key: str, state: Any, *, feed: Feed, asks: bool) -> Chain:
    """Sequencing, candles and their proof for one instrument, in one keyed step."""
    sequenced, built, reconciled = state or (None, None, None)
    return Chain(
        Sequencer(
            key,
            reorder_ms=feed.reorder_ms,
            repair_ms=feed.repair_ms if asks else 0,
            repair_trades=feed.repair_trades,
            state=sequenced,
        ),
        CandleBuilder(
            key,
            timeframes=feed.timeframes,
            close_grace_ms=feed.close_grace_ms,
            forming_ms=feed.forming_ms,
            seed_ms=feed.seed_ms if "kline" in feed.streams else 0,
            state=built,
        ),
        Reconciler(
            key,
            timeframes=feed.timeframes,
            asks=asks,
            grace_ms=feed.proof_grace_ms,
            refresh_ms=feed.refresh_minutes * 60_000,
            state=reconciled,
        ),
    )


def _only(step_id: str, up: KeyedStream[Any], kind: type) -> Stream[Any]:
    """The values of one type, without their keys."""
    return op.flat_map_batch(step_id, up, lambda items: [value for _, value in items if type(value) is kind])


def _by_instrument(batches: list[TradeBatch]) -> list[tuple[str, TradeBatch]]:
    return [(Instrument(batch.venue, batch.symbol).key, batch) for batch in batches]


def _of_type(step_id: str, up: Stream[Any], *kinds: type) -> Stream[Any]:
    """The items of some types."""
    return op.flat_map_batch(step_id, up, lambda items: [item for item in items if isinstance(item, kinds)])


def _recorded(items: list[tuple[str, Any]]) -> list[Candle]:
    return [value.candle for _, value in items if type(value) is Recorded]


def _together(key: str, items: list[Any]) -> list[tuple[str, Any]]:
    """For a sink that is one for the whole deployment: everything has the same key."""
    return [(key, items)] if items else []
