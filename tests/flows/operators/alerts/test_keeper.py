"""The machine of alerts, by calling it: each arming of a rule fires once, whatever the cut of its input, on what is
vouched for and on nothing else.
"""

import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.clock import Now
from flows.model import ChannelState, ChannelStatus, FreshnessChannel, Incident, InstrumentStatus, Trade, TradeBatch
from flows.model.alerts import Alert, AlertKind, AlertRule, LastAlert, PricePoint, Rearm, WatchedRule, alert_id
from flows.operators.alerts.inputs import Paused, RuleSet, StoreState, Unfollowed
from flows.operators.alerts.keeper import AlertKeeper
from flows.operators.alerts.span import PriceSpan
from flows.operators.state_version import StateVersionError
from flows.recovered import ALERTS_STEP, state_fault
from tests.fakes.examples import examples

T0 = 1_767_225_600_000
KEY = "binance:BTCUSDT"
FRESH_MS = 5_000


def rule(kind: AlertKind, rearm: Rearm = "once", *, name: str = "mine", **terms: Any) -> AlertRule:
    symbol = "" if kind == "store_outage" else "BTCUSDT"
    return AlertRule(name, kind, symbol=symbol, rearm=rearm, **terms)


def trade(number: int, price: float, ms: int | None = None, fill: str = "MARKET") -> Trade:
    time = T0 + (1_000 * number if ms is None else ms)
    return Trade("BTCUSDT", number, time, price, 1.0, False, time, fill)


def status(state: ChannelState, channel: FreshnessChannel = "trades") -> InstrumentStatus:
    one = ChannelStatus(channel, state, T0, f"it is {state}")
    return InstrumentStatus("binance", "BTCUSDT", state, T0, "", (one,))


def batch(*trades: Trade, **more: Any) -> TradeBatch:
    return TradeBatch("binance", "BTCUSDT", list(trades), **more)


class Run:
    """A machine that has its rules and knows that the trades are live, and its time."""

    def __init__(self, *rules: AlertRule, key: str = KEY, state: Any = None, last: LastAlert | None = None) -> None:
        self.machine = AlertKeeper(key, fresh_ms=FRESH_MS, state=state)
        self.local = 0
        self.take(RuleSet(tuple(WatchedRule(one, T0, last) for one in rules)))

    @property
    def now(self) -> Now:
        return Now(T0 + self.local, self.local)

    def take(self, item: Any) -> list[Alert]:
        return self.machine.on_events(item, self.now)

    def live(self) -> "Run":
        assert self.take(status("live")) == []
        return self

    def trades(self, *trades: Trade) -> list[Alert]:
        """Trades as soon as the newest of them was made."""
        self.local = trades[-1].time - T0
        return self.take(batch(*trades))

    def prices(self, *prices: float, begin: int = 0) -> list[int]:
        """A trade a second, one by one; the numbers of those that fired."""
        fired = [self.trades(trade(begin + place, price)) for place, price in enumerate(prices)]
        return [one.seen.trade_id for alerts in fired for one in alerts if one.seen]

    def wait(self, ms: int) -> list[Alert]:
        """Time passes; the machine is called when it is due, and now and then."""
        out: list[Alert] = []
        end = self.local + ms
        while self.local < end:
            due = self.machine.due_in(self.now)
            step = min(1_000 if due is None else max(due, 1), end - self.local)
            self.local += step
            out += self.machine.on_timer(self.now)
        return out

    def again(self) -> Any:
        """The state after the engine has written and read it."""
        state = pickle.loads(pickle.dumps(self.machine.snapshot()))
        assert state_fault(ALERTS_STEP, KEY, (KEY, state)) == ""
        return state


# --- prices -----------------------------------------------------------------------------------------------------------


def test_a_rule_says_what_it_saw() -> None:
    run = Run(rule("price_above", price=100.0)).live()
    assert run.trades(trade(1, 100.0)) == []
    [alert] = run.trades(trade(2, 100.5))
    assert (alert.rule.id, alert.venue, alert.symbol, alert.number) == ("mine", "binance", "BTCUSDT", 1)
    assert alert.seen is not None
    assert (alert.seen.price, alert.seen.trade_id, alert.seen.time, alert.time) == (100.5, 2, T0 + 2_000, T0 + 2_000)
    assert alert.id == alert_id("mine", "binance", "BTCUSDT", T0, 1)


