"""Trades in sequence and the candles made of them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.bounds import ANY_VENUE, VenueRules
from flows.clock import FeedClock, monotonic_ms
from flows.machine import AwaitedQueries, QueryRunner, machine, refuse_queries
from flows.model import (
    Candle,
    Incident,
    RefreshResult,
    Rejected,
    Removed,
    StoreOnly,
    StoreOnlyTrades,
    TradeBatch,
    TradeInput,
    TradeResult,
    TradeWitness,
)
from flows.operators.candles.builder import CandleBuilder
from flows.operators.candles.reconcile import KEPT_MS, Reconciler
from flows.operators.parse import Validated
from flows.operators.pipeline import Pipeline
from flows.operators.stats.day import minutes_of
from flows.operators.trades.batching import MicroBatcher
from flows.operators.trades.sequence import Sequencer
from flows.settings import Feed
from flows.steps.streams import pick, select

_RARE = Incident, TradeWitness, Rejected, StoreOnly, StoreOnlyTrades, RefreshResult, Removed


@final
@dataclass(frozen=True)
class CandleStreams:
    """What is made of trades and klines."""

    trades: Stream[TradeBatch]
    """In the order of their ids, without a gap and without a duplicate."""
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
    `runner` no gap is filled and no history fetched. `clock` closes the candles, and is set here.
    """
    batches = MicroBatcher(clock, hold_ms=feed.gather_ms, monotonic_ms=monotonic_ms)
    is_last = runner.is_last if isinstance(runner, AwaitedQueries) else None
    build = partial(sequence_candles, feed=feed, can_query=runner is not None, rules=rules, is_last=is_last)
    results: KeyedStream[TradeResult] = machine(
        "pipeline", events, build, clock, runner or refuse_queries, by_key=batches
    )
    trades = pick("trades", results, TradeBatch)
    built = pick("candles", results, Candle)
    # one step, for each costs at every poll; those behind it only when there is something
    rare: Stream[Any] = pick("rare", results, *_RARE)
    return CandleStreams(
        trades=trades,
        candles=built,
        corrections=op.flat_map_batch("corrections", rare, corrected_candles),
        restored=op.flat_map_batch("restored", rare, restored_trades),
        minutes=op.flat_map_batch("minutes", results, partial(minutes_among, minutes_of(feed.timeframes))),
        requests=select("requests", rare, RefreshResult, Removed),
        incidents=select("incidents", rare, Incident),
        witnesses=select("witnesses", rare, TradeWitness),
        rejected=select("rejected", rare, Rejected),
    )


def sequence_candles(
    key: str,
    state: Any,
    *,
    feed: Feed,
    can_query: bool,
    rules: VenueRules = ANY_VENUE,
    kept_ms: int = KEPT_MS,
    is_last: Callable[[], bool] | None = None,
) -> Pipeline[TradeInput, TradeResult]:
    """Sequencing, candles and their proof for one instrument, in one keyed step. Closed candles are remembered for
    `kept_ms`. `is_last` says at the end of the input whether no later start goes on from there; None: one always does.
    """
    sequenced, built, reconciled = state or (None, None, None)
    return Pipeline(
        Sequencer(
            key,
            reorder_ms=max(feed.reorder_ms, rules.second_reorder_ms if feed.redundancy > 1 else 0),
            repair_ms=feed.repair_ms if can_query else 0,
            repair_trades=feed.repair_trades,
            rules=rules,
            state=sequenced,
            is_last=is_last,
        ),
        CandleBuilder(
            key,
            timeframes=feed.timeframes,
            close_grace_ms=feed.close_grace_ms,
            forming_ms=feed.forming_ms,
            seed_ms=feed.seed_ms if "kline" in feed.streams else 0,
            rules=rules,
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


def corrected_candles(items: list[Any]) -> list[Candle]:
    """Candles that are for the store alone."""
    return [item.candle for item in items if type(item) is StoreOnly]


def restored_trades(items: list[Any]) -> list[TradeBatch]:
    """Trades that are for the store alone."""
    return [item.batch for item in items if type(item) is StoreOnlyTrades]


def minutes_among(timeframe: str, items: list[tuple[str, TradeResult]]) -> list[tuple[str, Candle | Removed]]:
    """The candles of a timeframe, and the ends of instruments, in their order."""
    return [
        (key, value)
        for key, value in items
        if (type(value) is Candle and value.timeframe == timeframe) or type(value) is Removed
    ]
