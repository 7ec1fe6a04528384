import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from flows.clock import Now
from flows.model import (
    Candle,
    Coverage,
    Disconnected,
    Incident,
    Kline,
    RefreshRequest,
    RefreshResult,
    Seeded,
    StoreOnly,
    StoreOnlyTrades,
    Trade,
    TradeBatch,
)
from flows.operators.candles.builder import CandleBuilder
from flows.operators.candles.disputed_trades import MISPLACED_MS
from flows.operators.candles.kline_queries import FEW_TRIES, MOST_TRIES
from flows.operators.candles.reconcile import HISTORY_MS, Reconciler
from flows.operators.state_version import StateVersionError
from flows.queries import DisputedTradesQuery, History, HistoryQuery, KlinesQuery, QueryError
from sources.binance.rules import RULES
from tests.fakes.candles import BEGIN, candle, candle_of, kline_like
from tests.fakes.trades import trade

MINUTE = 60_000
GRACE = 10_000
NOW = Now(BEGIN, 0)


def at(local: int) -> Now:
    return Now(BEGIN + local, local)


def reconciler(*, can_query: bool = False, state: Any = None, venue: str = "binance", **settings: Any) -> Any:
    """Untyped: each test knows which of its outputs come."""
    return Reconciler(
        f"{venue}:BTCUSDT",
        timeframes=("1m", "1h"),
        rules=RULES[venue],
        can_query=can_query,
        grace_ms=GRACE,
        state=state,
        **settings,
    )


def asking(*, state: Any = None, **settings: Any) -> Any:
    """One whose history is there."""
    machine = reconciler(can_query=True, state=state, **settings)
    [query] = machine.on_events([kline_like(candle(-1), is_closed=False)], NOW)
    assert machine.on_answer(query, [], NOW) == []
    return machine


def rest(ours: Candle, **changes: Any) -> Kline:
    """What REST tells of a period: without ids."""
    return kline_like(ours, first_id=-1, last_id=-1, **changes)


def versions(out: list[Any]) -> list[tuple[int, str, str]]:
    return [(c.revision, c.status, c.proof) for c in out if isinstance(c, Candle)]


# --- by the stream ---


def test_a_kline_that_was_there_first_proves_the_candle_as_it_is_published() -> None:
    machine = reconciler()
    assert machine.on_events([kline_like(candle())], NOW) == []
    assert versions(machine.on_events(candle(), NOW)) == [(0, "final", "equal")]


def test_a_kline_that_comes_later_proves_what_is_published() -> None:
    machine = reconciler()
    assert versions(machine.on_events(candle(), NOW)) == [(0, "final", "")]
    assert machine.on_events([kline_like(candle())], NOW) == [StoreOnly(candle(proof="equal"))]
    assert machine.on_events([kline_like(candle())], NOW) == []


def test_a_partial_candle_gives_way_to_the_exchanges() -> None:
    machine = reconciler()
    out = machine.on_events(candle(status="partial", trades=40), NOW)
    assert versions(out) == [(0, "partial", "")]
    assert [i.kind for i in out if isinstance(i, Incident)] == ["partial"]
    [venues] = machine.on_events([kline_like(candle())], NOW)
    assert (venues.trades, venues.status, venues.revision) == (42, "venue", 1)
    assert machine.on_events(candle(status="partial", trades=41), NOW) == []


def test_a_repaired_candle_is_published_and_proven_again() -> None:
    machine = reconciler()
    machine.on_events(candle(status="partial", trades=40), NOW)
    machine.on_events([kline_like(candle())], NOW)
    assert versions(machine.on_events(candle(status="repaired"), NOW)) == [(2, "repaired", "equal")]


def test_a_complete_candle_that_differs_is_a_mismatch_and_the_exchanges_is_served() -> None:
    machine = reconciler()
    machine.on_events(candle(high=200.0), NOW)
    served, incident = machine.on_events([kline_like(candle())], NOW)
    assert (served.high, served.status, served.proof, served.revision) == (101.5, "venue", "ours wrong", 1)
    assert (incident.kind, incident.cause, incident.begin, incident.first_id) == (
        "mismatch", "high 200.0 ≠ 101.5", BEGIN, 1_000,
    )  # fmt: skip


def test_what_usdm_counts_differently_is_not_comparable() -> None:
    machine = reconciler(venue="binance-usdm")
    ours = candle(venue="binance-usdm")
    machine.on_events(ours, NOW)
    [proven] = machine.on_events([kline_like(ours, trades=43, volume=13.0)], NOW)
    assert proven.candle == replace(ours, proof="not comparable")


def test_a_candle_that_says_nothing_new_is_not_published_again() -> None:
    machine = reconciler()
    machine.on_events(candle(), NOW)
    assert machine.on_events(candle(event_time=BEGIN + 99_999), NOW) == []


def test_forming_candles_and_everything_else_pass() -> None:
    machine = reconciler()
    forming = candle(is_closed=False, status="forming")
    event = Disconnected("market", ("BTCUSDT",), "cut")
    assert machine.on_events(forming, NOW) == [forming]
    assert machine.on_events(event, NOW) == [event]


# --- by asking ---


