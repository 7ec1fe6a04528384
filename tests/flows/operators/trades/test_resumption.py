import pickle
from typing import Any

import pytest
from msgspec.structs import replace

from flows.clock import Now
from flows.model import AggregateTrade, Incident, StoreOnlyTrades, Subscribed, TradeBatch, WholeFrom
from flows.operators.trades.resumption import MOST_TRIES, RETRY_MS
from flows.queries import Continued, LastTradeQuery, Query, QueryError, RefillQuery, TradesQuery
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

    [incident, batch] = machine.on_answer(probe, [aggregate(10, 60_000), aggregate(11, 70_000)], Now(0, 7))

    assert ids([batch]) == [10, 11]
    assert (incident.kind, incident.first_id, incident.last_id) == ("repair", 10, 11)
    assert machine.due_in(Now(0, 7)) == RETRY_MS, "it has reached the present"
    [again] = machine.on_timer(Now(0, 7 + RETRY_MS))
    assert (again.first_id, again.begin) == (12, BEGIN + 70_000)
    assert machine.on_answer(again, [], Now(0, 2_000)) == []
    assert machine.due_in(Now(0, 2_001)) is None


def test_where_more_was_missed_than_an_answer_holds_the_next_query_leaves_at_once() -> None:
    machine = restarted()
    [check, probe] = questions(machine, at(90_000))
    machine.on_answer(check, None, at(90_000))
    full = [aggregate(number, number) for number in range(probe.first_id, probe.last_id + 1)]
    [incident, batch, again] = machine.on_answer(probe, full, at(90_000))
    assert (len(batch.trades), incident.last_id) == (len(full), probe.last_id)
    assert (again.first_id, again.begin) == (probe.last_id + 1, BEGIN + probe.last_id)


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