@pytest.mark.parametrize(
    ("kind", "rearm", "fired"),
    [
        ("price_above", "once", [1]),
        ("price_above", "on_return", [1, 4, 8]),
        ("price_below", "once", [0]),
        ("price_below", "on_return", [0, 3, 5, 7]),
        ("price_cross", "once", [1]),
        ("price_cross", "on_return", [1, 4, 8]),
    ],
)
def test_levels_fire_and_are_armed_again(kind: AlertKind, rearm: Rearm, fired: list[int]) -> None:
    run = Run(rule(kind, rearm, price=100.0)).live()
    assert run.prices(99, 101, 102, 99, 101, 99, 100, 99, 101) == fired


def test_a_price_at_the_level_has_not_crossed_it() -> None:
    run = Run(rule("price_cross", "on_return", price=100.0)).live()
    assert run.prices(100, 99, 100, 99, 100, 101, 100, 101) == [5]


def test_after_its_time_a_rule_is_armed_again_and_a_crossing_in_either_direction() -> None:
    assert Run(rule("price_above", "after", price=100.0, rearm_s=3)).live().prices(101, 101, 101, 101, 101) == [0, 3]
    run = Run(rule("price_cross", "after", price=100.0, rearm_s=3)).live()
    assert run.prices(99, 101, 99, 101, 101, 101, 99) == [1, 6]


def test_a_change_names_both_trades() -> None:
    run = Run(rule("price_change", percent=5.0, span_s=10.0)).live()
    assert run.prices(100, 104, 99.75) == []
    [alert] = run.trades(trade(3, 98.5))
    assert (alert.percent, alert.seen and alert.seen.trade_id, alert.before and alert.before.trade_id) == (
        -5.28846154, 3, 1,
    )  # fmt: skip
    assert Run(rule("price_change", percent=5.0, span_s=10.0, direction="up")).live().prices(100, 90, 94, 94.5) == [3]


def test_a_change_over_more_than_the_span_is_none() -> None:
    run = Run(rule("price_change", percent=5.0, span_s=3.0)).live()
    assert run.prices(100, 101, 102, 103, 104, 105, 106, 107) == []
    assert run.prices(120, begin=8) == [8]


def test_other_fills_than_those_of_the_market_are_no_prices() -> None:
    run = Run(rule("price_above", price=100.0)).live()
    assert run.trades(trade(1, 500.0, fill="INSURANCE_FUND")) == []


# --- what is vouched for ----------------------------------------------------------------------------------------------


def test_nothing_fires_before_the_trades_are_live_and_then_the_newest_does() -> None:
    run = Run(rule("price_above", price=100.0))
    assert run.trades(trade(1, 101.0)) == []
    for state in ("cut", "silent", "behind", "halted", "connecting", "gone"):
        assert run.take(status(state)) == []
    [alert] = run.take(status("live"))
    assert alert.seen is not None
    assert alert.seen.trade_id == 1


def test_a_trade_that_waited_for_too_long_does_not_fire() -> None:
    run = Run(rule("price_above", price=100.0))
    assert run.trades(trade(1, 101.0)) == []
    run.local += FRESH_MS + 1
    assert run.take(status("live")) == []
    assert [one.seen.trade_id for one in run.trades(trade(9, 102.0)) if one.seen] == [9]


def test_late_corrected_and_old_trades_make_nothing_fire() -> None:
    run = Run(rule("price_above", "on_return", price=100.0), rule("price_below", "on_return", name="low", price=50.0))
    run.live()
    run.local = 60_000
    assert run.take(batch(trade(1, 101.0, 59_900), late=True)) == []
    assert run.take(batch(trade(2, 101.0, 59_900), late=True, replaced=(trade(2, 90.0, 59_900),))) == []
    assert run.take(batch(trade(3, 101.0, 60_000 - FRESH_MS - 1))) == []
    assert run.take(batch(trade(4, 99.0, 59_900))) == []


def test_after_a_pause_of_the_process_no_trade_fires_until_it_has_settled() -> None:
    run = Run(rule("price_above", "on_return", price=100.0), rule("price_change", name="x", percent=50.0, span_s=60.0))
    run.live()
    run.take(Paused(5_000))
    assert run.prices(99, 101, 40, 99, 99) == []
    assert run.prices(99, 101, begin=5) == [5, 6]  # the change is from the price of 40, which was one


def test_before_the_venues_time_is_known_no_price_fires() -> None:
    machine = AlertKeeper(KEY, fresh_ms=FRESH_MS)
    unknown = Now(0, 50)
    machine.on_events(RuleSet((WatchedRule(rule("price_above", price=100.0), T0),)), unknown)
    machine.on_events(status("live"), unknown)
    assert machine.on_events(batch(trade(1, 101.0)), unknown) == []