def test_a_kline_that_does_not_come_is_asked_for_after_the_grace() -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    machine.on_events(candle(1), at(1_000))
    assert machine.due_in(at(1_000)) == 9_000
    [query] = machine.on_timer(at(11_000))
    assert query == KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN + MINUTE, checks=True)
    out = machine.on_answer(query, [rest(candle(0)), rest(candle(1))], at(11_100))
    assert [(p.candle.open_time, p.candle.proof) for p in out] == [(BEGIN, "equal"), (BEGIN + MINUTE, "equal")]
    assert machine.due_in(at(11_100)) is None


def unanswered(machine: Any, local: int, tries: int, *, answer: Any) -> tuple[int, list[Any]]:
    """Answers so many queries alike; gives the local time of the last one, and what has come out."""
    out: list[Any] = []
    for _ in range(tries):
        wait = machine.due_in(at(local))
        assert wait is not None
        local += wait
        for query in machine.on_timer(at(local)):
            out += machine.on_answer(query, answer, at(local))
    return local, out


DOWN = QueryError("no network")


@pytest.mark.parametrize("answer", [DOWN, []])
def test_what_is_not_answered_is_asked_again_for_a_day_and_then_named(answer: Any) -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    local, out = unanswered(machine, 0, MOST_TRIES - 1, answer=answer)
    assert out == []
    local, [incident] = unanswered(machine, local, 1, answer=answer)
    assert (incident.kind, incident.begin, incident.first_id) == ("history", BEGIN, candle(0).first_id)
    assert local > 80_000_000
    assert machine.due_in(at(local)) is None


def test_that_the_venue_has_no_kline_of_an_empty_period_is_accepted() -> None:
    machine = asking()
    machine.on_events(candle(0, trades=0, volume=0.0, first_id=-1, last_id=-1), at(0))
    local, out = unanswered(machine, 0, FEW_TRIES, answer=[])
    assert (out, machine.due_in(at(local))) == ([], None)


CONTRADICTED = candle(high=200.0)


@pytest.mark.parametrize("is_restarted", [False, True])
@pytest.mark.parametrize("is_ours_right", [False, True])
@pytest.mark.parametrize("answer", [DOWN, []])
@pytest.mark.parametrize("tries", [1, 12])
def test_what_the_stream_contradicts_is_unproven_until_rest_decides_however_late(
    tries: int, answer: Any, *, is_ours_right: bool, is_restarted: bool
) -> None:
    machine = asking()
    machine.on_events(CONTRADICTED, at(0))
    assert machine.on_events([kline_like(candle())], at(1)) == []
    local, [doubted, incident] = unanswered(machine, 1, 1, answer=answer)
    assert (doubted.status, doubted.high, incident.kind) == ("unproven", 200.0, "mismatch")
    local, out = unanswered(machine, local, tries - 1, answer=answer)
    assert out == []
    for minute in range(1, tries * 3):
        machine.on_events(candle(minute), at(local))
        machine.on_events([kline_like(candle(minute))], at(local))
    if is_restarted:
        machine = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
        assert machine.due_in(at(local)) == 0
    _, out = unanswered(machine, local, 1, answer=[rest(CONTRADICTED if is_ours_right else candle())])
    assert [one.kind for one in out if isinstance(one, Incident)] == ["mismatch"]
    [served] = versions(out)
    assert served[1:] == (("final", "theirs wrong") if is_ours_right else ("venue", "ours wrong"))


def test_the_next_answer_of_rest_hastens_what_was_not_answered() -> None:
    machine = asking()
    machine.on_events(candle(high=200.0), at(0))
    machine.on_events([kline_like(candle())], at(1))
    local, _ = unanswered(machine, 1, 9, answer=DOWN)
    assert machine.due_in(at(local)) == 3_600_000
    machine.on_events(candle(2), at(local))
    [skipped] = machine.on_timer(at(local))
    assert (skipped.start, skipped.end) == (BEGIN + MINUTE, BEGIN + MINUTE)
    machine.on_answer(skipped, [rest(candle(1))], at(local))
    [query] = machine.on_timer(at(local))
    assert query.start == BEGIN
    assert ("venue", "ours wrong") in [
        one[1:] for one in versions(machine.on_answer(query, [rest(candle())], at(local)))
    ]


def prove_others(machine: Any, local: int) -> None:
    """The exchange's klines of all minutes of the hour but the first are equal to ours."""
    for minute in range(1, 60):
        machine.on_events([kline_like(candle(minute))], at(local))
        machine.on_events(candle(minute), at(local))


def test_while_rest_has_not_decided_the_longer_candle_around_is_unproven() -> None:
    machine = asking(kept_ms=120 * MINUTE)
    ours = candle_of(TRADES)
    hour = replace(ours, timeframe="1h")
    machine.on_events(ours, at(0))
    machine.on_events([kline_like(ours, high=500.0)], at(1))
    unanswered(machine, 1, 1, answer=DOWN)
    assert versions(machine.on_events(hour, at(2))) == [(0, "unproven", "")]
    machine.on_events([kline_like(hour)], at(3))
    assert machine._tracks["1h"].published[BEGIN].status == "final"
    assert machine._tracks["1m"].published[BEGIN].status == "unproven", "nothing is known of the other minutes"
    assert machine.due_in(at(3)) is not None
    prove_others(machine, 3)
    served = machine._tracks["1m"].published[BEGIN]
    assert (served.revision, served.status, served.proof) == (2, "final", "theirs wrong"), (
        "a longer kline outvotes the one that contradicts"
    )
    assert machine.due_in(at(3)) is None


