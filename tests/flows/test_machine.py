import threading
from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest
from bytewax import operators as op
from bytewax.dataflow import Dataflow
from bytewax.operators import StatefulBatchLogic
from bytewax.testing import TestingSink, TestingSource, cluster_main, run_main

from flows.clock import GRAIN_MS, FeedClock, Now, Reading, monotonic_ms, timers_of_thread
from flows.machine import (
    ANSWER_POLL_MS,
    HEARTBEAT_MS,
    AwaitedQueries,
    MachineLogic,
    keeper,
    machine,
    refuse_queries,
    with_reading,
)
from flows.model import Removed
from flows.operators.state_version import StateKeyError
from flows.queries import Query, QueryError
from tests.fakes.trades import BEGIN, trade


class Echo:
    """Gives what it gets; has one timer, at a time of the feed."""

    def __init__(self, key: str, state: Any, *, due_at: int | None = None) -> None:
        self.key = key
        self.seen = list(state or [])
        self.due_at = due_at

    def on_events(self, events: Any, now: Now) -> list[Any]:
        self.seen.append(events)
        return [events]

    def on_timer(self, now: Now) -> list[Any]:
        self.due_at = None
        return ["timer"]

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        return [(query.symbol, answer)]

    def on_end(self, now: Now) -> list[Any]:
        return ["end"]

    def due_in(self, now: Now) -> int | None:
        return None if self.due_at is None else max(0, self.due_at - now.feed)

    def snapshot(self) -> list[Any]:
        return list(self.seen)


class Asking(Echo):
    """Asks for whatever it gets."""

    def on_events(self, events: Any, now: Now) -> list[Any]:
        return [Query(events), "given"]


UNKNOWN: Reading = 0, 0


def take(logic: MachineLogic[Any, Any], *items: Any) -> tuple[Sequence[Any], bool]:
    """As the engine hands on what comes from the process of the logic."""
    return logic.on_batch([("k", item, UNKNOWN) for item in items])


def clock_at(local: list[int], feed: int = BEGIN) -> FeedClock:
    clock = FeedClock(lambda: local[0])
    clock.observe(feed)
    return clock


def test_everything_of_a_key_goes_to_its_machine_and_the_end_too() -> None:
    out: list[Any] = []
    flow = Dataflow("test")
    up = op.input("in", flow, TestingSource([("a", [1]), ("b", [2]), ("a", [3])], batch_size=10))
    keyed: Any = op.flat_map_batch("as_news", up, lambda items: [(key, str(value)) for key, value in items])
    op.output("out", machine("machine", keyed, Echo, clock_at([0])), TestingSink(out))
    run_main(flow)
    assert sorted(out) == [("a", "[1]"), ("a", "[3]"), ("a", "end"), ("b", "[2]"), ("b", "end")]


def test_a_timer_that_is_due_goes_after_what_has_arrived() -> None:
    local = [0]
    logic = MachineLogic(None, lambda key, state: Echo(key, state, due_at=BEGIN + 50), clock=clock_at(local))
    take(logic, "first")
    logic.notify_at()
    local[0] = 60
    assert take(logic, "second") == (["second", "timer"], StatefulBatchLogic.RETAIN)


def test_timers_are_never_far_away() -> None:
    local = [0]
    logic = MachineLogic(None, lambda key, state: Echo(key, state, due_at=BEGIN + 10**9), clock=clock_at(local))
    take(logic, "x")
    far = logic.notify_at()
    near = MachineLogic(None, lambda key, state: Echo(key, state, due_at=BEGIN + 10), clock=clock_at(local))
    take(near, "x")
    soon = near.notify_at()
    assert far is not None
    assert soon is not None
    assert 0 < (far - soon).total_seconds() * 1_000 <= HEARTBEAT_MS