def test_a_wrong_price_is_no_part_of_a_span() -> None:
    run = Run(rule("price_change", percent=5.0, span_s=60.0)).live()
    run.local = 3_000
    run.take(status("cut"))
    run.take(batch(trade(1, 100.0), trade(2, 1_000.0), trade(3, 100.0)))
    run.take(batch(trade(2, 100.0), late=True, replaced=(trade(2, 1_000.0),)))
    run.live()
    assert run.trades(trade(4, 101.0)) == []


def test_a_machine_does_nothing_before_it_has_its_rules() -> None:
    run = Run(rule("price_above", price=100.0), rule("silence", name="quiet")).live()
    machine = AlertKeeper(KEY, fresh_ms=FRESH_MS, state=run.again())
    for item in (status("live"), batch(trade(1, 101.0)), status("cut")):
        assert machine.on_events(item, Now(T0 + 1_000, 1_000)) == []
    assert machine.due_in(Now(T0 + 1_000, 1_000)) is None
    assert machine.on_timer(Now(T0 + 90_000, 90_000)) == []


# --- states and incidents ---------------------------------------------------------------------------------------------


def test_a_silence_fires_when_it_has_lasted_and_again_when_it_came_back() -> None:
    run = Run(rule("silence", "on_return", for_s=30)).live()
    assert run.take(status("cut")) == []
    assert run.wait(29_999) == []
    [alert] = run.wait(1)
    assert (alert.state, alert.state_since, alert.reason, alert.time) == ("cut", T0, "it is cut", T0 + 30_000)
    assert run.take(status("connecting")) == []
    assert run.wait(100_000) == []
    assert run.take(status("quiet")) == []
    assert run.take(status("silent")) == []
    assert [one.number for one in run.wait(30_000)] == [2]


def test_what_the_exchange_halts_is_no_silence_and_a_removed_symbol_neither() -> None:
    run = Run(rule("silence", for_s=1)).live()
    run.take(status("halted"))
    assert run.wait(60_000) == []
    run.take(status("cut"))
    run.take(Unfollowed())
    assert run.wait(60_000) == []
    run.take(status("cut"))
    assert len(run.wait(60_000)) == 1


def test_a_silence_that_goes_on_fires_again_after_its_time() -> None:
    run = Run(rule("silence", "after", for_s=1, rearm_s=60)).live()
    run.take(status("cut"))
    assert [one.time - T0 for one in run.wait(130_000)] == [1_000, 61_000, 121_000]


def test_a_silence_before_the_venues_time_is_known_fires() -> None:
    machine = AlertKeeper(KEY, fresh_ms=FRESH_MS)
    machine.on_events(RuleSet((WatchedRule(rule("silence", for_s=2), T0),)), Now(0, 0))
    machine.on_events(status("cut"), Now(0, 0))
    assert [one.time for one in machine.on_timer(Now(0, 2_000))] == [0]
    assert machine.on_timer(Now(T0, 3_000)) == []


def test_books_and_stores_are_watched_by_their_own_state() -> None:
    run = Run(rule("unsynced", for_s=0)).live()
    assert [one.state for one in run.take(status("unsynced", "book"))] == ["unsynced"]
    stores = Run(rule("store_outage"), key="binance:")
    assert stores.take(StoreState(ChannelStatus("store", "live", 0))) == []
    [alert] = stores.take(StoreState(ChannelStatus("store", "not stored", T0, "candles: no server")))
    assert (alert.symbol, alert.reason) == ("", "candles: no server")


def test_a_rule_that_is_added_while_a_state_lasts_watches_it_from_then_on() -> None:
    run = Run().live()
    run.take(status("cut"))
    run.wait(60_000)
    run.take(RuleSet((WatchedRule(rule("silence", for_s=10), T0),)))
    assert run.wait(9_999) == []
    assert len(run.wait(1)) == 1


def test_incidents_fire_and_not_those_of_another_kind() -> None:
    run = Run(rule("gap", "after", rearm_s=60), rule("mismatch", name="other"))
    gap, repair = (Incident(kind, "binance", "BTCUSDT", T0, T0 + 5, "3 trades") for kind in ("gap", "repair"))
    assert run.take(repair) == []
    [alert] = run.take(gap)
    assert (alert.rule.kind, alert.state, alert.reason, alert.state_since) == ("gap", "gap", "3 trades", T0)
    assert run.take(gap) == []
    run.local = 60_000
    assert [one.number for one in run.take(gap)] == [2]


