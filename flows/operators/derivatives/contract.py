"""Step `derivatives`: mark price, funding, open interest and liquidations of one instrument.

Streams bring mark prices and liquidations; REST has the settled funding and the open interest. Recovered are the times
up to which funding and open interest have left, and the newest liquidations: so after a restart nothing settled is
missing, and nothing is there twice.
"""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

from msgspec import structs

from flows.clock import Now
from flows.model import (
    ContractReport,
    Instrument,
    Liquidation,
    LiquidationReport,
    MarkPrice,
    MarkReport,
    Removed,
    Subscribed,
    TradingStatus,
)
from flows.operators.derivatives.funding import FundingBook
from flows.operators.derivatives.interest import Interest
from flows.operators.derivatives.marks import Marks
from flows.operators.derivatives.results import ContractInput, Results
from flows.operators.parse import Batch, InstrumentEvent, Validated
from flows.operators.state_version import restore
from flows.operators.status.observations import ChannelRefused
from flows.queries import (
    FundingQuery,
    FundingTermsQuery,
    MarkQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
    Query,
)

STATE_VERSION: Final = 1
LIQUIDATIONS_KNOWN: Final = 256
"""Newest liquidations by which a repeated one is recognised: the exchange names at most one a second."""

LiquidationKey = tuple[int, str, float, float]


class ContractState(NamedTuple):
    """What is recovered."""

    version: int
    funded_until: int
    """Time of the newest payment that has left, ms UTC; 0 without any."""
    interest_until: int
    liquidations: tuple[LiquidationKey, ...]
    """Oldest first."""


def contract_events(items: list[Validated]) -> list[tuple[str, ContractInput]]:
    """What the machines take, by instrument."""
    out: list[tuple[str, ContractInput]] = []
    for item in items:
        if type(item) is Batch:
            if isinstance(item.events[0], MarkReport | LiquidationReport | ContractReport):
                out.append((item.key, item.events))  # type: ignore[arg-type] # the events of a batch are of one type
        elif type(item) is InstrumentEvent:
            event = item.event
            if isinstance(event, Subscribed) or (isinstance(event, Removed) and event.is_gone):
                out.append((item.key, event))
    return out


class ContractKeeper:
    """Machine of one instrument. Takes its reports and the confirmations of its streams; gives `MarkPrice`,
    `FundingState`, `Funding`, `OpenInterest`, `Liquidation`, `Incident`, and what the states of the instrument are made
    of: `ChannelRefused`, `TradingStatus`.
    """

    def __init__(self, key: str, *, interest_ms: int, state: object = None) -> None:
        """`interest_ms` is the pace of open interest; 0: none. `StateVersionError` for a state of another version."""
        self._venue, self._symbol = Instrument.of(key)
        found = ContractState(STATE_VERSION, 0, 0, ())
        if state is not None:
            found = restore(state, STATE_VERSION, ContractState, f"the contract {key}")
        self._marks = Marks(self._venue, self._symbol)
        self._funding = FundingBook(self._venue, self._symbol, known=found.funded_until)
        self._interest = Interest(self._symbol, every_ms=interest_ms, known=found.interest_until)
        self._known = dict.fromkeys(found.liquidations)
        self._status = ""

    # --- the machine's face ---

    def on_events(self, events: ContractInput, now: Now) -> Results:
        """Takes reports of one type, or an event of a connection."""
        out: Results = []
        if isinstance(events, Subscribed):
            self._marks.begin(now)
            self._funding.begin(now)
            self._interest.begin(now)
        elif isinstance(events, list):
            out += self._take(events, now)
        return [*out, *self._due(now)]

    def on_timer(self, now: Now) -> Results:
        """Makes the queries that are due."""
        return [*self._due(now)]

    def on_answer(self, query: Query, answer: Any, now: Now) -> Results:
        """An answer, as the docstring of its query has it, or a `QueryError`."""
        out: Results = []
        match query:
            case MarkQuery():
                out += self._valued(self._marks.on_answer(answer, now))
            case FundingQuery():
                out += self._funding.on_answer(answer, now)
            case FundingTermsQuery():
                self._funding.on_terms(answer, now)
            case OpenInterestQuery() | OpenInterestHistoryQuery():
                out += self._interest.on_answer(query, answer, now)
        return [*out, *self._funding.state(), *self._due(now)]

    def on_end(self, now: Now) -> Results:  # noqa: ARG002 - as all machines
        """Nothing is held back."""
        return []

    def due_in(self, now: Now) -> int | None:
        """Milliseconds until the next query."""
        waits = (part.due_in(now) for part in (self._marks, self._funding, self._interest))
        return min((wait for wait in waits if wait is not None), default=None)

    def snapshot(self) -> ContractState:
        """What is not to be done again."""
        return ContractState(STATE_VERSION, self._funding.known, self._interest.known, tuple(self._known))

    # --- reports ---

    def _take(self, events: Sequence[Any], now: Now) -> Results:
        first = events[0]
        if isinstance(first, MarkReport):
            return [*self._valued(self._marks.take(list(events), now)), *self._stillness(now), *self._funding.state()]
        if isinstance(first, LiquidationReport):
            return [*self._liquidations(events)]
        return [*self._statuses(events)]

    def _valued(self, prices: list[MarkPrice]) -> list[MarkPrice]:
        for price in prices:
            self._funding.take(price)
        return prices

    def _stillness(self, now: Now) -> list[ChannelRefused]:
        reason = self._marks.stillness(now)
        return [] if reason is None else [ChannelRefused(self._symbol, "mark", reason)]

    def _liquidations(self, reports: Sequence[LiquidationReport]) -> list[Liquidation]:
        out = []
        for report in reports:
            found = Liquidation(venue=self._venue, **structs.asdict(report))
            if found.key in self._known:
                continue
            self._known[found.key] = None
            if len(self._known) > LIQUIDATIONS_KNOWN:
                del self._known[next(iter(self._known))]
            out.append(found)
        return out

    def _statuses(self, reports: Sequence[ContractReport]) -> list[TradingStatus]:
        """The newest status, when it is another one than the last."""
        status = max(reports, key=lambda report: report.event_time).status
        if status == self._status:
            return []
        self._status = status
        return [TradingStatus((self._symbol,), status)]

    def _due(self, now: Now) -> list[Query]:
        return [*self._marks.query(now), *self._funding.queries(now), *self._interest.queries(now)]
