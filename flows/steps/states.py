"""How current the data of each instrument is, and everything that went wrong."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

from bytewax import operators as op
from bytewax.dataflow import Stream, operator

from flows.clock import FeedClock
from flows.machine import keeper
from flows.model import Flush, Heartbeat, Incident, InstrumentStatus
from flows.operators.refusals import RejectIncidents
from flows.operators.status.freshness import Freshness
from flows.operators.status.observations import Observation, Progress
from flows.settings import Feed
from flows.steps.streams import built

Outages: TypeAlias = Callable[[], Mapping[str, str]]
"""Gives the reason of each store that takes nothing now, by its name; empty for one that works."""


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
        is_timely=feed.is_timely,
        outages=outages,
    )
    return _freshness(step_id, build, clock, *built(observed))


@operator
def _freshness(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    build: Callable[[], Freshness],
    clock: FeedClock,
    *observed: Stream[Observation],
) -> Stream[InstrumentStatus | Heartbeat]:
    return keeper("states", op.merge("observations", *observed), build, clock)


def incidents(step_id: str, clock: FeedClock, *found: Stream[Incident | Progress | Flush] | None) -> Stream[Incident]:
    """Everything that went wrong; refused input as one incident a second."""
    return _incidents(step_id, clock, *built(found))


@operator
def _incidents(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    clock: FeedClock,
    *found: Stream[Incident | Progress | Flush],
) -> Stream[Incident]:
    return op.flat_map_batch("bounded", op.merge("found", *found), RejectIncidents(clock))