def test_a_report_that_a_confirmed_longer_candle_outvotes_needs_no_word_of_rest() -> None:
    machine = asking(kept_ms=120 * MINUTE)
    ours = candle_of(TRADES)
    hour = replace(ours, timeframe="1h")
    machine.on_events(ours, at(0))
    prove_others(machine, 0)
    machine.on_events(hour, at(0))
    machine.on_events([kline_like(hour)], at(1))
    machine.on_events([kline_like(ours, high=500.0)], at(1))
    local, out = unanswered(machine, 1, 1, answer=DOWN)
    assert [(one.candle.status, one.candle.proof) for one in out if isinstance(one, StoreOnly)] == [
        ("final", "theirs wrong")
    ]
    assert machine.due_in(at(local)) is None


def test_the_exchanges_version_of_a_partial_candle_is_asked_for_however_long_rest_is_silent() -> None:
    machine = asking()
    machine.on_events(candle(status="partial", trades=40, volume=11.0), at(0))
    machine.on_events([kline_like(candle(), high=151.5, close=151.5)], at(1))
    assert machine._tracks["1m"].published[BEGIN].status == "venue"
    local, _ = unanswered(machine, 1, 15, answer=DOWN)
    machine = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
    [query] = machine.on_timer(at(local))
    [incident] = machine.on_answer(query, [rest(candle())], at(local))
    assert (incident.kind, machine._tracks["1m"].published[BEGIN].high) == ("mismatch", 151.5)
    local += machine.due_in(at(local))
    [query] = machine.on_timer(at(local))
    [served] = machine.on_answer(query, [rest(candle())], at(local))
    assert served.high == candle().high


def test_what_rest_has_refuted_puts_the_longer_candle_in_doubt_after_a_restart_too() -> None:
    machine, _ = refuted()
    again = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
    hour = replace(candle(high=200.0), timeframe="1h")
    assert versions(again.on_events(hour, at(5))) == [(0, "unproven", "")]


def test_rest_confirms_the_exchanges_kline_and_ours_was_wrong() -> None:
    machine = asking()
    assert versions(machine.on_events(candle(high=200.0), at(0))) == [(0, "final", "")]
    assert machine.on_events([kline_like(candle())], at(1)) == []
    [query] = machine.on_timer(at(1))
    served, incident = machine.on_answer(query, [rest(candle())], at(2))
    assert (served.high, served.proof, served.first_id) == (101.5, "ours wrong", candle().first_id)
    assert incident.outcome == "ours wrong: the exchange's is served"


def test_the_trades_of_a_candle_that_was_wrong_are_fetched_for_the_store() -> None:
    machine = asking()
    machine.on_events(candle(high=200.0), at(0))
    machine.on_events([kline_like(candle())], at(1))
    [query] = machine.on_timer(at(1))
    machine.on_answer(query, [rest(candle())], at(2))
    assert machine.due_in(at(2)) == 0
    [disputed] = machine.on_timer(at(2))
    wrong = candle()
    assert disputed == DisputedTradesQuery("BTCUSDT", wrong.first_id, wrong.last_id, wrong.open_time, wrong.close_time)
    assert machine.on_timer(at(3)) == []
    assert machine.on_answer(disputed, QueryError("no"), at(3)) == []
    right, impossible = trade(1, 5), replace(trade(2, 6), price=0.0)
    [restored] = machine.on_answer(disputed, [right, impossible], at(3))
    assert restored == StoreOnlyTrades(
        TradeBatch(
            "binance",
            "BTCUSDT",
            [right],
            late=True,
            begin=wrong.open_time - MISPLACED_MS,
            end=wrong.close_time + MISPLACED_MS,
            vouched_by="rest",
        )
    )


def refuted() -> tuple[Any, DisputedTradesQuery]:
    """A machine whose candle REST has refuted, and the query for its trades."""
    machine = asking()
    machine.on_events(candle(high=200.0), at(0))
    machine.on_events([kline_like(candle())], at(1))
    [query] = machine.on_timer(at(1))
    machine.on_answer(query, [rest(candle())], at(2))
    wrong = candle()
    return machine, DisputedTradesQuery("BTCUSDT", wrong.first_id, wrong.last_id, wrong.open_time, wrong.close_time)


@pytest.mark.parametrize("is_asked", [False, True])
def test_a_restart_before_the_answer_asks_for_the_trades_again(is_asked: bool) -> None:
    machine, disputed = refuted()
    if is_asked:
        assert machine.on_timer(at(2)) == [disputed]
    again = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.due_in(at(0)) == 0
    assert again.on_timer(at(0)) == [disputed]
    [restored] = again.on_answer(disputed, [trade(1, 5)], at(1))
    assert isinstance(restored, StoreOnlyTrades)
    last = asking(state=pickle.loads(pickle.dumps(again.snapshot())))
    assert (last.due_in(at(2)), last.on_timer(at(2))) == (None, []), "what is answered is not asked for again"


