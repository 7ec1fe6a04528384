"""The machine of a derivative, called by hand: an exchange that settles every eight hours stands beside it."""

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from flows.clock import Now
from flows.model import (
    ContractReport,
    Funding,
    FundingState,
    FundingTerms,
    Incident,
    Liquidation,
    LiquidationReport,
    MarkPrice,
    MarkReport,
    OpenInterest,
    Removed,
    Subscribed,
    TradesRefused,
    TradingStatus,
)
from flows.operators.derivatives import funding, interest, marks
from flows.operators.derivatives.contract import LIQUIDATIONS_KNOWN, ContractKeeper, contract_events
from flows.operators.derivatives.minutes import FirstOfMinute
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.state_version import StateVersionError
from flows.operators.status.observations import ChannelRefused
from flows.queries import (
    FundingQuery,
    FundingTermsQuery,
    MarkQuery,
    OpenInterestHistoryQuery,
    OpenInterestQuery,
    Query,
    QueryError,
)
from flows.recovered import CONTRACTS_STEP, state_fault

KEY, VENUE, SYMBOL = "binance-usdm:BTCUSDT", "binance-usdm", "BTCUSDT"
HOURS_8 = 8 * 3_600_000
BEGIN = 1_767_225_600_000
"""A time of funding."""
SUBSCRIBED = Subscribed("market", (SYMBOL,), ("btcusdt@markPrice@1s",))
TERMS = FundingTerms(SYMBOL, 8, 0.02, -0.02)


