import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import json, structs

from flows.bounds import VenueRules
from flows.model import (
    DAY_MS,
    AggregateTrade,
    Disconnected,
    Gap,
    Incident,
    Kline,
    Rejected,
    Silent,
    Subscribed,
    Trade,
    TradeBatch,
    TradesRefused,
    TradeWitness,
)
from flows.operators.trades import chain, head_gap
from flows.operators.trades.gaps import ENOUGH_TRIES, LATER_MS, QUERY_TRADES, RETRY_MS
from flows.operators.trades.witness import STRAGGLER_MS
from flows.queries import (
    LastTradeQuery,
    MissedTradesQuery,
    QueryError,
    RenewQuery,
    StoreCheckQuery,
    TradesQuery,
)
from tests.fakes.candles import kline_of_ones
from tests.fakes.sequencing import WatchedSequencer, answered
from tests.fakes.trades import BEGIN, at, cut, trade, trade_runs


def sequencer() -> WatchedSequencer:
    return WatchedSequencer("binance:BTCUSDT", reorder_ms=200)


def begun(first: int = 1) -> WatchedSequencer:
    """A sequencer that has handed on the trade `first`."""
    machine = sequencer()
    machine.on_events([trade(first, 0)], at(0))
    assert ids(machine.on_timer(at(200))) == [first]
    return machine


def ids(out: list[Any]) -> list[int]:
    return [t.id for item in out if isinstance(item, TradeBatch) for t in item.trades]


def test_a_run_in_sequence_is_handed_on_as_it_is() -> None:
    machine, run = begun(), [trade(2, 10), trade(3, 11)]
    assert machine.on_events(run, at(11)) == [TradeBatch("binance", "BTCUSDT", run, begin=BEGIN + 10, end=BEGIN + 11)]


def test_the_beginning_waits_for_the_lowest_id() -> None:
    machine = sequencer()
    assert machine.on_events([trade(7, 5)], at(5)) == []
    assert machine.on_events([trade(6, 4)], at(6)) == []
    assert machine.due_in(at(6)) == 199
    assert ids(machine.on_timer(at(205))) == [6, 7]


def test_a_straggler_is_put_in_its_place() -> None:
    #   3 ─ 4   arrive, then 2
    machine = begun()
    assert machine.on_events([trade(3, 20), trade(4, 30)], at(300)) == []
    assert ids(machine.on_events([trade(2, 10)], at(310))) == [2, 3, 4]
    assert machine.due_in(at(310)) is None


def test_a_hole_that_is_not_filled_in_time_is_a_gap_with_its_ids_and_times() -> None:
    machine = begun()
    machine.on_events([trade(5, 40)], at(300))
    out = machine.on_timer(at(500))
    assert out == [
        Gap("binance", "BTCUSDT", 2, 4, BEGIN, BEGIN + 40),
        Incident("gap", "binance", "BTCUSDT", BEGIN, BEGIN + 40, "3 trades did not arrive", "open", 2, 4),
        TradeBatch("binance", "BTCUSDT", [trade(5, 40)], begin=BEGIN + 40, end=BEGIN + 40),
    ]


def test_what_fills_a_gap_later_is_late_and_only_once() -> None:
    machine = begun()
    machine.on_events([trade(5, 40)], at(300))
    machine.on_timer(at(500))
    assert machine.on_events([trade(3, 20)], at(600)) == [
        TradeBatch("binance", "BTCUSDT", [trade(3, 20)], late=True),
    ]
    assert machine.on_events([trade(3, 20)], at(610)) == []
    assert machine.duplicates == 1


def test_duplicates_are_dropped_and_counted() -> None:
    machine = begun()
    assert ids(machine.on_events([trade(1, 0), trade(2, 10), trade(2, 10)], at(10))) == [2]
    assert machine.duplicates == 2


def test_more_held_than_the_bound_is_a_gap_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr(head_gap, "MAX_HELD", 3)
    machine = begun()
    out = machine.on_events([trade(number, number) for number in range(3, 7)], at(300))
    assert ids(out) == [3, 4, 5, 6]
    assert isinstance(out[0], Gap)


def test_ids_that_begin_anew_are_noticed() -> None:
    machine = begun(first=1_000)
    assert machine.on_events([trade(1, 120_000)], at(120_000)) == []  # one trade alone says nothing
    out = machine.on_events([trade(2, 120_001)], at(120_001))
    assert [item.kind for item in out if isinstance(item, Incident)] == ["gap"]
    assert ids(machine.on_timer(at(120_201))) == [1, 2]


def test_everything_else_passes() -> None:
    machine = sequencer()
    event = Disconnected("market", ("BTCUSDT",), "cut")
    kline = kline_of_ones(event_time=1, open_time=0)
    assert machine.on_events(event, at(0)) == [event]
    assert machine.on_events([kline], at(0)) == [[kline]]


def test_the_end_hands_on_what_is_held() -> None:
    machine = begun()
    machine.on_events([trade(4, 40)], at(300))
    assert ids(machine.on_end(at(300))) == [4]


