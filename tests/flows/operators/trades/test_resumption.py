import pickle
from typing import Any

import pytest

from flows.clock import Now
from flows.model import AggregateTrade, StoreOnlyTrades, TradeBatch
from flows.operators.trades.resumption import MOST_TRIES
from flows.queries import LastTradeQuery, QueryError, RefillQuery
from tests.fakes.sequencing import WatchedSequencer
from tests.fakes.trades import BEGIN, at


def repairing(state: Any = None, *, repair_trades: int = 50_000) -> Any:
    return WatchedSequencer(
        "binance:BTCUSDT", reorder_ms=200, repair_ms=30_000, repair_trades=repair_trades, state=state
    )


def aggregate(number: int, time: int) -> AggregateTrade:
    return AggregateTrade(
        symbol="BTCUSDT", id=number, time=BEGIN + time, price=1.0, quantity=1.0, buyer_is_maker=False,
        event_time=BEGIN + time, first_id=number, last_id=number,
    )  # fmt: skip


def ids(out: list[Any]) -> list[int]:
    return [one.id for item in out if isinstance(item, TradeBatch) for one in item.trades]


def restarted(next_id: int = 10) -> Any:
    """One of aggregates that had handed on all up to `next_id`, before a restart."""
    machine = repairing()
    [query] = machine.on_events([aggregate(next_id - 1, 0)], at(0))
    machine.on_answer(query, None, at(0))
    assert ids(machine.on_timer(at(300))) == [next_id - 1]
    return repairing(state=pickle.loads(pickle.dumps(machine.snapshot())))


def questions(machine: WatchedSequencer, now: Now) -> list[Any]:
    """What a machine asks when it first wakes, as the bridge has it do."""
    assert machine.due_in(now) is not None
    assert machine.due_in(now) <= 0  # type: ignore[operator]
    return machine.on_timer(now)


def test_a_restart_asks_for_what_was_missed_although_no_trade_comes() -> None:
    machine = restarted()
    [check, probe] = questions(machine, Now(0, 5))  # no message has set the clock yet
    assert (check.last_id, probe.first_id, probe.last_id, probe.begin) == (9, 10, 10_009, BEGIN)
    assert machine.on_answer(check, None, Now(0, 6)) == []

    [incident, batch, again] = machine.on_answer(probe, [aggregate(10, 60_000), aggregate(11, 70_000)], Now(0, 7))

    assert ids([batch]) == [10, 11]
    assert (incident.kind, incident.first_id, incident.last_id) == ("repair", 10, 11)
    assert (again.first_id, again.begin) == (12, BEGIN + 70_000)
    assert machine.on_answer(again, [], Now(0, 8)) == []
    assert machine.due_in(Now(0, 9)) is None


def test_a_state_from_before_the_first_trade_was_handed_on_begins_as_a_new_one() -> None:
    machine = repairing()
    machine.on_events([aggregate(5, 0)], at(0))
    again = repairing(state=pickle.loads(pickle.dumps(machine.snapshot())))
    assert again.on_events([aggregate(9, 0)], at(0)) == [LastTradeQuery("BTCUSDT", 9, BEGIN)]


def test_a_probe_that_fails_is_made_again_later() -> None:
    machine = restarted()
    [check, probe] = questions(machine, Now(0, 0))
    machine.on_answer(check, None, Now(0, 0))
    assert machine.on_answer(probe, QueryError("no network"), Now(0, 0)) == []
    assert machine.due_in(Now(0, 400)) == 600
    assert machine.on_timer(Now(0, 1_000)) == [probe]


def test_a_store_that_cannot_be_read_is_looked_at_again_and_at_last_named() -> None:
    machine = restarted()
    [check, probe] = questions(machine, Now(0, 0))
    machine.on_answer(probe, [], Now(0, 0))
    now, out = 0, machine.on_answer(check, QueryError("in use"), Now(0, 0))
    delays = []
    while not out:
        due = machine.due_in(Now(0, now))
        assert due is not None
        delays.append(due)
        now += due
        assert machine.on_timer(Now(0, now)) == [check]
        out = machine.on_answer(check, QueryError("in use"), Now(0, now))
    [incident] = out
    assert (incident.kind, incident.last_id) == ("store_outage", 9)
    assert "in use" in incident.cause
    assert delays == sorted(set(delays))
    assert len(delays) == MOST_TRIES - 1
    assert machine.due_in(Now(0, now)) is None


def test_live_trades_after_a_restart_do_not_wait_for_what_it_asks() -> None:
    machine = restarted()
    assert ids(machine.on_events([aggregate(10, 10)], at(1_000))) == [10]


def test_what_the_store_has_lost_is_fetched_for_it_alone() -> None:
    machine = restarted(30_000)
    [check, probe] = questions(machine, at(1_000))
    machine.on_answer(probe, [], at(1_000))

    [named, first] = machine.on_answer(check, (4, BEGIN - 5_000), at(1_000))
    assert (named.kind, named.first_id, named.last_id) == ("store_outage", 5, 29_999)
    assert (first.first_id, first.last_id) == (5, 10_004)

    found = []
    query: Any = first
    while isinstance(query, RefillQuery):
        given = [aggregate(number, -1) for number in range(query.first_id, query.last_id + 1)]
        [kept, query] = machine.on_answer(query, given, at(1_000))
        assert isinstance(kept, StoreOnlyTrades)
        assert kept.batch.late
        found += kept.batch.trades
    assert [one.id for one in found] == list(range(5, 30_000))
    assert (query.kind, query.first_id, query.last_id) == ("repair", 5, 29_999)
    assert machine.due_in(at(1_000)) is None


@pytest.mark.parametrize(
    ("stored", "repair_trades", "first_id", "word"),
    [((-1, 0), 50_000, -1, "ids are not known"), ((2, BEGIN), 3, 3, "feed.repair_trades is 3")],
)
def test_what_cannot_be_fetched_for_the_store_is_named(
    stored: tuple[int, int], repair_trades: int, first_id: int, word: str
) -> None:
    machine = repairing(state=restarted().snapshot(), repair_trades=repair_trades)
    [check, _] = questions(machine, at(1_000))
    [incident] = machine.on_answer(check, stored, at(1_000))
    assert (incident.kind, incident.first_id, incident.last_id) == ("store_outage", first_id, 9)
    assert word in incident.outcome


def test_a_refill_that_fails_again_and_again_is_named_as_lost() -> None:
    machine = restarted()
    [check, probe] = questions(machine, at(1_000))
    machine.on_answer(probe, [], at(1_000))
    [_, query] = machine.on_answer(check, (4, BEGIN), at(1_000))
    now = at(1_000)
    for _ in range(4):
        assert machine.on_answer(query, QueryError("no network"), now) == []
        now = at(1_000, now.local + 60_000)
        assert machine.on_timer(now) == [query]
    [incident] = machine.on_answer(query, QueryError("no network"), now)
    assert (incident.kind, incident.first_id, incident.last_id) == ("store_outage", 5, 9)
    assert "not to be had: no network" in incident.outcome