def mark(time: int, price: float = 100.0, rate: float | None = 0.0001) -> MarkReport:
    return MarkReport(SYMBOL, time, price, price + 1, price - 1, rate, (time // HOURS_8 + 1) * HOURS_8)


def order(time: int, price: float = 99.0) -> LiquidationReport:
    return LiquidationReport(SYMBOL, time + 5, time, "SELL", price, price, 1.5, 1.5)


class Exchange:
    """Settles every eight hours, and answers the queries of one machine."""

    def __init__(self, *, interest_ms: int = 60_000) -> None:
        self.feed, self.local = BEGIN + 1_000, 5_000
        self.interest_ms = interest_ms
        self.machine = ContractKeeper(KEY, interest_ms=interest_ms)
        self.open: list[Query] = []
        self.out: list[Any] = []
        self.is_up = True
        self.publishes_after_ms = 0
        self._take(self.machine.on_events(SUBSCRIBED, self.now))

    @property
    def now(self) -> Now:
        return Now(self.feed, self.local)

    def _take(self, results: Any) -> None:
        self.open += [item for item in results if isinstance(item, Query)]
        self.out += [item for item in results if not isinstance(item, Query)]

    def see(self, *reports: Any) -> None:
        self._take(self.machine.on_events(list(reports), self.now))

    def answer(self) -> None:
        """Answers whatever is open, until nothing is."""
        while self.open:
            query = self.open.pop(0)
            self._take(self.machine.on_answer(query, self._answer(query), self.now))

    def _answer(self, query: Query) -> Any:
        if not self.is_up:
            return QueryError("it is down")
        match query:
            case MarkQuery():
                return mark(self.feed)
            case FundingQuery(start=start, end=end):
                latest = self.feed - self.publishes_after_ms
                return [one for one in payments(start, end) if one.time <= latest]
            case FundingTermsQuery():
                return TERMS
            case OpenInterestQuery():
                return OpenInterest(VENUE, SYMBOL, self.feed, 7.0)
            case OpenInterestHistoryQuery(start=start, end=end):
                first = -(-start // 300_000) * 300_000
                return [OpenInterest(VENUE, SYMBOL, time, 6.0, 600.0) for time in range(first, end + 1, 300_000)]
        raise AssertionError(query)

    def pass_time(self, ms: int, *, step_ms: int = 1_000, speaks: bool = True) -> None:
        for _ in range(0, ms, step_ms):
            self.feed, self.local = self.feed + step_ms, self.local + step_ms
            if speaks:
                self.see(mark(self.feed))
            due = self.machine.due_in(self.now)
            if due == 0:
                self._take(self.machine.on_timer(self.now))
            self.answer()

    def restart(self) -> None:
        self.open.clear()
        self.machine = ContractKeeper(KEY, interest_ms=self.interest_ms, state=self.machine.snapshot())
        self._take(self.machine.on_events(SUBSCRIBED, self.now))

    def of(self, kind: type) -> list[Any]:
        return [item for item in self.out if type(item) is kind]


def payments(start: int, end: int) -> list[Funding]:
    """All that are settled between two times, both inclusive; with the thousand of a page at the most."""
    first = -(-start // HOURS_8) * HOURS_8
    times = range(first, end + 1, HOURS_8)
    return [Funding(VENUE, SYMBOL, time, time % 997 / 1e6, 100.0) for time in times[:1_000]]


def test_a_first_start_brings_the_past_and_then_every_payment_once() -> None:
    it = Exchange()
    it.answer()
    it.pass_time(2 * HOURS_8, step_ms=20_000)
    times = [one.time for one in it.of(Funding)]
    first = BEGIN + 1_000 - funding.HISTORY_MS
    assert times == [one.time for one in payments(first, BEGIN + 2 * HOURS_8)]
    assert it.of(Incident) == []


def test_a_payment_that_the_exchange_publishes_late_is_queried_until_it_is_there() -> None:
    it = Exchange()
    it.answer()
    it.publishes_after_ms = 60_000
    it.pass_time(HOURS_8 - 10_000, step_ms=10_000)
    before = len(it.of(Funding))
    it.pass_time(300_000)
    assert [one.time for one in it.of(Funding)[before:]] == [BEGIN + HOURS_8]
    assert it.of(FundingState)[-1].last.time == BEGIN + HOURS_8


def test_an_outage_is_an_incident_once_and_leaves_no_payment_out() -> None:
    it = Exchange()
    it.answer()
    it.is_up = False
    it.pass_time(3 * HOURS_8, step_ms=20_000, speaks=False)
    [incident] = it.of(Incident)
    assert (incident.kind, incident.symbol) == ("history", SYMBOL)
    it.is_up = True
    it.pass_time(400_000, step_ms=5_000)
    times = [one.time for one in it.of(Funding)]
    assert times == [one.time for one in payments(BEGIN + 1_000 - funding.HISTORY_MS, it.feed)]


@given(st.lists(st.tuples(st.integers(1, 40), st.booleans(), st.booleans(), st.booleans()), max_size=12))
def test_no_restart_outage_or_silence_loses_or_repeats_anything_settled(
    stretches: list[tuple[int, bool, bool, bool]],
) -> None:
    it = Exchange()
    it.answer()
    for hours, is_up, speaks, restarts in stretches:
        it.is_up = is_up
        if restarts:
            it.restart()
        it.pass_time(hours * 3_600_000, step_ms=1_800_000, speaks=speaks)
    it.is_up = True
    it.pass_time(4 * 3_600_000, step_ms=60_000)
    times = [one.time for one in it.of(Funding)]
    assert times == [one.time for one in payments(BEGIN + 1_000 - funding.HISTORY_MS, it.feed)]
    values = [one.time for one in it.of(OpenInterest)]
    assert values == sorted(set(values))


def test_mark_prices_rise_in_time_and_each_leaves_once() -> None:
    it = Exchange()
    it.see(mark(BEGIN + 3_000, 100.0), mark(BEGIN + 2_000, 90.0))
    it.see(mark(BEGIN + 3_000, 100.0))
    it.see(mark(BEGIN + 2_500, 80.0))
    it.see(mark(BEGIN + 4_000, 101.0))
    assert [(one.event_time, one.mark_price, one.venue) for one in it.of(MarkPrice)] == [
        (BEGIN + 3_000, 100.0, VENUE), (BEGIN + 4_000, 101.0, VENUE),
    ]  # fmt: skip


def test_a_clock_that_was_set_back_silences_no_mark_price() -> None:
    it = Exchange()
    it.feed = BEGIN + 10_000_000
    it.see(mark(it.feed, 100.0))
    it.feed = BEGIN + 1_000
    it.see(mark(it.feed, 99.0))
    assert [one.mark_price for one in it.of(MarkPrice)] == [100.0, 99.0]


def test_a_mark_price_that_stands_still_is_said_once_and_that_it_goes_on() -> None:
    it = Exchange()
    it.see(mark(BEGIN + 500))
    for _ in range(2 * marks.STILL_REPORTS):
        it.local += 1_000
        it.see(mark(BEGIN + 500))
    assert [(one.channel, bool(one.reason)) for one in it.of(ChannelRefused)] == [("mark", True)]
    it.see(mark(BEGIN + 30_000))
    assert [bool(one.reason) for one in it.of(ChannelRefused)] == [True, False]


def test_without_reports_the_price_is_queried() -> None:
    it = Exchange()
    it.answer()
    it.pass_time(60_000 * 10, speaks=False)
    times = [one.event_time for one in it.of(MarkPrice)]
    assert 600_000 // marks.POLL_MS - 2 <= len(times) <= 600_000 // marks.POLL_MS + 1
    it.out.clear()
    it.pass_time(60_000, speaks=True)
    assert len(it.of(MarkPrice)) == 60


def test_the_funding_at_present_has_rate_terms_and_the_last_payment() -> None:
    it = Exchange()
    it.answer()
    it.see(mark(BEGIN + 5_000, rate=0.0003))
    state = it.of(FundingState)[-1]
    last = payments(BEGIN - HOURS_8, BEGIN)[-1]
    assert state == FundingState(VENUE, SYMBOL, BEGIN + 5_000, 0.0003, BEGIN + HOURS_8, 8, TERMS.cap, TERMS.floor, last)
    sent = len(it.of(FundingState))
    it.see(mark(BEGIN + 6_000, price=200.0, rate=0.0003))
    assert len(it.of(FundingState)) == sent


def test_open_interest_comes_at_its_pace_behind_the_past() -> None:
    it = Exchange(interest_ms=60_000)
    it.answer()
    it.pass_time(600_000)
    past = [one for one in it.of(OpenInterest) if one.value is not None]
    polled = [one.time for one in it.of(OpenInterest) if one.value is None]
    assert past[0].time >= BEGIN - interest.HISTORY_MS
    assert past[-1].time <= BEGIN + 10_000
    assert 10 <= len(polled) <= 11
    assert {later - earlier for earlier, later in pairwise(polled[1:])} == {60_000}


def test_none_is_queried_where_the_pace_is_0() -> None:
    it = Exchange(interest_ms=0)
    it.answer()
    it.pass_time(120_000)
    assert it.of(OpenInterest) == []


def test_a_liquidation_that_comes_twice_leaves_once_also_after_a_restart() -> None:
    it = Exchange()
    it.see(order(BEGIN), order(BEGIN), order(BEGIN, price=98.0))
    it.restart()
    it.see(order(BEGIN), order(BEGIN + 1_000))
    assert [(one.time, one.price, one.venue) for one in it.of(Liquidation)] == [
        (BEGIN, 99.0, VENUE), (BEGIN, 98.0, VENUE), (BEGIN + 1_000, 99.0, VENUE),
    ]  # fmt: skip


def test_of_liquidations_a_bounded_number_is_remembered() -> None:
    it = Exchange()
    it.see(*(order(BEGIN + second * 1_000) for second in range(3 * LIQUIDATIONS_KNOWN)))
    assert len(it.machine.snapshot().liquidations) == LIQUIDATIONS_KNOWN
    assert len(it.of(Liquidation)) == 3 * LIQUIDATIONS_KNOWN


def test_a_change_of_a_contract_is_its_status() -> None:
    it = Exchange()
    it.see(ContractReport(SYMBOL, BEGIN, "PERPETUAL", "SETTLING"))
    it.see(ContractReport(SYMBOL, BEGIN + 1, "PERPETUAL", "SETTLING"))
    it.see(ContractReport(SYMBOL, BEGIN + 2, "PERPETUAL", "TRADING"))
    assert it.of(TradingStatus) == [TradingStatus((SYMBOL,), "SETTLING"), TradingStatus((SYMBOL,), "TRADING")]


def test_queries_that_can_never_be_answered_end() -> None:
    machine = ContractKeeper(KEY, interest_ms=60_000)
    now = Now(BEGIN, 1_000_000)
    machine.on_events(SUBSCRIBED, now)
    asked = 0
    for step in range(200):
        now = Now(BEGIN + 60_000 * step, 1_000_000 + 60_000 * step)
        queries = [item for item in machine.on_timer(now) if isinstance(item, Query)]
        asked += len(queries)
        for query in queries:
            answers = machine.on_answer(query, QueryError("not here", lasting=True), now)
            asked += sum(isinstance(item, Query) for item in answers)
            for more in [item for item in answers if isinstance(item, Query)]:
                machine.on_answer(more, QueryError("not here", lasting=True), now)
    assert asked <= 6
    assert machine.due_in(now) is None


def test_the_state_is_that_of_this_version_or_refused() -> None:
    it = Exchange()
    it.answer()
    it.see(order(BEGIN))
    state = it.machine.snapshot()
    assert ContractKeeper(KEY, interest_ms=0, state=state).snapshot() == state
    assert state_fault(CONTRACTS_STEP, KEY, (KEY, state)) == ""
    assert "another version" in state_fault(CONTRACTS_STEP, KEY, (KEY, (2, *state[1:])))
    with pytest.raises(StateVersionError):
        ContractKeeper(KEY, interest_ms=0, state=(0, 1, 2, ()))
    with pytest.raises(StateVersionError):
        ContractKeeper(KEY, interest_ms=0, state=(1, "x", 2, ()))


def test_what_reaches_the_machines() -> None:
    gone = Removed("market", (SYMBOL,), ("markPrice",), is_gone=True)
    items: list[Any] = [
        Batch(KEY, [mark(BEGIN)]),
        Batch(KEY, [order(BEGIN)]),
        InstrumentEvent(KEY, SUBSCRIBED),
        InstrumentEvent(KEY, TradesRefused()),
        InstrumentEvent(KEY, structs.replace(gone, is_gone=False)),
        InstrumentEvent(KEY, gone),
    ]
    assert contract_events(items) == [
        (KEY, [mark(BEGIN)]), (KEY, [order(BEGIN)]), (KEY, SUBSCRIBED), (KEY, gone),
    ]  # fmt: skip


def test_of_mark_prices_the_first_of_a_minute_is_stored() -> None:
    prices = [MarkPrice(venue=VENUE, **structs.asdict(mark(BEGIN + second * 1_000))) for second in range(0, 200, 7)]
    kept = FirstOfMinute()
    found = kept(prices[:10]) + kept(prices[10:]) + kept(prices)
    assert [one.event_time - BEGIN for one in found] == [0, 63_000, 126_000, 182_000]