def test_a_restart_goes_on_where_it_was() -> None:
    machine = begun()
    machine.on_events([trade(3, 20)], at(300))
    state = pickle.loads(pickle.dumps(machine.snapshot()))
    again = WatchedSequencer("binance:BTCUSDT", reorder_ms=200, state=state)
    assert ids(again.on_events([trade(2, 10)], at(310))) == [2, 3]


class VenueAggregate(AggregateTrade, frozen=True, gc=False, kw_only=True):
    """As a venue's parser gives it."""


def test_held_trades_of_a_venues_own_types_are_recovered() -> None:
    aggregates: list[Trade] = [
        VenueAggregate(**{name: getattr(one, name) for name in one.__struct_fields__}) for one in AGGREGATES
    ]
    machine = sequencer()
    machine.on_events(aggregates[:1], at(0))
    machine.on_timer(at(200))
    machine.on_events(aggregates[2:], at(300))
    state = pickle.loads(pickle.dumps(machine.snapshot()))
    again = WatchedSequencer("binance:BTCUSDT", reorder_ms=200, state=state)
    [batch] = again.on_events(aggregates[1:2], at(310))
    assert isinstance(batch, TradeBatch)
    assert [structs.astuple(one) for one in batch.trades] == [structs.astuple(one) for one in AGGREGATES[1:]]


# --- repair ---


def repairing(state: Any = None, **settings: Any) -> Any:
    return WatchedSequencer(
        "binance:BTCUSDT", **({"reorder_ms": 200, "repair_ms": 30_000, "repair_trades": 50_000} | settings), state=state
    )


def begun_repairing(**settings: int) -> Any:
    """One that has handed on trade 1 and knows that nothing is stored."""
    machine = repairing(**settings)
    [query] = machine.on_events([trade(1, 0)], at(0))
    assert query == LastTradeQuery("BTCUSDT", 1, BEGIN)
    machine.on_answer(query, None, at(0))
    assert ids(machine.on_timer(at(200))) == [1]
    return machine


def holed(machine: WatchedSequencer, first: int = 5) -> TradesQuery:
    """Makes a hole before `first`, and gives the ask for it."""
    assert machine.on_events([trade(first, 40)], at(300)) == []
    [query] = machine.on_timer(at(500))
    assert isinstance(query, TradesQuery)
    return query


def incidents(out: list[Any]) -> list[tuple[str, int, int]]:
    return [(i.kind, i.first_id, i.last_id) for i in out if isinstance(i, Incident)]


def test_a_hole_is_asked_for_and_repaired_before_anybody_notices() -> None:
    machine = begun_repairing()
    query = holed(machine)
    assert query == TradesQuery("BTCUSDT", 2, 4, BEGIN, BEGIN + 40)
    assert machine.on_events([trade(6, 50)], at(600)) == []
    out = machine.on_answer(query, [trade(2, 10), trade(3, 20), trade(4, 30)], at(650, 70))
    assert ids(out) == [2, 3, 4, 5, 6]
    assert incidents(out) == [("repair", 2, 4)]
    assert not any(isinstance(item, Gap) for item in out)
    assert machine.due_in(at(650, 70)) is None


def test_a_large_hole_is_filled_a_part_at_a_time() -> None:
    machine = begun_repairing()
    queries: list[Any] = [holed(machine, first=25_002)]
    handed_on: list[int] = []
    while queries:
        query = queries.pop()
        assert query.last_id - query.first_id < QUERY_TRADES
        found = [trade(number, 10) for number in range(query.first_id, query.last_id + 1)]
        out = machine.on_answer(query, found, at(600))
        handed_on += ids(out)
        queries = [item for item in out if isinstance(item, TradesQuery)]
    assert handed_on == list(range(2, 25_003))


def test_a_hole_larger_than_is_allowed_is_a_gap_as_soon_as_the_venue_knows_the_trades_behind_it() -> None:
    machine = begun_repairing(repair_trades=3)
    machine.on_events([trade(6, 40), trade(7, 41)], at(300))
    [query] = machine.on_timer(at(500))
    assert query == TradesQuery("BTCUSDT", 6, 7, BEGIN + 40, BEGIN + 41)
    assert machine.due_in(at(500)) is None
    out = machine.on_answer(query, [trade(6, 40), trade(7, 41)], at(500))
    assert [type(item) for item in out] == [Gap, Incident, TradeBatch]
    assert "feed.repair_trades" in out[1].outcome
    assert machine.due_in(at(500)) is None


def test_what_fails_is_asked_again_until_the_patience_is_over_and_then_in_the_background() -> None:
    machine = begun_repairing(repair_ms=5_000)
    query = holed(machine)
    assert machine.on_answer(query, QueryError("no network"), at(500, 0)) == []
    assert machine.due_in(at(500, 0)) == RETRY_MS
    assert machine.on_timer(at(500, RETRY_MS)) == [query]
    assert machine.on_answer(query, QueryError("no network"), at(500, RETRY_MS)) == []
    out = machine.on_timer(at(500, 5_000))
    assert incidents(out) == [("gap", 2, 4)]
    assert "no network" in next(i.outcome for i in out if isinstance(i, Incident))
    assert ids(out) == [5]
    assert machine.on_timer(at(900, 5_000 + LATER_MS)) == [query]
    late = machine.on_answer(query, [trade(2, 10), trade(3, 20), trade(4, 30)], at(900, 5_001 + LATER_MS))
    assert late == [TradeBatch("binance", "BTCUSDT", [trade(2, 10), trade(3, 20), trade(4, 30)], late=True)]
    assert machine.due_in(at(900, 5_001 + LATER_MS)) is None