def test_a_state_of_before_is_refused() -> None:
    """Version 4 did not say which candles are refuted, and which are disputed."""
    machine, _ = refuted()
    _, tracks, waiting, _ = machine.snapshot()
    for state in ((4, tracks, waiting, []), (5, tracks, waiting), (5, tracks, waiting, [(1, 2)])):
        with pytest.raises(StateVersionError, match="the proofs of candles"):
            asking(state=state)


def test_the_trades_of_a_stored_candle_that_history_refutes_are_fetched_too() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(9), NOW)
    wrong = candle(5, close=3.0)
    machine.on_answer(query, [History("1m", [rest(candle(5))], {wrong.open_time: wrong})], NOW)
    disputed = DisputedTradesQuery("BTCUSDT", wrong.first_id, wrong.last_id, wrong.open_time, wrong.close_time)
    assert machine.on_timer(NOW) == [disputed]


def test_rest_says_what_ours_does_and_theirs_was_wrong() -> None:
    machine = asking()
    machine.on_events(candle(), at(0))
    machine.on_events([kline_like(candle(), high=200.0)], at(1))
    [query] = machine.on_timer(at(1))
    proven, incident = machine.on_answer(query, [rest(candle())], at(2))
    assert (proven.candle.proof, incident.cause) == ("theirs wrong", "high 101.5 ≠ 200.0")


def test_periods_that_were_skipped_are_asked_for_at_once() -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    machine.on_events(candle(3), at(0))
    [query] = machine.on_timer(at(0))
    assert query == KlinesQuery("BTCUSDT", "1m", BEGIN + MINUTE, BEGIN + 2 * MINUTE, checks=True)
    out = machine.on_answer(query, [rest(candle(1)), rest(candle(2), is_closed=True)], at(1))
    assert [(c.open_time, c.status, c.revision) for c in out] == [
        (BEGIN + MINUTE, "venue", 0),
        (BEGIN + 2 * MINUTE, "venue", 0),
    ]


# --- reports of the stream without all trades of ours behind them ---

FALSE = [{"high": 151.5, "close": 151.5}, {"trades": 3, "last_id": 1_002, "volume": 0.5}, {"low": 9.0}]


