"""The machine of an account, by calling it: states, audits, refusals, what is carried on by prices, recovery."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec import structs

from flows.clock import Now
from flows.model import MarketData, MarkPrice
from flows.model.account import (
    AccountEvent,
    AccountPrices,
    AccountSnapshot,
    AccountState,
    AccountTotal,
    AccountUpdate,
    Balance,
    BalanceChange,
    BalanceReport,
    LeverageReport,
    Position,
    PositionReport,
)
from flows.model.incidents import Incident
from flows.operators.account.keeper import AccountKeeper, AccountPolicy
from flows.operators.state_version import StateVersionError
from flows.queries import AccountQuery, AccountRenewQuery, QueryError
from flows.recovered import ACCOUNTS_STEP, state_fault
from flows.steps.accounts import PricesOf

D = Decimal
T0 = 1_767_225_630_000
POLICY = AccountPolicy(audit_ms=300_000, stale_ms=30_000, quote="USDT")
OPENED = AccountEvent("opened")


class Run:
    """A machine and its time."""

    def __init__(self, machine: AccountKeeper | None = None) -> None:
        self.machine = machine or AccountKeeper("v:mine", POLICY)
        self.local = 5_000

    @property
    def now(self) -> Now:
        return Now(T0 + self.local, self.local)

    def take(self, item: Any) -> list[Any]:
        return self.machine.on_events(item, self.now)

    def answer(self, query: Any, answer: Any) -> list[Any]:
        return self.machine.on_answer(query, answer, self.now)

    def wait(self, ms: int) -> list[Any]:
        out: list[Any] = []
        end = self.local + ms
        while self.local < end:
            due = self.machine.due_in(self.now)
            assert due is not None
            self.local = min(end, self.local + max(due, 1))
            if self.machine.due_in(self.now) == 0:
                out += self.machine.on_timer(self.now)
        return out


def of(kind: type, items: list[Any]) -> list[Any]:
    return [item for item in items if type(item) is kind]


def usdt(amount: str, time: int = 0, locked: str = "0") -> BalanceReport:
    return BalanceReport("USDT", D(amount), D(locked), time)


def long_btc(quantity: str, time: int = 0, entry: str = "100") -> PositionReport:
    return PositionReport("BTCUSDT", "BOTH", D(quantity), D(entry), mark_price=D(101), unrealised_pnl=D(5), time=time)


def live(snapshot: AccountSnapshot | None = None) -> Run:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    out = run.answer(query, snapshot or AccountSnapshot(T0, (usdt("100"),)))
    assert of(AccountState, out)[-1].state == "live"
    return run


def test_the_snapshot_is_queried_when_the_stream_is_open_and_makes_it_live() -> None:
    run = Run()
    out = run.take(OPENED)
    assert of(AccountState, out)[0].state == "connecting"
    [query] = of(AccountQuery, out)
    out = run.answer(query, AccountSnapshot(T0, (usdt("100", locked="7"),)))
    assert of(Balance, out) == [
        Balance("v", "mine", "USDT", D(100), D(7), D(107), T0, D(107), "USDT", is_computed=False)
    ]
    assert of(AccountState, out) == [AccountState("v", "mine", "live", T0 + 5_000, "", T0, T0 + 5_000)]


def test_what_came_while_the_snapshot_was_queried_holds() -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    run.take(AccountUpdate(T0 + 2, (usdt("90"),)))
    out = run.answer(query, AccountSnapshot(T0 + 1, (usdt("100"),)))
    assert of(Balance, out) == []
    assert run.machine.snapshot().balances == [("USDT", D(90), D(0), T0 + 2)]


def test_an_audit_that_shows_a_missed_change_is_an_incident_and_opens_the_stream_anew() -> None:
    run = live()
    out: list[Any] = []
    while not (queries := of(AccountQuery, out)):
        run.take(AccountEvent("alive"))
        out = run.wait(10_000)
    assert run.local >= 305_000
    out = run.answer(queries[0], AccountSnapshot(T0 + 9, (usdt("55"),)))
    assert of(Balance, out)[0].total == 55
    [incident] = of(Incident, out)
    assert (incident.kind, incident.venue, incident.cause) == (
        "account",
        "v",
        "account mine: 1 balance or position was not the venue's",
    )
    assert "55" not in str(incident)
    assert "USDT" not in str(incident)
    assert len(of(AccountRenewQuery, out)) == 1


def test_an_audit_without_a_difference_says_nothing() -> None:
    run = live()
    run.take(AccountUpdate(T0 + 5, (usdt("90"),)))
    out: list[Any] = []
    while not (queries := of(AccountQuery, out)):
        run.take(AccountEvent("alive"))
        out = run.wait(10_000)
    out = run.answer(queries[0], AccountSnapshot(T0 + 5, (usdt("90"),)))
    assert of(Incident, out) == of(Balance, out) == []


def test_a_change_by_an_amount_whose_new_amount_is_not_said_is_queried() -> None:
    run = live()
    out = run.take(AccountUpdate(T0 + 5, changes=(BalanceChange("USDT", D(5)),)))
    assert of(AccountQuery, out) == []
    [query] = of(AccountQuery, run.wait(2_500))
    assert of(Balance, run.answer(query, AccountSnapshot(T0 + 5, (usdt("105"),))))[0].total == 105


def test_one_whose_new_amount_follows_is_not_queried() -> None:
    run = live()
    run.take(AccountUpdate(T0 + 5, changes=(BalanceChange("USDT", D(5)),)))
    run.take(AccountUpdate(T0 + 5, (usdt("105"),)))
    assert of(AccountQuery, run.wait(5_000)) == []


def test_a_trigger_queries_at_once_and_what_it_brings_is_no_incident() -> None:
    run = live()
    run.local += 5_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    out = run.answer(query, AccountSnapshot(T0 + 9, (usdt("55"),)))
    assert of(Balance, out)[0].total == 55
    assert of(Incident, out) == []


def test_silence_is_stale_and_a_sign_of_life_ends_it() -> None:
    run = live()
    out = run.wait(31_500)
    assert of(AccountState, out)[-1].state == "stale"
    assert of(AccountState, run.take(AccountEvent("alive")))[-1].state == "live"


def test_a_cut_is_stale_until_the_next_snapshot_of_a_new_stream() -> None:
    run = live()
    state = of(AccountState, run.take(AccountEvent("closed", "line cut")))[-1]
    assert (state.state, state.reason) == ("stale", "line cut")
    out = run.take(OPENED)
    [query] = of(AccountQuery, out)
    assert of(AccountState, out)[-1].state == "stale"
    out = run.answer(query, AccountSnapshot(T0 + 9, (usdt("55"),)))
    assert of(AccountState, out)[-1].state == "live"
    assert of(Incident, out) == []


def test_an_answer_to_a_query_from_before_the_reconnect_makes_nothing_live() -> None:
    run = Run()
    [old] = of(AccountQuery, run.take(OPENED))
    run.take(AccountEvent("closed", "cut"))
    run.take(OPENED)
    out = run.answer(old, AccountSnapshot(T0, (usdt("100"),)))
    assert of(AccountState, out) == []
    [new] = of(AccountQuery, out)
    assert of(AccountState, run.answer(new, AccountSnapshot(T0, (usdt("100"),))))[-1].state == "live"


def test_a_refused_key_is_said_once_and_not_queried_again_at_once() -> None:
    run = Run()
    out = run.take(AccountEvent("refused", "the venue does not take this key"))
    assert [(s.state, s.reason) for s in of(AccountState, out)] == [("refused", "the venue does not take this key")]
    assert run.take(AccountEvent("closed", "closed")) == []
    assert of(AccountQuery, run.wait(60_000)) == []


def test_a_query_that_is_refused_is_made_again_after_minutes() -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    out = run.answer(query, QueryError("the key may not read", lasting=True))
    assert of(AccountState, out)[-1].state == "refused"
    assert of(AccountQuery, run.wait(299_000)) == []
    assert len(of(AccountQuery, run.wait(2_000))) == 1


def test_a_query_that_fails_is_made_again_later_and_later() -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    waits = []
    for _ in range(4):
        begin = run.local
        run.answer(query, QueryError("no answer"))
        while not (queries := of(AccountQuery, run.wait(100))):
            pass
        [query] = queries
        waits.append(round((run.local - begin) / 1_000))
    assert waits == [2, 4, 8, 16]


def states(items: list[Any]) -> list[tuple[str, str]]:
    return list(dict.fromkeys((one.state, one.reason) for one in of(AccountState, items)))


def alive(run: Run, ms: int) -> list[Any]:
    """Time passes, and the stream lives."""
    out: list[Any] = []
    for _ in range(ms // 1_000):
        out += [*run.take(AccountEvent("alive")), *run.wait(1_000)]
    return out


def test_what_is_announced_and_cannot_be_queried_is_stale_until_it_is_known() -> None:
    run = live()
    run.local += 5_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    failed = "its balances cannot be queried: no answer"
    assert states(run.answer(query, QueryError("no answer"))) == [("stale", failed)]
    out = alive(run, 3_000)
    [query] = of(AccountQuery, out)
    assert {one[0] for one in states(out)} <= {"stale"}
    out = run.answer(query, AccountSnapshot(T0 + 9, (usdt("55"),)))
    assert (states(out), of(Balance, out)[0].total) == ([("live", "")], 55)


def test_an_answer_that_does_not_come_is_stale_though_the_stream_lives() -> None:
    run = live()
    run.local += 5_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    assert set(states(alive(run, 4_000))) <= {("live", "")}
    assert states(alive(run, 3_000))[-1] == ("stale", "a change is announced, and its balances are not known yet")
    assert states(run.answer(query, AccountSnapshot(T0 + 9, (usdt("55"),)))) == [("live", "")]


def test_triggers_that_always_overtake_the_answer_are_live_as_each_is_answered_soon() -> None:
    run = live()
    run.local += 5_000
    queries = of(AccountQuery, run.take(AccountEvent("trigger")))
    for _ in range(10):
        out = [*run.take(AccountEvent("trigger")), *run.wait(2_000)]
        out += run.answer(queries.pop(), AccountSnapshot(T0 + 9, (usdt("55"),)))
        queries = of(AccountQuery, out)
        assert set(states(out)) <= {("live", "")}


def test_a_change_whose_amount_is_not_said_and_cannot_be_queried_is_stale() -> None:
    run = live()
    run.take(AccountUpdate(T0 + 5, changes=(BalanceChange("USDT", D(5)),)))
    [query] = of(AccountQuery, run.wait(2_500))
    assert states(run.answer(query, QueryError("no answer")))[-1][0] == "stale"


def test_an_audit_that_fails_is_live_until_the_next_one_would_be_due() -> None:
    run = live()
    run.take(AccountEvent("alive"))
    begin, out = run.local, list[Any]()
    while not of(AccountState, out) or of(AccountState, out)[-1].state == "live":
        out = alive(run, 1_000)
        for query in of(AccountQuery, out):
            run.answer(query, QueryError("no answer"))
    assert abs(run.local - begin - 2 * POLICY.audit_ms) <= 3_000
    assert states(out)[-1] == ("stale", "its balances cannot be queried: no answer")


@pytest.mark.parametrize(("lasting", "until_s", "queries"), [(True, 299, 0), (True, 302, 1), (False, 61, 4)])
def test_triggers_wait_while_a_query_is_refused_or_fails(lasting: bool, until_s: int, queries: int) -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    run.answer(query, QueryError("no", lasting=lasting))
    count = 0
    for _ in range(until_s):
        for query in of(AccountQuery, [*run.take(AccountEvent("trigger")), *run.wait(1_000)]):
            run.answer(query, QueryError("no", lasting=lasting))
            count += 1
    assert count == queries
    assert len(of(AccountQuery, run.take(OPENED))) == 1, "a new stream is a new beginning"


def test_a_burst_of_triggers_is_one_query_a_second() -> None:
    run = live()
    count = 0
    for _ in range(100):
        for query in of(AccountQuery, [*run.take(AccountEvent("trigger")), *run.wait(50)]):
            run.answer(query, AccountSnapshot(T0, (usdt("100"),)))
            count += 1
    assert count in (5, 6)


def test_a_position_that_turns_ends_on_its_old_side() -> None:
    run = live(AccountSnapshot(T0, (usdt("100"),), (long_btc("2"),)))
    out = run.take(AccountUpdate(T0 + 5, positions=(long_btc("-3"),)))
    assert [(p.side, p.quantity) for p in of(Position, out)] == [("LONG", 0), ("SHORT", 3)]
    out = run.take(AccountUpdate(T0 + 6, positions=(long_btc("0"),)))
    assert [(p.side, p.quantity) for p in of(Position, out)] == [("SHORT", 0)]


def test_a_position_that_ended_in_another_mode_does_not_end_the_one_of_this_mode() -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    was = (PositionReport("X", "BOTH", D(2), entry_price=D(100)), PositionReport("Y", "BOTH", D(1), entry_price=D(5)))
    run.answer(query, AccountSnapshot(T0, positions=was))
    run.take(AccountEvent("closed", "cut"))
    [query] = of(AccountQuery, run.take(OPENED))
    now_held = (
        PositionReport("X", "SHORT", D(4), entry_price=D(101), time=T0 + 1),
        PositionReport("X", "LONG", D(3), entry_price=D(101), time=T0 + 1),
        PositionReport("Y", "SHORT", D(7), entry_price=D(5), time=T0 + 2),
    )
    shown = of(Position, run.answer(query, AccountSnapshot(T0 + 2, positions=now_held)))
    last = {one.key[2:]: one.quantity for one in shown}
    assert last == {("X", "SHORT"): D(4), ("X", "LONG"): D(3), ("Y", "SHORT"): D(7), ("Y", "LONG"): 0}
    ended = AccountUpdate(T0 + 3, positions=(PositionReport("X", "SHORT", D(0)),))
    assert [(one.side, one.quantity) for one in of(Position, run.take(ended))] == [("SHORT", 0)]


def test_leverage_stays_with_a_position_whose_updates_do_not_say_it() -> None:
    snapshot = AccountSnapshot(T0, (), (long_btc("2"),), (LeverageReport("BTCUSDT", 20, "cross"),))
    run = live(snapshot)
    out = run.take(AccountUpdate(T0 + 5, positions=(long_btc("3"),)))
    assert [(p.leverage, p.margin_type) for p in of(Position, out)] == [(20, "cross")]
    out = run.take(AccountUpdate(T0 + 6, leverages=(LeverageReport("BTCUSDT", 5),)))
    assert [(p.quantity, p.leverage, p.margin_type) for p in of(Position, out)] == [(3, 5, "cross")]


@pytest.mark.parametrize(
    ("newer", "shown"),
    [
        (LeverageReport("BTCUSDT", 5), (5, "isolated")),
        (LeverageReport("BTCUSDT", margin_type="cross"), (20, "cross")),
        (LeverageReport("BTCUSDT", 5, "cross"), (5, "cross")),
    ],
)
def test_a_snapshot_says_what_the_stream_has_not_said_since_it_was_queried(newer: LeverageReport, shown: Any) -> None:
    run = Run()
    [query] = of(AccountQuery, run.take(OPENED))
    run.take(AccountUpdate(T0 + 1, leverages=(newer,)))
    snapshot = AccountSnapshot(T0, (), (long_btc("2"),), (LeverageReport("BTCUSDT", 20, "isolated"),))
    [position] = of(Position, run.answer(query, snapshot))
    assert (position.leverage, position.margin_type) == shown


def test_what_a_snapshot_says_else_of_a_position_is_shown_and_no_incident() -> None:
    run = live(AccountSnapshot(T0, (), (long_btc("2"),), (LeverageReport("BTCUSDT", 20, "cross"),)))
    out: list[Any] = []
    while not (queries := of(AccountQuery, out)):
        out = alive(run, 10_000)
    new = PositionReport(
        "BTCUSDT", "BOTH", D(2), D(100), mark_price=D(103), unrealised_pnl=D(6), liquidation_price=D(7), time=T0 + 1
    )
    out = run.answer(queries[0], AccountSnapshot(T0 + 1, (), (new,), (LeverageReport("BTCUSDT", 5, "isolated"),)))
    [position] = of(Position, out)
    assert (position.mark_price, position.unrealised_pnl, position.liquidation_price) == (103, 6, 7)
    assert (position.leverage, position.margin_type, position.is_computed) == (5, "isolated", False)
    assert (of(Incident, out), of(AccountRenewQuery, out)) == ([], [])
    out = run.take(AccountUpdate(T0 + 2, positions=(structs.replace(new, unrealised_pnl=D(9), time=T0 + 2),)))
    assert [(p.unrealised_pnl, p.event_time) for p in of(Position, out)] == [(9, T0 + 2)]
    out = run.take(AccountUpdate(T0 + 3, positions=(structs.replace(new, unrealised_pnl=D(9), time=T0 + 3),)))
    assert of(Position, out) == [], "the same again"


def test_profit_and_value_are_carried_on_by_prices_and_say_so() -> None:
    run = live(AccountSnapshot(T0, (usdt("100"), BalanceReport("BTC", D(2), D(0))), (long_btc("-2"),)))
    out = run.take(AccountPrices((("BTCUSDT", D("90.5"), T0 + 1),)))
    [position] = of(Position, out)
    assert (position.mark_price, position.unrealised_pnl, position.is_computed) == (D("90.5"), D("19.0"), True)
    [balance] = of(Balance, out)
    assert (balance.value, balance.quote, balance.is_computed) == (D("181.0"), "USDT", True)
    assert run.take(AccountPrices((("BTCUSDT", D(91), T0 + 2),))) == []
    run.take(AccountEvent("alive"))
    totals = of(AccountTotal, run.wait(29_000))
    assert totals == [AccountTotal("v", "mine", "USDT", D("300.0"), D(18), T0 + 30_000, T0 + 2)]


def test_a_value_by_a_price_of_long_ago_says_how_old_it_is() -> None:
    held = tuple(BalanceReport(asset, D(2), D(0)) for asset in ("ABC", "BTC", "NEW", "USDT"))
    run = live(AccountSnapshot(T0, held))
    run.take(AccountPrices((("ABCUSDT", D(5), T0 - 3_600_000), ("BTCUSDT", D(90), T0))))
    run.take(AccountPrices((("BTCUSDT", D(91), T0 + 1),)))
    changed = AccountUpdate(T0 + 5, tuple(BalanceReport(row.asset, D(3), D(0)) for row in held))
    shown = {one.asset: (one.value, one.price_time) for one in of(Balance, run.take(changed))}
    assert shown == {
        "ABC": (15, T0 - 3_600_000), "BTC": (273, T0 + 1), "NEW": (None, None), "USDT": (3, None)
    }  # fmt: skip
    run.take(AccountEvent("alive"))
    [total] = of(AccountTotal, run.wait(29_000))
    assert (total.total, total.price_time) == (291, T0 - 3_600_000)


def marked(mark: str, gain: str, time: int = 0) -> PositionReport:
    return PositionReport("BTCUSDT", "BOTH", D(2), D(100), mark_price=D(mark), unrealised_pnl=D(gain), time=time)


def test_profit_by_an_old_price_is_queried_and_the_newer_word_of_the_venue_holds() -> None:
    run = live(AccountSnapshot(T0, (), (long_btc("2"),)))
    run.local += 5_000
    [position] = of(Position, run.take(AccountPrices((("BTCUSDT", D(90), T0 + 1),))))
    assert (position.mark_price, position.unrealised_pnl) == (90, -20)
    assert of(AccountQuery, alive(run, 29_000)) == []
    [query] = of(AccountQuery, alive(run, 3_000))
    out = run.answer(query, AccountSnapshot(T0 + 1, (), (marked("80", "-40"),)))
    [position] = of(Position, out)
    assert (position.mark_price, position.unrealised_pnl, position.is_computed) == (80, -40, False)
    assert of(Incident, out) == []
    assert of(AccountQuery, alive(run, 29_000)) == []
    [position] = of(Position, run.take(AccountPrices((("BTCUSDT", D(110), T0 + 2),))))
    assert (position.mark_price, position.unrealised_pnl, position.is_computed) == (110, 20, True)


def test_a_price_that_came_since_the_query_is_newer_than_its_answer() -> None:
    run = live(AccountSnapshot(T0, (), (long_btc("2"),)))
    run.local += 5_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    run.local += 1
    run.take(AccountPrices((("BTCUSDT", D(90), T0 + 1),)))
    out = run.answer(query, AccountSnapshot(T0 + 1, (), (marked("80", "-40"),)))
    assert {(p.mark_price, p.unrealised_pnl) for p in of(Position, out)} == {(D(90), D(-20))}


def test_trades_give_the_price_while_there_is_no_mark_price() -> None:
    local = 1_000_000
    prices_of = PricesOf("v:mine", 30_000, lambda: local)
    trade = MarketData("v", "BTCUSDT", 90.0, T0)
    mark = MarkPrice("BTCUSDT", T0, 95.0, 95.0, 95.0, 0.0, T0, venue="v")
    found = []
    for batch, ms in (([trade], 1_000), ([mark, trade], 1_000), ([trade], 28_999), ([trade], 1)):
        found += [price for _, prices in prices_of(batch) for _, price, _ in prices.prices]
        local += ms
    assert found == [D("90.0"), D("95.0")]
    assert [one.prices[0][1] for _, one in prices_of([trade])] == [D("90.0")]


def test_a_balance_that_came_between_the_balances_and_the_positions_of_a_snapshot_holds() -> None:
    run = live(AccountSnapshot(T0, (usdt("100"),)))
    run.local += 5_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    new = BalanceReport("BTC", D(2), D(0))
    run.take(AccountUpdate(T0 + 5, (new,), positions=(long_btc("2"),)))
    out = run.answer(query, AccountSnapshot(T0, (usdt("100"),), (long_btc("2", T0 + 5),), positions_time=T0 + 5))
    assert (of(Balance, out), of(Incident, out)) == ([], [])
    assert of(AccountState, run.wait(6_000))[-1].snapshot_time == T0 + 5
    assert ("BTC", D(2), D(0), T0 + 5) in run.machine.snapshot().balances


def test_a_zero_that_a_snapshot_shows_has_a_time_and_nothing_from_before_replaces_it() -> None:
    run = live(AccountSnapshot(T0 + 5, (usdt("100"),), (long_btc("2"),)))
    run.local += 10_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    out = run.answer(query, AccountSnapshot(T0 + 9))
    assert [(b.total, b.event_time) for b in of(Balance, out)] == [(0, T0 + 9)]
    assert [(p.side, p.quantity, p.event_time) for p in of(Position, out)] == [("LONG", 0, T0 + 9)]
    before = AccountUpdate(T0 + 7, (usdt("50"),), positions=(long_btc("1"),))
    for _ in range(3):
        out = run.take(before)
        assert (of(Balance, out), of(Position, out)) == ([], [])
        alive(run, 10_000)
    out = run.take(AccountUpdate(T0 + 10, (usdt("3"),), positions=(long_btc("-1"),)))
    assert [(b.total, b.event_time) for b in of(Balance, out)] == [(3, T0 + 10)]
    assert [(p.side, p.quantity, p.event_time) for p in of(Position, out)] == [("SHORT", 1, T0 + 10)]


def test_an_item_of_nothing_is_forgotten_in_the_end() -> None:
    run = live(AccountSnapshot(T0, (usdt("100"),)))
    for _ in range(3):
        run.local += 61_000
        [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
        run.answer(query, AccountSnapshot(T0 + 9))
    assert run.machine.snapshot().balances == []


def test_a_correction_with_an_earlier_time_is_no_older_version() -> None:
    run = live(AccountSnapshot(T0 + 50, (usdt("100"),)))
    run.local += 10_000
    [query] = of(AccountQuery, run.take(AccountEvent("trigger")))
    [balance] = of(Balance, run.answer(query, AccountSnapshot(T0 + 9, (usdt("55"),))))
    assert (balance.total, balance.event_time) == (55, T0 + 50)


def test_a_recovered_machine_shows_what_it_held_and_that_it_is_old() -> None:
    run = live(AccountSnapshot(T0, (usdt("100"),), (long_btc("2"),)))
    state = run.machine.snapshot()
    again = Run(AccountKeeper("v:mine", POLICY, state))
    assert again.machine.due_in(again.now) == 0
    out = again.machine.on_timer(again.now)
    assert [b.total for b in of(Balance, out)] == [100]
    assert [(p.quantity, p.entry_price) for p in of(Position, out)] == [(2, 100)]
    [shown] = of(AccountState, out)
    assert (shown.state, shown.event_time, shown.snapshot_time) == ("connecting", T0 + 5_000, T0)
    assert state_fault(ACCOUNTS_STEP, "v:mine", ("v:mine", state)) == ""
    assert "other version" in state_fault(ACCOUNTS_STEP, "v:mine", ("v:mine", (7, *state[1:])))
    with pytest.raises(StateVersionError):
        AccountKeeper("v:mine", POLICY, (2, "x"))


def test_results_are_written_with_the_digits_of_the_venue() -> None:
    [balance] = of(Balance, live().take(AccountUpdate(T0 + 5, (usdt("0.10"),))))
    encoded = msgspec.json.Encoder(decimal_format="number").encode(balance)
    assert b'"free":0.10,' in encoded
