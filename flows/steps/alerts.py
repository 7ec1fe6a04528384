"""Alerts: the rules of a user."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream
from msgspec import Struct

from flows.clock import FeedClock
from flows.machine import machine
from flows.model import Removed
from flows.model.alerts import Alert, RuleBook
from flows.operators.alerts.inputs import AlertInput, AlertInputs
from flows.operators.alerts.keeper import AlertKeeper
from flows.steps.streams import built, pick


@final
@dataclass(frozen=True)
class AlertStreams:
    """What is made of rules."""

    fired: Stream[Alert]


class AlertParts(Struct, frozen=True):
    """What the alerts of a venue need."""

    rules: Callable[[], RuleBook]
    """The present rules of all venues; another object when they change."""
    own_name: Callable[[str], str]
    """The venue's own name of a symbol."""
    fresh_ms: int
    """Trades that are older make nothing fire."""


def alerts(step_id: str, *watched: Stream[Any] | None, venue: str, parts: AlertParts, clock: FeedClock) -> AlertStreams:
    """The rules, one machine for each instrument that has any. `watched` are trades in sequence, states of instruments,
    events of lines, and incidents.
    """
    inputs = AlertInputs(venue, parts.rules, parts.own_name)
    return _alerts(step_id, inputs, parts.fresh_ms, clock, *built(watched))


@operator
def _alerts(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    inputs: AlertInputs,
    fresh_ms: int,
    clock: FeedClock,
    *watched: Stream[Any],
) -> AlertStreams:
    keyed: KeyedStream[AlertInput] = op.flat_map_batch("by_instrument", op.merge("watched", *watched), inputs)
    results: KeyedStream[Alert | Removed] = machine("rules", keyed, partial(_keeper, fresh_ms), clock)
    return AlertStreams(fired=pick("fired", results, Alert))


def _keeper(fresh_ms: int, key: str, state: Any) -> AlertKeeper:
    """The machine of one instrument."""
    return AlertKeeper(key, fresh_ms=fresh_ms, state=state)