@given(
    before=st.lists(st.sampled_from([{}, *FALSE]), max_size=3),
    behind=st.lists(st.sampled_from([{}, *FALSE]), max_size=3),
    is_skipped=st.booleans(),
    is_restarted=st.booleans(),
)
def test_whatever_the_stream_reports_of_a_period_without_all_trades_rest_decides(
    before: list[dict[str, Any]], behind: list[dict[str, Any]], *, is_skipped: bool, is_restarted: bool
) -> None:
    machine = asking()
    true = candle(1)
    out: list[Any] = machine.on_events(candle(0), at(0))
    for changes in before:
        out += machine.on_events([kline_like(true, **changes)], at(1))
    lacking = [] if is_skipped else [replace(true, status="partial", trades=40, last_id=1_039, volume=12.0)]
    for one in [*lacking, candle(2)]:
        out += machine.on_events(one, at(2))
    for changes in behind:
        out += machine.on_events([kline_like(true, **changes)], at(3))
    if is_restarted:
        machine = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
    for local in range(0, 40_000, 5_000):
        for query in machine.on_timer(at(3 + local)):
            times = range(query.start, query.end + 1, MINUTE)
            klines = [rest(candle((time - BEGIN) // MINUTE)) for time in times]
            out += machine.on_answer(query, klines if query.timeframe == "1m" else [], at(3 + local))
    served = machine._tracks["1m"].published[true.open_time]
    assert (served.prices, served.trades, served.volume) == (true.prices, true.trades, true.volume)
    assert served.status == "venue" or served.proof == "equal"
    if len({str(changes) for changes in (*before, *behind)}) > 1:
        assert [one for one in out if isinstance(one, Incident) and one.kind == "mismatch"]


def test_a_report_that_cannot_hold_the_trades_of_ours_is_not_served_before_rest_has_decided() -> None:
    machine = asking()
    ours = candle(status="partial", trades=40)
    machine.on_events(ours, at(0))
    [incident] = machine.on_events([kline_like(candle(), trades=3, last_id=1_002)], at(1))
    assert (incident.kind, machine._tracks["1m"].published[BEGIN]) == ("mismatch", ours)
    [query] = machine.on_timer(at(1))
    _, served = machine.on_answer(query, [rest(candle())], at(2))
    assert (served.status, served.trades) == ("venue", 42)


def test_where_nothing_can_be_asked_such_a_report_is_never_served() -> None:
    machine = reconciler()
    machine.on_events(candle(status="partial", trades=40), at(0))
    machine.on_events([kline_like(candle(), trades=3, last_id=1_002)], at(1))
    assert machine._tracks["1m"].published[BEGIN].status == "partial"


# --- what a longer candle vouches for ---


def longer_and_refuted(machine: Any, ours: Candle, *, hour: Candle) -> list[Any]:
    """The query for the trades of a minute that REST has refuted, in an hour whose other minutes are equal."""
    machine.on_events(ours, at(0))
    machine.on_events([kline_like(ours, high=500.0)], at(1))
    [query] = machine.on_timer(at(1))
    machine.on_answer(query, [rest(ours, high=500.0)], at(2))
    [disputed] = machine.on_timer(at(2))
    prove_others(machine, 2)
    machine.on_events(hour, at(3))
    return disputed  # type: ignore[no-any-return]


TRADES = [trade(number, number * 100) for number in range(1, 9)]


@given(is_seeded=st.booleans(), is_restarted=st.booleans(), answer=st.sampled_from(("none", "same", "other")))
def test_a_longer_candle_vouches_for_the_trades_inside_it_only_if_it_was_made_of_them(
    is_seeded: bool, is_restarted: bool, answer: str
) -> None:
    ours = candle_of(TRADES)
    hour = replace(ours, timeframe="1h")
    machine = asking(kept_ms=120 * MINUTE)
    if is_seeded:
        assert machine.on_events(Seeded("1h", BEGIN), NOW) == []
    if is_restarted:
        machine = asking(state=pickle.loads(pickle.dumps(machine.snapshot())), kept_ms=120 * MINUTE)
    disputed = longer_and_refuted(machine, ours, hour=hour)
    if answer != "none":
        given_trades = TRADES if answer == "same" else [*TRADES[:-1], replace(TRADES[-1], quantity=0.777)]
        machine.on_answer(disputed, given_trades, at(4))
    out = machine.on_events([kline_like(hour)], at(5))
    returned = [one for one in out if isinstance(one, Candle) and one.timeframe == "1m"]
    assert bool(returned) == (not is_seeded and answer != "other")
    assert machine._tracks["1m"].published[BEGIN].high == (ours.high if returned else 500.0)


# --- history ---


def test_live_candles_wait_for_their_history() -> None:
    machine = reconciler(can_query=True)
    forming = candle(5, is_closed=False, status="forming")
    [query] = machine.on_events(forming, NOW)
    assert query == HistoryQuery("BTCUSDT", ("1m", "1h"), BEGIN)
    assert machine.on_events(candle(5), NOW) == []
    history = History("1m", [rest(candle(number)) for number in range(3, 6)], {})
    out = machine.on_answer(query, [history], NOW)
    candles = [item.candle if isinstance(item, StoreOnly) else item for item in out]
    assert [(c.open_time - BEGIN, c.status) for c in candles] == [
        (3 * MINUTE, "venue"), (4 * MINUTE, "venue"), (5 * MINUTE, "forming"), (5 * MINUTE, "final"),
    ]  # fmt: skip
    assert len(machine.on_events(candle(6), NOW)) == 1


def test_what_is_stored_is_compared_and_only_what_lacks_or_differs_is_written() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(9), NOW)
    stored = {
        c.open_time: c
        for c in (
            candle(1),
            candle(2, proof="equal"),
            candle(3, status="partial", trades=3, revision=1),
            candle(4, is_closed=False, status="forming"),
            candle(5, close=3.0),
        )
    }
    out = machine.on_answer(query, [History("1m", [rest(candle(number)) for number in range(1, 6)], stored)], NOW)
    candles = [item.candle if isinstance(item, StoreOnly) else item for item in out if not isinstance(item, Incident)]
    past = [item for item in candles if item.open_time < BEGIN + 9 * MINUTE]
    assert [((i.open_time - BEGIN) // MINUTE, i.revision, i.proof) for i in past] == [
        (1, 0, "equal"), (3, 2, ""), (4, 0, ""), (5, 1, "ours wrong"),
    ]  # fmt: skip
    assert [i.cause for i in out if isinstance(i, Incident)] == ["close 3.0 ≠ 101.0"]


def test_a_past_that_the_exchange_has_changed_is_taken_over_and_said() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(9), NOW)
    stored = {candle(5).open_time: candle(5, close=3.0, status="venue")}
    recorded, incident, *_ = machine.on_answer(query, [History("1m", [rest(candle(5))], stored)], NOW)
    assert (recorded.candle.close, recorded.candle.revision, recorded.candle.proof) == (101.0, 1, "")
    assert incident.outcome == "the exchange has changed its own"


def test_a_history_that_cannot_be_had_is_an_incident_and_holds_up_nobody_for_ever() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(5), NOW)
    out = machine.on_answer(query, QueryError("no network"), NOW)
    assert [(type(item), getattr(item, "kind", "")) for item in out] == [(Incident, "history"), (Candle, "")]
    late = reconciler(can_query=True)
    late.on_events(candle(5), NOW)
    assert late.due_in(NOW) == HISTORY_MS
    assert versions(late.on_timer(at(HISTORY_MS))) == [(0, "final", "")]


def test_longer_timeframes_are_refreshed_from_time_to_time() -> None:
    machine = reconciler(can_query=True, refresh_ms=50_000)
    [query] = machine.on_events(candle(5), NOW)
    machine.on_answer(query, [], NOW)
    assert machine.on_timer(at(50_000))[0] == HistoryQuery("BTCUSDT", ("1h",), BEGIN + 50_000)


def test_a_restart_goes_on_where_it_was() -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    again = asking(state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.on_events(candle(0), at(0)) == []
    assert again.on_timer(at(0)) == [KlinesQuery("BTCUSDT", "1m", BEGIN, BEGIN, checks=True)]
    assert versions(again.on_events(candle(0, trades=43), at(0))) == [(1, "final", "")]


def test_what_waits_for_the_history_waits_on_after_a_restart() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(1), NOW)
    resumed = reconciler(can_query=True, state=pickle.loads(pickle.dumps(machine.snapshot())))
    [again] = resumed.on_events(candle(2), NOW)
    assert (type(query), type(again)) == (HistoryQuery, HistoryQuery)
    out = resumed.on_answer(again, [], NOW)
    assert [item.open_time for item in out if isinstance(item, Candle)] == [candle(1).open_time, candle(2).open_time]


def test_what_waits_for_the_history_is_not_overtaken_by_trades_that_come_before_the_time_is_known() -> None:
    machine = reconciler(can_query=True)
    machine.on_events(candle(0), NOW)
    resumed = reconciler(can_query=True, state=pickle.loads(pickle.dumps(machine.snapshot())))
    unknown = Now(0, 5)  # REST brings what was missed, and nothing has come by the stream
    [query] = resumed.on_events(candle(3), unknown)
    assert query == HistoryQuery("BTCUSDT", ("1m", "1h"), candle(3).event_time)
    out = resumed.on_answer(query, [], unknown)
    assert [(c.open_time, c.revision) for c in out] == [(candle(0).open_time, 0), (candle(3).open_time, 0)]


def test_what_waits_for_the_history_does_not_wait_for_a_message_after_a_restart() -> None:
    machine = reconciler(can_query=True)
    machine.on_events(candle(0), NOW)
    resumed = reconciler(can_query=True, state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert resumed.due_in(Now(0, 5)) == 0
    [query] = resumed.on_timer(Now(0, 5))
    assert query == HistoryQuery("BTCUSDT", ("1m", "1h"), candle(0).event_time)
    assert resumed.due_in(Now(0, 6)) == HISTORY_MS - 1
    assert versions(resumed.on_answer(query, [], Now(0, 7))) == [(0, "final", "")]


def resumed_with(machine: Any, stored: Candle) -> Any:
    """The next process: its state is a snapshot, and its history is there with what is stored of a period."""
    again = reconciler(can_query=True, state=pickle.loads(pickle.dumps(machine.snapshot())))
    [query] = again.on_events([kline_like(candle(2), is_closed=False)], NOW)
    whole = rest(candle((stored.open_time - BEGIN) // MINUTE))
    return again, again.on_answer(query, [History("1m", [whole], {stored.open_time: stored})], NOW)


def test_a_doubt_that_was_told_behind_the_kept_state_is_taken_back_under_the_next_revision() -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    again, out = resumed_with(machine, candle(0, status="partial", revision=1))
    assert versions(out) == [(2, "final", "")]
    assert again.on_events(candle(0), at(1)) == []
    _, out = resumed_with(machine, candle(0, status="repaired", revision=1))
    assert out == []
    machine.on_events(candle(0, high=109.0), at(2))
    _, out = resumed_with(machine, candle(0, status="partial", revision=2))
    assert out == []  # nothing says that ours is right


def test_what_is_built_again_goes_on_from_the_revision_that_was_told_of_it() -> None:
    machine = asking()
    machine.on_events(candle(0), at(0))
    again, out = resumed_with(machine, candle(1, status="partial", trades=40, revision=1))
    assert out == []
    assert versions(again.on_events(candle(1), at(1))) == [(2, "final", "")]


def test_what_the_store_has_lost_of_our_own_candles_comes_back() -> None:
    machine = asking(kept_ms=5 * MINUTE)
    for number in range(12):
        machine.on_events(candle(number), at(number))
        machine.on_events([rest(candle(number))], at(number))
    [query] = machine.on_events(RefreshRequest(("BTCUSDT",), "r1", ("1m",)), at(20))
    klines = [rest(candle(number)) for number in range(-1, 14)]
    there = {candle(10).open_time: candle(10, proof="equal"), candle(3).open_time: candle(3, close=3.0)}
    *rows, _ = machine.on_answer(query, [History("1m", klines, there)], at(21))
    candles = [c for c in map(candle_in, rows) if c]
    found = {(c.open_time - BEGIN) // MINUTE: (c.revision, c.status, c.proof, c.close) for c in candles}
    true = candle(0).close
    from_the_exchange = dict.fromkeys((-1, 0, 1, 2, 4, 5), (0, "venue", "", true))
    remembered = dict.fromkeys((6, 7, 8, 9, 11), (0, "final", "equal", true))
    assert found == {**from_the_exchange, 3: (1, "venue", "ours wrong", true), **remembered}
    # what is not built yet is left to its trades


def test_what_somebody_else_has_stored_is_told_again_and_counted_on_from() -> None:
    machine = asking()
    for number in range(3):
        machine.on_events(candle(number), at(number))
    wanted = RefreshRequest(("BTCUSDT",), "r1", ("1m",), BEGIN - MINUTE, BEGIN + 3 * MINUTE, is_stored=True)
    [query] = machine.on_events(wanted, at(5))
    assert query == HistoryQuery(
        "BTCUSDT", ("1m",), BEGIN + 5, "r1", BEGIN - MINUTE, BEGIN + 3 * MINUTE, is_stored=True
    )

    machine.on_events(candle(2, status="repaired", trades=50), at(6))  # revision 1 is out
    stored = [candle(-1, revision=4), candle(0, revision=1, close=7.0, status="repaired"), candle(1), candle(2)]
    out = machine.on_answer(query, [History("1m", [], {one.open_time: one for one in stored})], at(7))

    told = [replace(one, event_time=at(7).feed) for one in stored[:3]]
    assert out == [*told, RefreshResult("r1", "3 stored candles told again")]
    [amended] = machine.on_events(candle(0, status="repaired", trades=60), at(8))
    assert amended.revision == 2


def test_a_store_that_does_not_answer_ends_the_request() -> None:
    machine = asking()
    [query] = machine.on_events(RefreshRequest(("BTCUSDT",), "r1", ("1m",), 1, 2, is_stored=True), at(5))
    lacking = [History("1m", [], {}, "the server is away")]
    report = "0 stored candles told again; the server is away"
    assert machine.on_answer(query, lacking, at(7)) == [RefreshResult("r1", report, failed=True)]


def candle_in(item: Any) -> Candle | None:
    return item.candle if isinstance(item, StoreOnly) else None


def test_a_refresh_compares_everything_and_says_what_that_changed() -> None:
    machine = asking()
    machine.on_events(candle(8), at(0))
    [query] = machine.on_events(RefreshRequest(("BTCUSDT",), "r1", ("1m",)), at(1))
    assert query == HistoryQuery("BTCUSDT", ("1m",), BEGIN + 1, forced="r1")
    stored = {candle(6).open_time: candle(6, proof="equal"), candle(7).open_time: candle(7, close=3.0)}
    history = History("1m", [rest(candle(number)) for number in range(5, 9)], stored)
    *rows, report = machine.on_answer(query, [history], at(2))
    changed = [row.candle for row in rows if isinstance(row, StoreOnly)]
    assert [((c.open_time - BEGIN) // MINUTE, c.revision, c.status, c.proof) for c in changed] == [
        (5, 0, "venue", ""), (7, 1, "venue", "ours wrong"), (8, 0, "final", "equal"),
    ]  # fmt: skip
    assert report == RefreshResult("r1", "4 candles fetched: 2 written, 1 confirmed, the others were known to be right")


def test_a_refresh_that_cannot_be_done_says_why() -> None:
    machine = asking()
    [unknown] = machine.on_events(RefreshRequest(("BTCUSDT",), "r1", ("7m",)), at(1))
    assert (unknown.failed, unknown.report) == (True, "7m is not built here")
    [query] = machine.on_events(RefreshRequest(("BTCUSDT",), "r2"), at(1))
    *_, failed = machine.on_answer(query, QueryError("no network"), at(2))
    assert (failed.request, failed.failed) == ("r2", True)
    assert "no network" in failed.report


# --- files ---


def over(minute: int, minutes: int, *, has_trades: bool) -> Coverage:
    begin = BEGIN + minute * MINUTE
    return Coverage(("BTCUSDT",), begin, begin + minutes * MINUTE, "a file", has_trades, is_over=True)


def test_klines_of_files_without_trades_stand_in_as_soon_as_they_are_over_and_only_once() -> None:
    machine = reconciler()
    machine.on_events([rest(candle(minute)) for minute in range(3)], NOW)
    out = machine.on_events(over(0, 2, has_trades=False), NOW)
    assert [(c.open_time, c.status) for c in out[:-1]] == [(BEGIN, "venue"), (BEGIN + MINUTE, "venue")]
    assert out[-1] == over(0, 2, has_trades=False)
    assert machine.on_events(over(0, 2, has_trades=False), NOW) == [over(0, 2, has_trades=False)]
    assert machine.on_end(NOW) == []


def test_years_of_klines_without_trades_are_not_kept() -> None:
    machine = reconciler()
    for hour in range(24):
        first = hour * 60
        machine.on_events([rest(candle(minute)) for minute in range(first, first + 60)], NOW)
        assert len(machine.on_events(over(first, 60, has_trades=False), NOW)) == 61
    assert len(machine.snapshot().tracks["1m"][2]) < 60


def test_behind_files_without_trades_the_next_ones_are_proven_as_ever() -> None:
    machine = reconciler()
    machine.on_events([rest(candle(minute)) for minute in range(3)], NOW)
    assert versions(machine.on_events(candle(0), NOW)) == [(0, "final", "equal")]
    assert machine.on_events(over(0, 1, has_trades=True), NOW) == [over(0, 1, has_trades=True)]
    assert versions(machine.on_events(over(1, 1, has_trades=False), NOW)) == [(0, "venue", "")]
    assert versions(machine.on_events(candle(2), NOW)) == [(0, "final", "equal")]


# --- trades whose times are wrong ---


def test_trades_that_are_too_early_over_the_end_of_a_minute_are_one_mismatch_and_few_versions() -> None:
    """As they come: eight a second, each 4,400 ms too early, while REST tells the truth at once."""
    early, step = 4_400, 125
    count = 4 * MINUTE // step
    true = [trade(number + 1, number * step) for number in range(count)]
    told = [replace(one, time=one.time - early) if one.time >= BEGIN + 2 * MINUTE else one for one in true]
    builder = CandleBuilder("binance:BTCUSDT", timeframes=("1m", "1h"), close_grace_ms=2_000, forming_ms=100)
    machine = asking()
    minutes = candles_of(true)
    out: list[Any] = []
    for one in told:
        now = Now(one.event_time, one.event_time - BEGIN)
        built: list[Any] = []
        if kline := minutes.pop(one.event_time - MINUTE, None):
            built += builder.on_events([kline], now)
        built += builder.on_events(TradeBatch("binance", "BTCUSDT", [one]), now)
        for item in built:
            out += machine.on_events(item, now)
        for query in machine.on_timer(now):
            if isinstance(query, KlinesQuery):
                history = candles_of(true)
                klines = [rest_of(history[t]) for t in range(query.start, query.end + 1, MINUTE) if t in history]
                out += machine.on_answer(query, klines if query.timeframe == "1m" else [], now)
    mismatches = [one for one in out if isinstance(one, Incident) and one.kind == "mismatch"]
    assert [(one.begin - BEGIN) // MINUTE for one in mismatches] == [1, 2]
    served = {c.open_time: c for c in out if isinstance(c, Candle) and c.is_closed and c.timeframe == "1m"}
    for open_time, expected in list(candles_of(true).items())[1:3]:
        last = served[open_time]
        assert (last.trades, last.first_id, last.last_id) == (expected.trades, expected.first_id, expected.last_id)
        assert (last.status, last.proof) == ("venue", "ours wrong")
        assert last.revision <= 2


def rest_of(kline: Kline) -> Kline:
    return replace(kline, first_id=-1, last_id=-1)


def candles_of(trades: list[Trade]) -> dict[int, Kline]:
    """The exchange's klines of these trades, by open time, one trade a fill."""
    klines: dict[int, Kline] = {}
    for open_time in range(BEGIN, trades[-1].time, MINUTE):
        inside = [one for one in trades if open_time <= one.time < open_time + MINUTE]
        sums = {"volume": float(len(inside)), "quote_volume": 100.0 * len(inside), "trades": len(inside)}
        bought = {"taker_buy_volume": sums["volume"], "taker_buy_quote_volume": sums["quote_volume"]}
        ids = {"first_id": inside[0].first_id, "last_id": inside[-1].last_id}
        prices = dict.fromkeys(("open", "high", "low", "close"), 100.0)
        ours = candle((open_time - BEGIN) // MINUTE, **sums, **bought, **ids, **prices)
        klines[open_time] = kline_like(ours)
    return klines


# --- one answer of REST ---


def test_while_the_answers_of_rest_differ_from_all_else_ours_is_unproven_and_they_are_asked_for_less_and_less() -> None:
    machine = asking()
    machine.on_events(candle(high=200.0), at(0))
    machine.on_events([kline_like(candle())], at(1))
    local, waits = 1, []
    for number in range(6):
        [query] = machine.on_timer(at(local))
        machine.on_answer(query, [rest(candle(high=300.0 + number))], at(local))
        served = machine._tracks["1m"].published[BEGIN]
        assert (served.high, served.status) == (200.0, "unproven")
        waits.append(machine.due_in(at(local)))
        local += waits[-1]
    assert waits == sorted(set(waits)), "each longer than the one before"
    [query] = machine.on_timer(at(local))
    served, *_ = machine.on_answer(query, [rest(candle())], at(local))
    assert (served.high, served.status, served.proof) == (101.5, "venue", "ours wrong")


def test_a_refresh_with_one_wrong_candle_changes_nothing_and_asks_again() -> None:
    machine = asking()
    machine.on_events(candle(), at(0))
    machine.on_events([kline_like(candle())], at(1))
    [query] = machine.on_events(RefreshRequest(("BTCUSDT",), "r1", ("1m",)), at(60_000))
    stored = {BEGIN: candle(proof="equal")}
    incident, result = machine.on_answer(query, [History("1m", [rest(candle(high=151.5))], stored)], at(60_001))
    assert (incident.kind, type(result)) == ("mismatch", RefreshResult)
    local = 60_001 + machine.due_in(at(60_001))
    [again] = machine.on_timer(at(local))
    assert machine.on_answer(again, [rest(candle())], at(local)) == []
    assert machine._tracks["1m"].published[BEGIN] == candle(proof="equal")
    assert machine.due_in(at(local)) is None


def test_a_stored_candle_with_a_proof_is_asked_for_again() -> None:
    machine = reconciler(can_query=True)
    [query] = machine.on_events(candle(9), NOW)
    stored = {candle(number).open_time: candle(number, proof="equal") for number in (1, 2)}
    klines = [rest(candle(1)), rest(candle(2, high=151.5))]
    out = machine.on_answer(query, [History("1m", klines, stored)], NOW)
    assert [one.kind for one in out if isinstance(one, Incident)] == ["mismatch"]
    assert [one.candle for one in out if isinstance(one, StoreOnly)] == []
    local = machine.due_in(NOW)
    [again] = [one for one in machine.on_timer(at(local)) if isinstance(one, HistoryQuery)]
    assert (again.start, again.end) == (BEGIN + 2 * MINUTE, BEGIN + 3 * MINUTE)
    assert machine.on_answer(again, [History("1m", [rest(candle(2))], stored)], at(local)) == []
