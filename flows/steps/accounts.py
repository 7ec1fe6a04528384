"""Accounts: their balances and positions."""

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any, Final, final

from bytewax import operators as op
from bytewax.dataflow import Stream, operator
from bytewax.operators import KeyedStream
from msgspec import Struct

from flows.clock import FeedClock, monotonic_ms
from flows.machine import QueryRunner, machine
from flows.model import Incident, MarketData, MarkPrice
from flows.model.account import (
    AccountInput,
    AccountItem,
    AccountPrices,
    AccountState,
    AccountTotal,
    Balance,
    Position,
    account_key,
)
from flows.operators.account.keeper import AccountKeeper, AccountPolicy
from flows.settings import Accounts
from flows.steps.streams import built, pick

_EVERY_MS: Final = 250
"""Least time between two lots of prices."""


@final
@dataclass(frozen=True)
class AccountStreams:
    """What is made of what an account brings."""

    items: Stream[AccountItem]
    totals: Stream[AccountTotal]
    incidents: Stream[Incident]
    """They name no asset and no amount, but go to the ledger alone: accounts are not everyone's."""


class AccountParts(Struct, frozen=True):
    """What the account of a venue needs."""

    source: Any
    """A source of the engine, of `(key, report)`."""
    label: str
    rules: Accounts


class PricesOf:
    """The newest prices for one account, a few times a second. A mark price takes the place of the last trade's, until
    none has come for `stale_ms`.
    """

    def __init__(self, key: str, stale_ms: int, monotonic: Callable[[], int]) -> None:
        self._key = key
        self._stale_ms = stale_ms
        self._monotonic = monotonic
        self._marked: dict[str, int] = {}
        """When a mark price came last, local."""
        self._newest: dict[str, tuple[Decimal, int]] = {}
        self._sent = 0

    def __call__(self, batch: list[Any]) -> list[tuple[str, AccountPrices]]:
        """Takes prices of the market."""
        now = self._monotonic()
        for item in batch:
            if type(item) is MarkPrice:
                self._marked[item.symbol] = now
                self._newest[item.symbol] = Decimal(repr(item.mark_price)), item.event_time
            elif type(item) is MarketData and self._marked.get(item.symbol, -self._stale_ms) + self._stale_ms <= now:
                self._newest[item.symbol] = Decimal(repr(item.price)), item.time
        if not self._newest or now - self._sent < _EVERY_MS:
            return []
        found, self._newest, self._sent = self._newest, {}, now
        return [(self._key, AccountPrices(tuple((symbol, *of) for symbol, of in found.items())))]


def accounts(
    step_id: str,
    reports: KeyedStream[AccountInput],
    prices: Stream[MarketData],
    marks: Stream[Any] | None,
    *,
    venue: str,
    parts: AccountParts,
    clock: FeedClock,
    runner: QueryRunner,
) -> AccountStreams:
    """The balances and positions of an account, valued by the newest mark prices, or prices where there are none."""
    rules = parts.rules
    policy = AccountPolicy(int(rules.audit_s * 1_000), int(rules.stale_s * 1_000), rules.quote)
    key = account_key(venue, parts.label)
    prices_of = PricesOf(key, policy.stale_ms, monotonic_ms)
    return _accounts(step_id, policy, clock, runner, prices_of, reports, *built([prices, marks]))


@operator
def _accounts(
    step_id: str,  # noqa: ARG001 - the engine's decorator takes it
    policy: AccountPolicy,
    clock: FeedClock,
    runner: QueryRunner,
    prices_of: PricesOf,
    reports: KeyedStream[AccountInput],
    *prices: Stream[Any],
) -> AccountStreams:
    market = prices[0] if len(prices) == 1 else op.merge("market", *prices)
    priced: KeyedStream[AccountInput] = op.flat_map_batch("prices", market, prices_of)
    inputs: KeyedStream[AccountInput] = op.merge("inputs", reports, priced)
    results: KeyedStream[Any] = machine("account", inputs, partial(_keeper, policy), clock, runner)
    return AccountStreams(
        items=pick("items", results, Balance, Position, AccountState),
        totals=pick("totals", results, AccountTotal),
        incidents=pick("incidents", results, Incident),
    )


def _keeper(policy: AccountPolicy, key: str, state: Any) -> AccountKeeper:
    return AccountKeeper(key, policy, state)