def test_who_waits_on_the_thread_knows_the_timers_of_its_machines_until_they_end() -> None:
    timers, local = timers_of_thread(), [monotonic_ms()]
    before = dict(timers._machines)

    def due() -> dict[int, int]:
        return {grain: count for grain, count in timers._machines.items() if count != before.get(grain)}

    for ending in ("end", "removed"):
        soon = MachineLogic(None, partial(Echo, due_at=BEGIN + 70), clock=clock_at(local))
        take(soon, "a")
        soon.notify_at()
        assert due() == {(local[0] + 70) // GRAIN_MS + 1: 1}
        take(soon, "b")
        soon.notify_at()
        assert sum(due().values()) == 1, "once for each machine"
        if ending == "end":
            soon.on_eof()
        else:
            take(soon, GONE)
        assert due() == {}


def test_being_woken_for_nothing_does_nothing() -> None:
    logic = MachineLogic(None, lambda key, state: Echo(key, state, due_at=BEGIN + 50), clock=clock_at([0]))
    take(logic, "x")
    assert logic.on_notify() == ([], StatefulBatchLogic.RETAIN)


@pytest.mark.parametrize("newest", ["a ticker", [trade(1, 0)], [trade(1, 900)], []])
def test_in_another_process_than_the_source_the_time_comes_with_whatever_comes(newest: Any) -> None:
    local = [7]
    clock = FeedClock(lambda: local[0])
    logic = MachineLogic(None, lambda key, state: Echo(key, state, due_at=BEGIN + 400), clock=clock)
    logic.on_batch([("k", "older", (BEGIN, 1)), ("k", newest, (BEGIN + 300, 1))])
    assert clock.now().feed == BEGIN + 300
    local[0] += 100
    assert logic.on_notify()[0] == ["timer"]


def test_in_the_process_of_the_source_nothing_that_comes_moves_its_time() -> None:
    clock = clock_at([0])
    logic = MachineLogic(None, Echo, clock=clock)
    logic.on_batch([("k", [trade(1, 300)], (BEGIN + 60_000, 5))])
    assert clock.now().feed == BEGIN


def test_the_time_of_the_step_before_travels_with_its_items() -> None:
    """The engine hands items to a logic whose clock has observed nothing, as in a process without the source."""
    out: list[Any] = []
    flow = Dataflow("test")
    up: Any = op.input("in", flow, TestingSource([("a", "x"), ("b", "y")]))
    [here, there] = [FeedClock(lambda: 0), FeedClock(lambda: 90_000)]
    here.observe(BEGIN)
    keyed: Any = op.flat_map_batch("key", up, partial(with_reading, here))
    logic = partial(MachineLogic[Any, Any], build=Echo, clock=there)
    op.output("out", op.stateful_batch("machine", keyed, logic), TestingSink(out))
    run_main(flow)
    assert there.now() == (BEGIN, 90_000)
    assert there.reading() == (0, 1)  # it is no source of time for others


def test_an_ask_is_run_elsewhere_and_its_answer_comes_back_to_the_machine() -> None:
    asked: list[Any] = []
    logic = MachineLogic(
        None, Asking, clock=clock_at([0]), runner=lambda key, query, answer: asked.append((key, query, answer))
    )
    assert take(logic, "trades 7 to 9") == (["given"], StatefulBatchLogic.RETAIN)
    [(key, query, answer)] = asked
    assert (key, query) == ("k", Query("trades 7 to 9"))
    assert logic.notify_at() is not None  # it looks for the answer every few milliseconds
    answer(["t7", "t8", "t9"])
    assert logic.on_notify() == ([("trades 7 to 9", ["t7", "t8", "t9"])], StatefulBatchLogic.RETAIN)
    assert logic.notify_at() is None
    assert ANSWER_POLL_MS < HEARTBEAT_MS


def test_where_nobody_answers_an_ask_the_machine_hears_so() -> None:
    logic = MachineLogic[Any, Any](None, Asking, clock=clock_at([0]), runner=refuse_queries)
    take(logic, "x")
    [(what, error)] = list[Any](logic.on_notify()[0])
    assert what == "x"
    assert isinstance(error, QueryError)


def test_a_recovered_machine_has_its_key_and_state_and_its_timer_runs() -> None:
    local = [0]
    first = MachineLogic(None, Echo, clock=clock_at(local))
    take(first, "x")
    again = MachineLogic(first.snapshot(), lambda key, state: Echo(key, state, due_at=BEGIN + 5), clock=clock_at(local))
    assert again.snapshot() == ("k", ["x"])
    assert again.notify_at() is not None
    local[0] = 5
    assert again.on_notify()[0] == ["timer"]


def test_a_machine_is_not_resumed_under_another_key() -> None:
    first = MachineLogic(None, Echo, clock=clock_at([0]))
    take(first, "x")
    again = MachineLogic(first.snapshot(), Echo, clock=clock_at([0]))
    with pytest.raises(StateKeyError, match="for other is the state of k"):
        again.on_batch([("other", "y", UNKNOWN)])
    assert again.snapshot() == ("k", ["x"])
    assert take(again, "y")[0] == ["y"]


GONE = Removed("market", ("K",), ("aggTrade",), is_gone=True)


def test_a_machine_whose_streams_have_ended_hands_on_what_it_holds_and_is_forgotten() -> None:
    logic = MachineLogic(None, Echo, clock=clock_at([0]))
    take(logic, "first")
    assert take(logic, "last", GONE) == (["last", "end", GONE], StatefulBatchLogic.DISCARD)


def test_what_comes_behind_the_end_gets_a_new_machine() -> None:
    logic = MachineLogic(None, Echo, clock=clock_at([0]))
    out = take(logic, "old", GONE, "new")
    assert out == (["old", "end", GONE, "new"], StatefulBatchLogic.RETAIN)
    assert logic.snapshot() == ("k", ["new"])


def test_an_answer_to_a_machine_that_is_gone_reaches_nobody() -> None:
    asked: list[Any] = []
    logic = MachineLogic(None, Asking, clock=clock_at([0]), runner=lambda *question: asked.append(question))
    take(logic, "x")
    take(logic, GONE, "y")
    asked[0][2]("late")
    assert logic.on_notify()[0] == []
    asked[1][2]("in time")
    assert logic.on_notify()[0] == [("y", "in time")]


def test_the_end_of_a_key_that_has_no_machine_makes_none() -> None:
    logic = MachineLogic(None, Echo, clock=clock_at([0]))
    assert take(logic, GONE) == ([GONE], StatefulBatchLogic.DISCARD)


def test_the_engine_begins_anew_with_a_key_that_was_removed() -> None:
    out: list[Any] = []
    flow = Dataflow("test")
    values: list[Any] = [("a", "old"), ("a", GONE), ("a", "new")]
    up = op.input("in", flow, TestingSource(values, batch_size=1))
    built: list[Any] = []

    def build(key: str, state: Any) -> Echo:
        built.append(state)
        return Echo(key, state)

    op.output("out", machine("machine", up, build, clock_at([0])), TestingSink(out))
    run_main(flow)
    assert [value for _, value in out] == ["old", "end", GONE, "new", "end"]
    assert built == [None, None]


def test_one_keeper_takes_what_comes_at_every_worker() -> None:
    built: list[list[int]] = []

    def build() -> Any:
        taken: list[int] = []
        built.append(taken)

        def keep(items: list[int]) -> list[int]:
            taken.extend(items)
            return [len(taken)]

        return keep

    flow, out = Dataflow("kept"), list[int]()
    numbers = op.input("numbers", flow, TestingSource(range(8)))
    op.output("out", keeper("keeper", numbers, build, clock_at([0])), TestingSink(out))
    cluster_main(flow, [], 0, worker_count_per_proc=2)
    assert [sorted(taken) for taken in built] == [list(range(8))]
    assert max(out) == 8


class AskingAgain(Asking):
    """Asks once more because of the first answer, and once at the end."""

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        more = [Query("again")] if query.symbol == "first" else []
        return [*more, (query.symbol, answer)]

    def on_end(self, now: Now) -> list[Any]:
        if "last" in self.seen:
            return ["end"]
        self.seen.append("last")
        return [Query("last")]


@pytest.mark.parametrize("is_stopped", [False, True])
def test_what_is_open_at_the_end_of_an_input_is_answered_unless_it_was_stopped(is_stopped: bool) -> None:
    stop = threading.Event()
    runs: list[threading.Timer] = []

    def run(_: str, __: Query, answer: Any) -> None:
        runs.append(threading.Timer(0.1, answer, (len(runs) + 1,)))
        runs[-1].start()

    logic: MachineLogic[Any, Any] = MachineLogic(
        None, AskingAgain, clock=clock_at([0]), runner=AwaitedQueries(run, stop)
    )
    assert take(logic, "first")[0] == ["given"]
    if is_stopped:
        stop.set()
    assert logic.on_eof()[0] == ([] if is_stopped else [("first", 1), ("again", 2), ("last", 3), "end"])
    for timer in runs:
        timer.join()