# --- rules that change, and recovery ----------------------------------------------------------------------------------


def test_other_terms_are_another_arming_with_another_number() -> None:
    run = Run(rule("price_above", price=100.0)).live()
    assert run.prices(101) == [0]
    run.take(RuleSet((WatchedRule(rule("price_above", price=100.0), T0),)))
    assert run.prices(101, begin=1) == []
    run.take(RuleSet((WatchedRule(rule("price_above", price=90.0), T0 + 1),)))
    [alert] = run.trades(trade(2, 101.0))
    assert alert.number == 2


def test_rules_that_are_gone_are_not_watched_and_stored_ones_hold_until_they_were_read() -> None:
    stored = AlertRule("stored", "price_above", symbol="BTCUSDT", price=100.0, is_stored=True)
    run = Run(rule("price_below", price=50.0), stored)
    again = Run(state=run.again()).live()
    assert again.prices(101, 40) == []
    unread = Run(state=run.again())
    unread.machine.on_events(RuleSet((), is_complete=False), unread.now)
    assert unread.live().prices(101, 40) == []  # it was given the rules as complete before
    machine = AlertKeeper(KEY, fresh_ms=FRESH_MS, state=run.again())
    machine.on_events(RuleSet((), is_complete=False), run.now)
    machine.on_events(status("live"), run.now)
    assert [one.rule.id for one in machine.on_events(batch(trade(0, 101.0), trade(0, 40.0)), run.now)] == ["stored"]


def test_a_state_of_another_version_is_refused() -> None:
    state = Run(rule("price_above", price=1.0)).again()
    with pytest.raises(StateVersionError, match="the alerts of binance:BTCUSDT"):
        AlertKeeper(KEY, fresh_ms=1, state=(2, *state[1:]))
    assert "another version" in state_fault(ALERTS_STEP, KEY, (KEY, (2, *state[1:])))


def test_what_went_out_after_the_recovered_state_does_not_go_out_again() -> None:
    for rearm in ("once", "on_return"):
        mine = rule("price_above", rearm, price=100.0)
        run = Run(mine).live()
        run.prices(99)
        kept = run.again()
        [alert] = run.trades(trade(1, 101.0))
        last = LastAlert(alert.rule, alert.since, alert.number, alert.time)
        again = Run(mine, state=kept, last=last).live()
        assert again.prices(102, 103, begin=2) == []
        found = [one.number for price in (99.0, 104.0) for one in again.trades(trade(int(price), price))]
        assert found == ([2] if rearm == "on_return" else [])


# --- laws -------------------------------------------------------------------------------------------------------------

PRICES = st.lists(st.sampled_from([97.0, 99.0, 100.0, 101.0, 103.0]), min_size=1, max_size=40)
RULES = st.sampled_from(
    [
        rule(kind, rearm, price=100.0, rearm_s=5.0 if rearm == "after" else None)
        for kind in ("price_above", "price_below", "price_cross")
        for rearm in ("once", "on_return", "after")
    ]
    + [
        rule("price_change", rearm, percent=3.0, span_s=4.0, rearm_s=5.0 if rearm == "after" else None)
        for rearm in ("once", "on_return", "after")
    ]
)


def cut(trades: Sequence[Trade], cuts: Sequence[bool]) -> Iterator[list[Trade]]:
    """The same trades in batches that end where a cut is."""
    part: list[Trade] = []
    for one, ends in zip(trades, cuts, strict=True):
        part.append(one)
        if ends:
            yield part
            part = []
    if part:
        yield part


def paced(prices: Sequence[float]) -> list[Trade]:
    """Five trades a second, so that all of a batch are fresh."""
    return [trade(number, price, 200 * number) for number, price in enumerate(prices)]


def holds(one: AlertRule, prices: Sequence[float], place: int, base: float) -> bool:
    """Whether a rule holds at a price, recounted."""
    price = prices[place]
    match one.kind:
        case "price_above":
            return price > 100.0
        case "price_below":
            return price < 100.0
        case "price_cross":
            sides = [value for value in prices[: place + 1] if value != 100.0]
            return bool(sides) and bool(base) and (sides[-1] > 100.0) != (base > 100.0)
        case _:
            span = prices[max(0, place - 19) : place + 1]  # 4 s
            return any(abs(price / before - 1) >= 0.03 for before in span)


