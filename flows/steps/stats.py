"""Statistics over the last 24 hours."""

from dataclasses import dataclass
from functools import partial
from typing import final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.bounds import VenueRules
from flows.clock import FeedClock
from flows.machine import QueryRunner, machine
from flows.model import Candle, Incident, Removed, Stats24h, StatsInput, StatsResult, Ticker
from flows.operators.stats.day import DayStats, OncePerMinute, minutes_of
from flows.settings import Feed
from flows.steps.streams import pick


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
