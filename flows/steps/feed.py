"""Connections, rejected input, the exchange's own statistics."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import final, get_args

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.clock import FeedClock, monotonic_ms
from flows.machine import QueryRunner
from flows.model import ConnectionEvent, FeedStatus, Flush, Incident, Instrument, Rejected, Ticker
from flows.operators.parse import Validated
from flows.operators.status.line_status import LineStatus, StatusOutput
from flows.operators.status.observations import ChannelRefused, Observation, Observe, Progress
from flows.operators.time_gate import QueryTime
from flows.queries import TimeQuery
from flows.settings import Feed
from flows.steps.streams import select


def server_time(runner: QueryRunner | None) -> QueryTime | None:
    """How the step `validate` queries the venue's REST side for its time; None without one."""
    if runner is None:
        return None

    def query(answer: Callable[[int | None], None]) -> None:
        runner("server_time", TimeQuery(""), lambda time: answer(time if isinstance(time, int) else None))

    return query


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
