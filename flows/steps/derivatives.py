"""What derivatives have besides trades and books."""

from dataclasses import dataclass
from functools import partial
from typing import final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream

from flows.bounds import VenueRules
from flows.clock import FeedClock
from flows.machine import QueryRunner, machine, refuse_queries
from flows.model import (
    Funding,
    FundingState,
    Incident,
    Liquidation,
    MarkPrice,
    OpenInterest,
    Removed,
    TradingStatus,
)
from flows.operators.derivatives.contract import ContractKeeper, contract_events
from flows.operators.derivatives.minutes import FirstOfMinute
from flows.operators.derivatives.results import ContractInput, ContractResult
from flows.operators.parse import Validated
from flows.operators.status.observations import ChannelRefused
from flows.settings import Feed
from flows.steps.streams import pick


@final
@dataclass(frozen=True)
class DerivativeStreams:
    """What is known of derivatives."""

    updates: Stream[MarkPrice | FundingState | OpenInterest | Liquidation]
    """For clients."""
    records: Stream[Funding | OpenInterest | Liquidation]
    """For the store."""
    per_minute: Stream[MarkPrice]
    """The first mark price of each minute, for the store."""
    observed: Stream[ChannelRefused | TradingStatus]
    """What the states of instruments are made of."""
    incidents: Stream[Incident]


def derivatives(
    step_id: str,
    events: Stream[Validated],
    feed: Feed,
    clock: FeedClock,
    rules: VenueRules,
    runner: QueryRunner | None,
) -> DerivativeStreams | None:
    """Mark price, funding, open interest and liquidations of each instrument; None at a venue without derivatives.
    Without a `runner` there is only what the streams bring.
    """
    return _derivatives(step_id, events, feed, clock, runner) if rules.has_derivatives else None


@operator
def _derivatives(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    events: Stream[Validated],
    feed: Feed,
    clock: FeedClock,
    runner: QueryRunner | None,
) -> DerivativeStreams:
    by_instrument: KeyedStream[ContractInput] = op.flat_map_batch("by_instrument", events, contract_events)
    build = partial(_contract, interest_ms=int(feed.open_interest_s * 1_000))
    results: KeyedStream[ContractResult | Removed] = machine(
        "contract", by_instrument, build, clock, runner or refuse_queries
    )
    prices = pick("prices", results, MarkPrice)
    return DerivativeStreams(
        updates=pick("updates", results, MarkPrice, FundingState, OpenInterest, Liquidation),
        records=pick("records", results, Funding, OpenInterest, Liquidation),
        per_minute=op.flat_map_batch("per_minute", prices, FirstOfMinute()),
        observed=pick("observed", results, ChannelRefused, TradingStatus),
        incidents=pick("incidents", results, Incident),
    )


def _contract(key: str, state: object, *, interest_ms: int) -> ContractKeeper:
    """The machine of one instrument."""
    return ContractKeeper(key, interest_ms=interest_ms, state=state)