def test_what_the_venue_no_longer_has_is_a_gap_that_nobody_asks_for_again() -> None:
    machine = begun_repairing()
    query = holed(machine)
    out = machine.on_answer(query, QueryError("gone", lasting=True), at(501))
    assert (incidents(out), ids(out)) == ([("gap", 2, 4)], [5])
    assert machine.due_in(at(501)) is None


def denied(machine: WatchedSequencer, query: TradesQuery) -> tuple[TradesQuery, int]:
    """The venue answers again and again that it knows no trade of a hole. Gives the query that follows, and when."""
    local, out = 0, []
    for _ in range(ENOUGH_TRIES):
        out = machine.on_answer(query, [], at(600, local))
        local += machine.due_in(at(600, local)) or 0
        out += machine.on_timer(at(600, local))
    return next(item for item in out if isinstance(item, TradesQuery)), local


@pytest.mark.parametrize("error", [None, QueryError("no network")])
def test_an_empty_answer_is_believed_after_some_tries(error: QueryError | None) -> None:
    machine = begun_repairing()
    query = holed(machine)
    machine.on_events([trade(6, 41)], at(500))
    check, local = denied(machine, query)
    assert check == TradesQuery("BTCUSDT", 5, 6, BEGIN + 40, BEGIN + 41)
    assert machine.due_in(at(600, local)) is None
    begin = local
    while error is not None and local < begin + 30_000:  # a query that fails decides nothing for `repair_ms`
        assert machine.on_answer(check, error, at(600, local)) == []
        wait = machine.due_in(at(600, local))
        assert wait
        local += wait
        assert machine.on_timer(at(600, local)) == [check]
    out = machine.on_answer(check, error or [trade(5, 40), trade(6, 41)], at(600, local))
    assert (incidents(out), ids(out)) == ([("gap", 2, 4)], [5, 6])


@pytest.mark.parametrize("first", [5, 500, 900_000])
@pytest.mark.parametrize("number", [1, 2, 5])
def test_trades_that_the_venue_denies_make_no_hole_however_many_agree(first: int, number: int) -> None:
    #   1 │ some from `first` on arrive, and REST knows neither them nor anything before them; then 2, 3 come
    machine = begun_repairing()
    wrong = [trade(first + place, 40 + place) for place in range(number)]
    machine.on_events(wrong, at(300))
    [query] = machine.on_timer(at(500))
    assert isinstance(query, TradesQuery)
    check, local = (query, 0) if query.first_id == first else denied(machine, query)
    out = machine.on_answer(check, [], at(600, local))
    assert [item.payload for item in out if isinstance(item, Rejected)] == [json.encode(one) for one in wrong]
    was_asked = query.first_id < first  # else what stands in their place is not known yet
    assert (ids(out), machine.is_stopped) == ([], not was_asked)
    assert ids(machine.on_events([trade(2, 700), trade(3, 701)], at(701, local))) == [2, 3]
    assert not machine.is_stopped


def test_ids_that_go_on_elsewhere_are_another_sequence_when_the_venue_says_so() -> None:
    machine = begun_repairing()
    far = [trade(2**53 + number, 10 + number) for number in range(4)]
    [query] = machine.on_events(far[:2], at(20))
    assert query == TradesQuery("BTCUSDT", 2**53, 2**53 + 1, BEGIN + 10, BEGIN + 11)
    assert machine.on_events(far[2:3], at(21)) == []
    out = machine.on_answer(query, far[:2], at(30))
    assert [item.cause for item in out if isinstance(item, Incident)] == [f"the venue's ids went on from 2 at {2**53}"]
    assert ids([*out, *machine.on_timer(at(300)), *machine.on_events(far[3:], at(300))]) == [t.id for t in far]


@pytest.mark.parametrize("answer", [[], [trade(2**53, 10, price=55.0)]])
def test_ids_that_go_on_elsewhere_are_refused_when_the_venue_does_not_know_them(answer: list[Trade]) -> None:
    #   1 │ two far ones that continue each other, 2, a third far one; REST knows none of them; then 3 comes
    machine = begun_repairing()
    far = [trade(2**53 + number, 10 + number) for number in range(3)]
    [query] = machine.on_events(far[:2], at(20))
    assert ids(machine.on_events([trade(2, 21)], at(21))) == [2]
    machine.on_events(far[2:], at(22))
    machine.on_answer(query, answer, at(30))
    out = machine.on_events([trade(3, 31)], at(31))
    assert (ids(out), machine.is_stopped) == ([3], False)