def expected(one: AlertRule, prices: Sequence[float]) -> list[int]:
    """The places at which a rule fires, by its law alone."""
    fired: list[int] = []
    is_armed, base = True, 0.0
    for place in range(len(prices)):
        before = next((value for value in reversed(prices[:place]) if value != 100.0), 0.0)
        base = base or (prices[place] if prices[place] != 100.0 else 0.0)
        if not is_armed:
            is_late = one.rearm == "after" and 200 * (place - fired[-1]) >= 5_000
            if is_late:
                is_armed, base = True, before or base
            elif one.rearm == "on_return" and not holds(one, prices, place, base):
                is_armed = True
        if is_armed and holds(one, prices, place, base):
            fired.append(place)
            is_armed = False
    return fired


@settings(max_examples=examples(150), deadline=None)
@given(one=RULES, prices=PRICES, data=st.data())
def test_whatever_the_cut_a_rule_fires_by_its_law(one: AlertRule, prices: list[float], data: st.DataObject) -> None:
    trades = paced(prices)
    cuts = data.draw(st.lists(st.booleans(), min_size=len(trades), max_size=len(trades)))
    run, fired = Run(one).live(), []
    for part in cut(trades, cuts):
        fired += run.trades(*part)
        if data.draw(st.booleans()):  # ended in good order, and started again
            local = run.local
            run = Run(one, state=run.again())
            run.local = local
            run.take(status("live"))
    assert [alert.seen.trade_id for alert in fired if alert.seen] == expected(one, prices)
    assert [alert.number for alert in fired] == list(range(1, len(fired) + 1))
    assert len({alert.id for alert in fired}) == len(fired)


@settings(max_examples=examples(150), deadline=None)
@given(one=RULES, prices=PRICES, more=PRICES, data=st.data())
def test_a_kill_at_any_moment_makes_no_arming_fire_twice(
    one: AlertRule, prices: list[float], more: list[float], data: st.DataObject
) -> None:
    """The state is that of an earlier moment; what has fired since is on disk; trades since then come again, old."""
    trades = paced(prices)
    kept_at = data.draw(st.integers(0, len(trades)))
    run = Run(one).live()
    fired = [alert for part in trades[:kept_at] for alert in run.trades(part)]
    kept = run.again()
    fired += [alert for part in trades[kept_at:] for alert in run.trades(part)]
    last = fired and LastAlert(one, fired[-1].since, fired[-1].number, fired[-1].time)

    again = Run(one, state=kept, last=last or None)
    again.local = 200 * len(trades) + 60_000
    again.take(status("live"))
    if trades[kept_at:]:
        assert again.take(batch(*trades[kept_at:])) == []
    later = [trade(len(trades) + place, price, again.local + 200 * place) for place, price in enumerate(more)]
    fired += [alert for part in later for alert in again.trades(part)]
    assert [alert.number for alert in fired] == list(range(1, len(fired) + 1))
    assert len({alert.id for alert in fired}) == len(fired)
    if one.rearm == "once":
        assert len(fired) <= 1


@settings(max_examples=examples(150), deadline=None)
@given(
    points=st.lists(st.tuples(st.integers(0, 400), st.integers(1, 20)), min_size=1, max_size=60),
    span_ms=st.sampled_from([200, 1_000, 2_000]),
)
def test_the_span_has_the_lowest_and_highest_price(points: list[tuple[int, int]], span_ms: int) -> None:
    span, step = PriceSpan(span_ms), max(1, span_ms // 200)
    seen: list[tuple[int, float]] = []
    time = 0
    for number, (after, price) in enumerate(points):
        time += after
        seen.append((time, float(price)))
        span.add(PricePoint(float(price), number, time))
        within = [value for when, value in seen if when > time - span_ms]
        surely = [value for when, value in seen if when > time - span_ms + step]
        assert span.low is not None
        assert span.high is not None
        assert min(within) <= span.low.price <= min(surely)
        assert max(surely) <= span.high.price <= max(within)
        assert len(span.kept()[0]) <= 201


def test_what_fired_before_the_venues_time_was_known_is_not_armed_by_the_first_time() -> None:
    machine = AlertKeeper("binance:", fresh_ms=FRESH_MS)
    machine.on_events(RuleSet((WatchedRule(rule("store_outage", "after", rearm_s=60), T0),)), Now(0, 0))
    away = StoreState(ChannelStatus("store", "not stored", 0, "it is away"))
    assert [one.number for one in machine.on_events(away, Now(0, 0))] == [1]
    assert machine.on_events(away, Now(T0, 1_000)) == []
    assert machine.on_timer(Now(T0 + 59_999, 60_999)) == []
    assert [one.number for one in machine.on_timer(Now(T0 + 60_000, 61_000))] == [2]