class Venue:
    """A market of a trade each `EVERY_MS`, restarted into: its stream and its REST side are `delay_ms` late each."""

    EVERY_MS = 7

    def __init__(self, *, stream_ms: int, rest_ms: int, begins_at: int) -> None:
        self.machine = restarted()
        self.trades = [aggregate(10 + k, self.EVERY_MS * (k + 1)) for k in range(1_200)]
        self.queries: list[Any] = []
        self.incidents: list[Any] = []
        self.handed_on: list[int] = []
        self._stream_ms, self._rest_ms, self._begins_at = stream_ms, rest_ms, begins_at
        self._answers: list[tuple[int, Any]] = []

    def run(self, until: int, false: dict[int, AggregateTrade]) -> None:
        """Until a time, ms; `false` are further messages of the stream by the time at which they come."""
        for now in range(1, until):
            made = now - self._stream_ms
            come = [self.trades[made // self.EVERY_MS - 1]] if made > 0 and made % self.EVERY_MS == 0 else []
            come = come if made >= self._begins_at else []
            if come := [*come, *([false[now]] if now in false else [])]:
                self._settle(self.machine.on_events(come, at(now)), now)
            for due, query in [one for one in self._answers if one[0] <= now]:
                self._answers.remove((due, query))
                answer = self._known(query, now - self._rest_ms // 2) if isinstance(query, TradesQuery) else None
                self._settle(self.machine.on_answer(query, answer, at(now)), now)
            wait = self.machine.due_in(at(now))
            if wait is not None and wait <= 0:
                self._settle(self.machine.on_timer(at(now)), now)

    def _known(self, query: TradesQuery, until: int) -> list[AggregateTrade]:
        return [t for t in self.trades[query.first_id - 10 : query.last_id - 9] if t.time <= BEGIN + until]

    def _settle(self, out: list[Any], now: int) -> None:
        self.handed_on += ids([item for item in out if not getattr(item, "late", False)])
        self.incidents += [item for item in out if isinstance(item, Incident)]
        queries = [item for item in out if isinstance(item, Query)]
        self.queries += queries
        self._answers += [(now + self._rest_ms, query) for query in queries]


@pytest.mark.parametrize("begins_at", [0, 100, 2_500])
@pytest.mark.parametrize("rest_ms", [2, 200, 900])
@pytest.mark.parametrize("stream_ms", [3, 150, 1_500])
def test_on_a_busy_market_the_probe_ends_when_the_stream_has_joined(
    stream_ms: int, rest_ms: int, begins_at: int
) -> None:
    venue = Venue(stream_ms=stream_ms, rest_ms=rest_ms, begins_at=begins_at)
    venue.run(8_000, {})
    assert venue.handed_on == list(range(10, venue.handed_on[-1] + 1))
    assert len([query for query in venue.queries if isinstance(query, TradesQuery)]) <= 5
    received_at = begins_at + stream_ms
    for one in venue.incidents:
        if "while nothing was received" in one.cause:
            assert one.last_id <= 10 + received_at // Venue.EVERY_MS
    assert venue.machine.due_in(at(8_000)) is None


@pytest.mark.parametrize("stream_ms", [3, 1_500])
def test_soon_after_a_restart_a_false_trade_is_queried_as_ever(stream_ms: int) -> None:
    venue = Venue(stream_ms=stream_ms, rest_ms=300, begins_at=0)
    true = next(one for one in venue.trades if one.time >= BEGIN + 5_000)
    comes_at = true.time - BEGIN + stream_ms - 2
    venue.run(8_000, {comes_at: replace(true, price=1.5)})
    assert [q for q in venue.queries if isinstance(q, TradesQuery) and q.first_id == q.last_id == true.id]


@pytest.mark.parametrize("is_seen_first", [False, True])
def test_what_the_stream_brings_while_the_probe_is_open_was_not_missed(is_seen_first: bool) -> None:
    machine = restarted()
    [check, probe] = questions(machine, at(100))
    machine.on_answer(check, None, at(100))
    made = [aggregate(number, 100 + number) for number in range(10, 40)]
    if is_seen_first:
        machine.on_events(made[20:25], at(130))
    out = machine.on_answer(probe, made, at(140))
    [incident] = [item for item in out if isinstance(item, Incident)]
    assert (incident.first_id, incident.last_id) == (10, 29 if is_seen_first else 39)
    assert ids(out) == list(range(10, 40))
    if is_seen_first:
        assert machine.due_in(at(140)) is None
    else:
        machine.on_events(made[-1:], at(150))
        assert machine.due_in(at(150)) is None, "the stream says what REST has said: it has joined"


def test_what_was_missed_and_what_is_in_doubt_are_queried_in_turn() -> None:
    machine = repairing()
    [query] = machine.on_events([aggregate(9, 0)], at(0))
    machine.on_answer(query, None, at(0))
    machine.on_timer(at(300))
    state = machine.snapshot()._replace(gaps=[(2, 3, BEGIN - 10, BEGIN, False), (5, 6, BEGIN - 10, BEGIN, False)])
    machine = repairing(state=pickle.loads(pickle.dumps(state)))
    [_, query] = machine.on_timer(at(90_000))
    asked = [query.first_id]
    while len(asked) < 5:
        made = [aggregate(n, n) for n in range(query.first_id, query.last_id + 1)] if query.first_id > 9 else []
        [query] = [item for item in machine.on_answer(query, made, at(90_000)) if isinstance(item, TradesQuery)]
        asked.append(query.first_id)
    assert asked == [10, 2, 10_010, 5, 20_010]


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


SUBSCRIBED = Subscribed("market", ("BTCUSDT",), ("btcusdt@aggTrade",))


def taken_over() -> tuple[Any, Any]:
    """One whose symbol another process has followed up to 9, and its query about what was made since."""
    machine = repairing()
    [_, begin] = machine.on_events(SUBSCRIBED, at(60_000))
    assert begin == LastTradeQuery("BTCUSDT")
    [missed] = machine.on_answer(begin, Continued(9, BEGIN, BEGIN + 5), at(60_000))
    assert (missed.first_id, missed.begin, missed.end) == (10, BEGIN, BEGIN + 60_000)
    return machine, missed


def test_a_takeover_fetches_what_was_missed_although_no_trade_comes() -> None:
    machine, missed = taken_over()
    whole, incident, batch, again = machine.on_answer(missed, [aggregate(10, 10), aggregate(11, 20)], at(60_010))
    assert whole == WholeFrom(BEGIN + 5, 0, ())
    assert ids([batch]) == [10, 11]
    assert (incident.kind, incident.first_id, incident.last_id) == ("repair", 10, 11)
    assert (again.first_id, again.begin) == (12, BEGIN + 20), "the store has what the other process has handed on"
    assert machine.on_answer(again, [], at(60_020)) == []
    assert ids(machine.on_events([aggregate(12, 90_000)], at(90_000))) == [12]


def test_after_a_takeover_without_a_trade_meanwhile_the_first_one_begins() -> None:
    machine, missed = taken_over()
    assert machine.on_answer(missed, [], at(60_010)) == []
    [query] = machine.on_events([aggregate(12, 90_000)], at(90_000))
    assert query == LastTradeQuery("BTCUSDT", 12, BEGIN + 90_000)
    out = machine.on_answer(query, Continued(9, BEGIN, BEGIN + 5), at(90_000)) + machine.on_timer(at(90_300))
    assert [(one.first_id, one.last_id) for one in out if isinstance(one, TradesQuery)] == [(10, 11)]


def test_a_trade_that_comes_during_a_takeover_waits_for_those_before_it() -> None:
    machine, missed = taken_over()
    assert machine.on_events([aggregate(12, 60_005)], at(60_005)) == [WholeFrom(BEGIN + 5, 0, ())]
    out = machine.on_answer(missed, [aggregate(10, 10), aggregate(11, 20)], at(60_010))
    assert ids(out) == [10, 11, 12]


def test_the_first_trade_queries_the_store_without_waiting_for_what_another_process_has_handed_on() -> None:
    machine = repairing()
    [_, begin] = machine.on_events(SUBSCRIBED, at(0))
    [own] = machine.on_events([aggregate(12, 5)], at(5))
    assert own == LastTradeQuery("BTCUSDT", 12, BEGIN + 5)
    assert machine.on_answer(begin, None, at(6)) == []