def test_ids_that_the_time_does_not_explain_wait_for_another_and_are_refused_when_the_old_ones_go_on() -> None:
    machine = begun_repairing()
    assert machine.on_events([trade(2**53, 10)], at(10)) == []
    assert machine.is_stopped
    out = machine.on_events([trade(2, 20)], at(20))
    assert ids(out) == [2]
    assert [item.reason for item in out if isinstance(item, Rejected)] == [chain.NOT_CONTINUED]
    assert not machine.is_stopped


@pytest.mark.parametrize("missing", [1, 2, 5])
@pytest.mark.parametrize("step_ms", [50, 3_000])
def test_after_a_wrong_time_that_was_believed_all_trades_are_found_by_their_times(missing: int, step_ms: int) -> None:
    machine = begun_repairing()
    true = {number: trade(number, number * step_ms) for number in range(2, 40)}
    given = ids(machine.on_events([true[2], true[3]], at(3 * step_ms)))
    wrong = structs.replace(true[4], time=BEGIN + DAY_MS, event_time=BEGIN + DAY_MS)
    given += ids(machine.on_events([wrong], at(4 * step_ms)))
    assert given == [2, 3, 4]
    queries, out = 0, []
    for number in range(5 + missing, 40):
        local = number * step_ms
        waiting = [*machine.on_events([true[number]], at(local, local)), *machine.on_timer(at(local + 1, local + 1))]
        while waiting:
            item = waiting.pop(0)
            if not isinstance(item, TradesQuery):
                out.append(item)
                continue
            queries += 1
            # a venue that finds ids by time, not by themselves
            answer = [one for one in true.values() if item.first_id <= one.id <= item.last_id]
            answer = [one for one in answer if one.time >= item.begin - 5_000]
            waiting += machine.on_answer(item, answer, at(local + 1, local + 1))
    handed_on = given + [t.id for o in out if isinstance(o, TradeBatch) and not o.replaced for t in o.trades]
    assert handed_on == list(range(2, 40))
    assert [o.trades for o in out if isinstance(o, TradeBatch) and o.replaced] == [[true[4]]]
    assert [o for o in out if isinstance(o, Gap) and o.first_id != 4] == []
    assert queries < 8, "what follows is believed again"


def test_two_trades_under_one_id_are_both_refused_and_the_venue_says_which_is_true() -> None:
    machine = begun_repairing()
    machine.on_events([trade(3, 20, price=55.0)], at(20))
    out = machine.on_events([trade(3, 21), trade(4, 22)], at(22))
    assert [item.reason for item in out if isinstance(item, Rejected)] == [
        "two trades of one id say different things"
    ] * 2
    [query] = [item for item in machine.on_timer(at(300)) if isinstance(item, TradesQuery)]
    assert (query.first_id, query.last_id) == (2, 3)
    assert machine.on_answer(query, [trade(2, 10), trade(3, 21)], at(301))[0] == TradeBatch(
        "binance", "BTCUSDT", [trade(2, 10), trade(3, 21), trade(4, 22)], begin=BEGIN + 10, end=BEGIN + 22
    )


def test_an_answer_that_was_not_asked_for_is_refused() -> None:
    machine = begun_repairing()
    query = holed(machine)
    out = machine.on_answer(query, [trade(2, 10), trade(77, 20), trade(3, -90_000_000)], at(600))
    assert ids(out) == [2]
    assert [item.reason for item in out if isinstance(item, Rejected)] == [
        "a trade that was not asked for",
        "a trade that was not made when it was asked for",
    ]


def kline_of(last_id: int, time: int) -> Kline:
    return kline_of_ones(event_time=BEGIN + time, last_id=last_id, is_closed=False)


def test_a_hole_is_found_although_no_trade_comes_for_klines_name_the_newest_one() -> None:
    machine = begun_repairing()
    for step in range(3):
        machine.on_events([kline_of(4, step * 1_000)], at(step * 1_000, step * 1_000))
    assert machine.is_stopped  # so time closes nothing
    [query] = machine.on_timer(at(2_000, STRAGGLER_MS))
    assert query == TradesQuery("BTCUSDT", 2, 4, BEGIN, BEGIN + 2_000)
    out = machine.on_answer(query, [trade(2, 10), trade(3, 20), trade(4, 30)], at(2_100, 2_100))
    assert ids(out) == [2, 3, 4]
    assert [item.kinds for item in out if isinstance(item, RenewQuery)] == [("trade",)]
    assert [item.kind for item in out if isinstance(item, Incident)] == ["silent"]
    assert [item.is_ahead for item in out if isinstance(item, TradeWitness)] == [True]
    assert not machine.is_stopped
    out = machine.on_events([trade(5, 2_200)], at(2_300, 2_300))
    assert ids(out) == [5]
    assert [(item.is_ahead, item.has_spoken) for item in out if isinstance(item, TradeWitness)] == [(False, True)]
    assert [item.kind for item in out if isinstance(item, Incident)] == ["repair"]


