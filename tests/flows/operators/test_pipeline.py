from typing import Any

import pytest

from flows.clock import Now
from flows.operators.pipeline import Pipeline
from flows.queries import Query


class Doubling:
    """Gives a number and its double; at its time, what it was built with."""

    def __init__(self, due: int | None = None, at_time: tuple[Any, ...] = ()) -> None:
        self.due, self.at_time = due, at_time
        self.seen: list[Any] = []
        self.answered: list[Any] = []

    def on_events(self, events: Any, now: Now) -> list[Any]:
        self.seen.append(events)
        return [events, events * 2] if isinstance(events, int) else [events]

    def on_timer(self, now: Now) -> list[Any]:
        return list(self.at_time)

    def on_end(self, now: Now) -> list[Any]:
        return list(self.at_time)

    def on_answer(self, query: Query, answer: Any, now: Now) -> list[Any]:
        self.answered.append((query, answer))
        return [answer]

    def due_in(self, now: Now) -> int | None:
        return self.due

    def snapshot(self) -> list[Any]:
        return self.seen


NOW = Now(0, 0)


def test_each_machine_takes_what_the_one_before_gives_and_what_the_last_gives_comes_out() -> None:
    first, second = Doubling(), Doubling()
    assert Pipeline[Any, Any](first, second).on_events(3, NOW) == [3, 6, 6, 12]
    assert second.seen == [3, 6]


def test_what_no_machine_is_interested_in_passes_through_all() -> None:
    first, second = Doubling(), Doubling()
    assert Pipeline[Any, Any](first, second).on_events("event", NOW) == ["event"]
    assert second.seen == ["event"]


def test_the_nearest_deadline_is_the_pipelines_and_only_a_machine_that_is_due_is_called() -> None:
    first, second = Doubling(due=0, at_time=(1,)), Doubling(due=40, at_time=(99,))
    pipeline = Pipeline[Any, Any](first, second)
    assert pipeline.due_in(NOW) == 0
    assert pipeline.on_timer(NOW) == [1, 2]
    assert Pipeline[Any, Any](Doubling(), Doubling()).due_in(NOW) is None


def test_the_end_reaches_everyone_and_the_state_is_everyones() -> None:
    first, second = Doubling(at_time=(1,)), Doubling(at_time=(5,))
    pipeline = Pipeline[Any, Any](first, second)
    assert pipeline.on_end(NOW) == [1, 2, 5]
    assert pipeline.snapshot() == ([], [1])


@pytest.mark.parametrize("place", [0, 1, 2])
def test_queries_leave_at_once_and_their_answers_come_back_to_the_machine_that_made_them(place: int) -> None:
    query = Query("BTCUSDT")
    machines = [Doubling(at_time=(query,) if number == place else (), due=0) for number in range(3)]
    pipeline = Pipeline[Any, Any](*machines)
    assert pipeline.on_timer(NOW) == [query]
    assert pipeline.on_answer(query, 1, NOW) == {0: [1, 2, 2, 4], 1: [1, 2], 2: [1]}[place]
    assert [machine.answered for machine in machines] == [[(query, 1)] if n == place else [] for n in range(3)]