def dead_stream(machine: WatchedSequencer, *, begin: int, end: int) -> list[Any]:
    """What a machine gives while klines name a new trade each second, which REST knows and the stream does not bring;
    the ids of the trades are their seconds.
    """
    out: list[Any] = []
    for local in range(begin, end, 500):
        now = at(local, local)
        asked = machine.on_events([kline_of(local // 1_000, local)], now) + machine.on_timer(now)
        for item in asked:
            if isinstance(item, TradesQuery):
                told = range(item.first_id, local // 1_000 + 1)
                asked = asked + machine.on_answer(item, [trade(n, n * 1_000) for n in told], now)
        out += asked
    return out


def test_a_stream_that_is_dead_while_trades_are_made_is_silent_all_the_time() -> None:
    machine = begun_repairing()
    out = dead_stream(machine, begin=2_000, end=22_000)
    assert ids(out)[-1] >= 18
    assert [item.kind for item in out if isinstance(item, Incident)] == ["silent"]
    said = [item for item in out if isinstance(item, TradeWitness)]
    assert all(item.is_ahead for item in said)
    assert len(said) <= 3
    assert "none comes by trade; they are fetched over REST, up to " in said[-1].reason
    assert 2 <= len([item for item in out if isinstance(item, RenewQuery)]) <= 3
    last = ids(out)[-1]
    out = machine.on_events([trade(n, n * 1_000) for n in range(last + 1, 23)], at(22_000, 22_000))
    assert [(item.is_ahead, item.has_spoken) for item in out if isinstance(item, TradeWitness)] == [(False, True)]
    assert [item.kind for item in out if isinstance(item, Incident)] == ["repair"]


def test_a_dead_stream_is_quiet_when_no_more_trades_are_made() -> None:
    machine = begun_repairing()
    last = ids(dead_stream(machine, begin=2_000, end=22_000))[-1]
    out = machine.on_events([kline_of(last, 30_000)], at(30_000, 30_000))
    assert not [item for item in out if isinstance(item, TradeWitness)]
    out = machine.on_events([kline_of(last, 90_000)], at(90_000, 90_000))
    assert [(item.is_ahead, item.has_spoken) for item in out if isinstance(item, TradeWitness)] == [(False, False)]


@pytest.mark.parametrize("is_refused_before", [True, False])
def test_a_stream_of_which_everything_is_refused_is_not_believed(is_refused_before: bool) -> None:
    machine = begun_repairing()
    out: list[Any] = []
    for local in range(1_000, 28_000, 250):
        number = local // 250
        odd = structs.replace(trade(number, local), event_time=BEGIN + local - 86_400_000)
        said = TradesRefused("its event time is wrong") if is_refused_before else [odd]
        out += machine.on_events(said, at(local, local))
        for item in machine.on_timer(at(local, local)):
            if isinstance(item, TradesQuery):
                true = [trade(n, n * 250) for n in range(item.first_id, number)]
                out += machine.on_answer(item, true, at(local, local))
    witnesses = [item for item in out if isinstance(item, TradeWitness)]
    assert witnesses
    assert all(item.is_ahead for item in witnesses)
    why = (
        "its event time is wrong"
        if is_refused_before
        else "a trade made 86400000 ms after all that were sent behind it"
    )
    assert witnesses[-1].reason.startswith(
        f"everything that trade brings is refused: {why}; they are fetched over REST, up"
    )
    assert [item.kind for item in out if isinstance(item, Incident) and item.kind != "reject"] == ["silent"]
    assert not [item for item in out if isinstance(item, RenewQuery)]
    following = ids(out)[-1] + 1
    out = machine.on_events([trade(following, 28_000)], at(28_000, 28_000))
    assert [(item.is_ahead, item.has_spoken) for item in out if isinstance(item, TradeWitness)] == [(False, True)]


@pytest.mark.parametrize("last_id", [2**53, 10**12])
def test_one_message_names_no_hole(last_id: int) -> None:
    machine = begun_repairing()
    machine.on_events([kline_of(last_id, 1_000)], at(1_000, 1_000))
    machine.on_events([kline_of(1, 2_000)], at(2_000, 2_000))
    assert not machine.is_stopped
    assert machine.on_timer(at(9_000, 9_000)) == []


def test_a_silent_stream_asks_the_venue_and_says_that_nothing_is_missing_when_that_knows_nothing_later() -> None:
    machine = begun_repairing()
    machine.on_events(Silent("market", ("BTCUSDT",), ("trade",), 60_000), at(60_000, 60_000))
    [query] = machine.on_timer(at(60_000, 60_000))
    assert query.first_id == 2
    out = machine.on_answer(query, [], at(60_100, 60_100))
    assert [item.is_ahead for item in out] == [False]


MADE = {2: trade(2, 59_000), 3: trade(3, 59_900), 4: trade(4, 60_500)}


def suspected() -> Any:
    """One whose stream was silent while REST knew the trades 2 and 3, which were handed on."""
    machine = begun_repairing()
    machine.on_events(Silent("market", ("BTCUSDT",), ("trade",), 60_000), at(60_000, 60_000))
    [query] = machine.on_timer(at(60_000, 60_000))
    out = machine.on_answer(query, [MADE[2], MADE[3]], at(60_100, 60_100))
    assert ids(out) == [2, 3]
    assert not [item for item in out if isinstance(item, Incident | TradeWitness | RenewQuery)]
    assert machine.due_in(at(60_100, 60_100)) == STRAGGLER_MS
    return machine


@pytest.mark.parametrize("numbers", [[2, 3], [3], [4], [2, 3, 4]])
def test_trades_that_rest_knew_before_their_stream_brought_them_are_no_incident(numbers: list[int]) -> None:
    machine = suspected()
    out = machine.on_events([MADE[number] for number in numbers], at(61_000, 61_000))
    out += machine.on_timer(at(62_100, 62_100))
    assert not [item for item in out if isinstance(item, Incident | TradeWitness | RenewQuery | TradesQuery)]
    assert machine.due_in(at(62_100, 62_100)) is None


@pytest.mark.parametrize("later", [[], [4]])
def test_trades_that_rest_knew_and_the_stream_does_not_bring_are_one_incident(later: list[int]) -> None:
    machine = suspected()
    now = at(60_100 + STRAGGLER_MS, 60_100 + STRAGGLER_MS)
    [query] = machine.on_timer(now)
    assert query.first_id == 4
    out = machine.on_answer(query, [MADE[number] for number in later], now)
    assert ids(out) == later
    [incident] = [item for item in out if isinstance(item, Incident)]
    assert (incident.kind, incident.cause) == ("silent", "trades from id 2 on were made, and did not come by trade")
    assert [item.is_ahead for item in out if isinstance(item, TradeWitness)] == [True]
    assert [item for item in out if isinstance(item, RenewQuery)]


@pytest.mark.parametrize(("stream", "due_in_ms"), [("btcusdt@trade", None), ("btcusdt@depth@100ms", 0)])
def test_a_confirmed_subscription_to_trades_ends_the_question_after_a_silent_stream(
    stream: str, due_in_ms: int | None
) -> None:
    machine = begun_repairing()
    machine.on_events(Silent("market", ("BTCUSDT",), ("trade",), 60_000), at(60_000, 60_000))
    machine.on_events(Subscribed("market", ("BTCUSDT",), (stream,)), at(60_000, 60_000))
    assert machine.due_in(at(60_000, 60_000)) == due_in_ms


def test_what_fills_of_aggregates_contradict_is_refused_and_the_venue_is_asked() -> None:
    machine: Any = WatchedSequencer(
        "binance:BTCUSDT", reorder_ms=200, repair_ms=30_000, rules=VenueRules(fills_follow=True)
    )
    [query] = machine.on_events([AGGREGATES[0]], at(0))
    machine.on_answer(query, None, at(0))
    machine.on_timer(at(200))
    odd = structs.replace(AGGREGATES[1], first_id=1, last_id=1)
    out = machine.on_events([odd, AGGREGATES[2]], at(30))
    assert ["begins with fill 1 where 103" in item.reason for item in out if isinstance(item, Rejected)] == [True]
    [question] = [item for item in machine.on_timer(at(500)) if isinstance(item, TradesQuery)]
    assert (question.first_id, question.last_id) == (2, 2)
    assert ids(machine.on_answer(question, [AGGREGATES[1]], at(501))) == [2, 3]


def test_a_wrong_trade_that_was_handed_on_is_replaced_when_the_true_one_of_its_id_comes() -> None:
    machine = begun_repairing()
    wrong = structs.replace(trade(2, 10), price=99.0)
    assert ids(machine.on_events([wrong], at(20))) == [2]
    out = machine.on_events([trade(2, 10), trade(3, 11)], at(30))
    assert ids(out) == [3]
    assert [json.decode(item.payload)["price"] for item in out if isinstance(item, Rejected)] == [trade(2, 10).price]
    assert machine.due_in(at(30)) == 0
    [query] = machine.on_timer(at(30))
    assert (query.first_id, query.last_id) == (2, 2)
    machine.on_answer(query, QueryError("it does not answer"), at(31))
    [query] = machine.on_timer(at(31, RETRY_MS + 100))
    out = machine.on_answer(query, [trade(2, 10)], at(32))
    [batch] = [item for item in out if isinstance(item, TradeBatch)]
    assert (batch.trades, batch.replaced, batch.late) == ([trade(2, 10)], (wrong,), True)
    assert [(gap.first_id, gap.last_id) for gap in out if isinstance(gap, Gap)] == [(2, 2)]
    assert [json.decode(item.payload)["price"] for item in out if isinstance(item, Rejected)] == [99.0]
    assert machine.on_events([trade(2, 10)], at(33)) == []
    assert [type(item) for item in machine.on_timer(at(33, LATER_MS))] == [Incident]
    assert machine.due_in(at(33, LATER_MS)) is None


class VenueFill(Trade, frozen=True, gc=False):
    """As a venue's parser gives it."""


def test_a_wrong_trade_of_the_stream_is_replaced_also_when_those_of_rest_are_of_another_type() -> None:
    machine = begun_repairing()
    true = VenueFill(*structs.astuple(trade(2, 10)))
    wrong = structs.replace(true, price=99.0)
    machine.on_events([wrong], at(20))
    machine.on_events([true, trade(3, 11)], at(30))
    [query] = machine.on_timer(at(30))
    out = machine.on_answer(query, [trade(2, 10)], at(32))
    assert [(item.trades, item.replaced) for item in out if isinstance(item, TradeBatch)] == [
        ([trade(2, 10)], (wrong,)),
    ]  # fmt: skip


def test_a_wrong_duplicate_of_a_trade_replaces_nothing() -> None:
    machine = begun_repairing()
    machine.on_events([trade(2, 10)], at(20))
    machine.on_events([structs.replace(trade(2, 10), price=99.0)], at(30))
    [query] = machine.on_timer(at(30))
    assert [
        item for item in machine.on_answer(query, [trade(2, 10)], at(31)) if isinstance(item, TradeBatch | Gap)
    ] == []
    assert [item for item in machine.on_timer(at(31, LATER_MS)) if isinstance(item, TradesQuery)] == []


AGGREGATES = [
    AggregateTrade(
        symbol="BTCUSDT", id=number, time=BEGIN + 10 * number, price=1.0, quantity=1.0, buyer_is_maker=False,
        event_time=BEGIN + 10 * number, first_id=97 + 3 * number, last_id=99 + 3 * number,
    )
    for number in (1, 2, 3)
]  # fmt: skip


def test_what_the_venue_has_is_taken_and_the_rest_is_a_gap() -> None:
    machine = begun_repairing(repair_ms=1)
    query = holed(machine)
    out = machine.on_answer(query, [trade(2, 10), trade(4, 30)], at(600, 0))
    assert ids(out) == [2]
    out = machine.on_timer(at(900, 1))
    assert (incidents(out), ids(out)) == ([("gap", 3, 3)], [4, 5])


def test_without_recovered_state_the_store_says_where_to_go_on() -> None:
    machine = repairing()
    [query] = machine.on_events([trade(5, 40), trade(6, 50)], at(50))
    assert machine.on_timer(at(500)) == []  # nothing goes before the store has answered
    [missing] = machine.on_answer(query, (2, BEGIN - 1_000), at(500))
    assert missing == TradesQuery("BTCUSDT", 3, 4, BEGIN - 1_000, BEGIN + 40)
    assert ids(machine.on_answer(missing, [trade(3, 0), trade(4, 10)], at(700))) == [3, 4, 5, 6]


def test_what_is_stored_already_is_a_duplicate() -> None:
    machine = repairing()
    [query] = machine.on_events([trade(5, 40), trade(6, 50)], at(50))
    assert ids(machine.on_answer(query, (5, BEGIN + 40), at(60))) == [6]
    assert machine.duplicates == 1


def test_after_a_restart_the_first_live_trade_shows_what_is_missing() -> None:
    machine = begun_repairing()
    holed(machine)
    again = repairing(state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.on_events([trade(9, 90)], at(1_000)) == []
    assert again.on_timer(at(1_200)) == [
        TradesQuery("BTCUSDT", 2, 8, BEGIN, BEGIN + 90),
        StoreCheckQuery("BTCUSDT", 1, counts_fills=True),
    ]


def test_a_gap_survives_a_restart_and_is_asked_for_at_once() -> None:
    machine = begun_repairing(repair_ms=1)
    holed(machine)
    machine.on_timer(at(600, 1))
    again = repairing(state=pickle.loads(pickle.dumps(machine.snapshot())))
    [check, probe] = again.on_timer(at(600, 1))
    assert (check, probe) == (
        StoreCheckQuery("BTCUSDT", 5, counts_fills=True),
        MissedTradesQuery("BTCUSDT", 6, 10_005, BEGIN + 40, BEGIN + 600),
    )
    assert again.on_answer(check, None, at(600, 1)) == []
    assert again.on_answer(probe, [], at(600, 1)) == [TradesQuery("BTCUSDT", 2, 4, BEGIN, BEGIN + 40)]


def aggregate(first: int, last: int, time: int) -> AggregateTrade:
    """One that stands for single fills."""
    return AggregateTrade(
        symbol="BTCUSDT", id=first, time=BEGIN + time, price=1.0, quantity=1.0, buyer_is_maker=False,
        event_time=BEGIN + time, first_id=first, last_id=last,
    )  # fmt: skip


def test_single_fills_can_be_repaired_by_the_aggregates_that_cover_them() -> None:
    machine = begun_repairing()
    query = holed(machine)
    out = machine.on_answer(query, [aggregate(2, 3, 10), aggregate(4, 4, 20)], at(600))
    batches = [item.trades for item in out if isinstance(item, TradeBatch)]
    assert batches == [[aggregate(2, 3, 10), aggregate(4, 4, 20)], [trade(5, 40)]]


def test_an_aggregate_that_covers_held_fills_makes_no_gap() -> None:
    machine = begun_repairing()
    query = holed(machine)
    machine.on_events([trade(6, 45), trade(9, 50)], at(510))
    out = machine.on_answer(query, [aggregate(2, 6, 10)], at(600))
    assert [(item.trades[0].id, item.trades[-1].id) for item in out if isinstance(item, TradeBatch)] == [(2, 2)]
    [query] = [item for item in [*out, *machine.on_timer(at(900))] if isinstance(item, TradesQuery)]
    assert (query.first_id, query.last_id) == (7, 8)


@given(st.data())
def test_whatever_is_cut_out_the_repaired_trades_are_the_same(data: st.DataObject) -> None:
    trades: list[Trade] = data.draw(trade_runs(max_step_ms=50))
    arrivals = [t for t in trades if t.id == 1 or data.draw(st.booleans())]
    machine = repairing()
    out: list[Any] = []
    feed = 0
    for run in data.draw(cut(arrivals)):
        out += answered(machine, machine.on_events(run, at(feed)), trades, at(feed))
        feed += data.draw(st.integers(0, 400))
        out += answered(machine, machine.on_timer(at(feed)), trades, at(feed))
    for _ in trades:
        feed += 200
        out += answered(machine, machine.on_timer(at(feed)), trades, at(feed))
    seen = [t for item in out if isinstance(item, TradeBatch) for t in item.trades]
    assert seen == trades[: arrivals[-1].id]
    assert {kind for kind, _, _ in incidents(out)} <= {"repair"}


@given(st.data())
def test_any_cut_duplication_and_permutation_within_the_bound_gives_the_same_trades(data: st.DataObject) -> None:
    trades: list[Trade] = data.draw(trade_runs(max_step_ms=50))
    repeated = data.draw(st.lists(st.sampled_from(trades), max_size=20))
    arrivals = data.draw(st.permutations([*trades, *repeated]))
    machine = sequencer()
    out: list[Any] = []
    for batch in data.draw(cut(arrivals)):
        out += machine.on_events(batch, at(0))  # within the bound: no time passes for a hole
    out += machine.on_timer(at(200))
    assert [t for item in out for t in item.trades] == trades
    assert machine.duplicates == len(repeated)


def test_trades_refused_before_it_leave_the_end_open_until_the_next_one_or_the_venue_tells() -> None:
    machine = begun_repairing()
    assert machine.on_events(TradesRefused(), at(300, 300)) == []
    assert machine.is_stopped
    assert machine.due_in(at(300, 300)) == STRAGGLER_MS
    assert ids(machine.on_events([trade(2, 400)], at(400, 400))) == [2]
    assert not machine.is_stopped
    machine.on_events(TradesRefused(), at(500, 500))
    [query] = machine.on_timer(at(500 + STRAGGLER_MS, 500 + STRAGGLER_MS))
    assert isinstance(query, TradesQuery)
    assert ids(machine.on_answer(query, [trade(3, 450)], at(3_000))) == [3]
    assert not machine.is_stopped


def test_a_trade_that_was_overtaken_is_not_handed_on_by_the_end_of_the_input() -> None:
    machine = begun_repairing()
    machine.on_events([trade(31_339, 1_000)], at(1_000))  # its true id is 2
    out = machine.on_events([trade(number, 1_000 + number) for number in range(3, 900)], at(2_000))
    out += machine.on_events([trade(31_340, 1_890)], at(2_000))
    assert ids(out) == []
    out = machine.on_answer(TradesQuery("BTCUSDT", 2, 2, BEGIN, BEGIN + 2_000), [trade(2, 1_000)], at(2_000))
    assert ids(out) == list(range(2, 900))
    assert ids(machine.on_end(at(2_100))) == []


@pytest.mark.parametrize("answers", [True, False])
def test_the_last_end_queries_what_is_missing_and_then_hands_on_all(answers: bool) -> None:
    machine = repairing(is_last=lambda: True)
    begin = LastTradeQuery("BTCUSDT", 2, BEGIN + 1_000)
    assert machine.on_events([trade(2, 1_000), trade(5, 1_300)], at(1_500))[-1] == begin
    machine.on_answer(begin, None, at(1_500))
    end = machine.on_end(at(1_500))
    query = TradesQuery("BTCUSDT", 3, 4, BEGIN + 1_000, BEGIN + 1_300)
    assert (ids(end), query in end) == ([2], True), "the first trades wait for no straggler"
    told = [trade(3, 1_100), trade(4, 1_200)] if answers else QueryError("away")
    out = [*machine.on_answer(query, told, at(1_500)), *machine.on_end(at(1_500))]
    assert ids(out) == ([3, 4, 5] if answers else [5])
    gaps = [(one.first_id, one.last_id) for one in out if isinstance(one, Gap)]
    assert gaps == ([] if answers else [(3, 4)])


def test_where_missing_trades_are_queried_the_end_leaves_what_is_behind_a_gap_to_the_next_process() -> None:
    machine = begun_repairing()
    out = machine.on_events([trade(2, 1_000), trade(5, 1_300), trade(6, 1_400)], at(1_500))
    assert ids(out) == [2]
    end = machine.on_end(at(1_600))
    assert (ids(end), [one for one in end if isinstance(one, Gap | Incident)]) == ([], [])
    again = repairing(state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.on_events([trade(7, 1_800)], at(1_800)) == []
    assert TradesQuery("BTCUSDT", 3, 6, BEGIN + 1_000, BEGIN + 1_800) in again.on_timer(at(2_100, 600))
