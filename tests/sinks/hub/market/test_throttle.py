import itertools

from hypothesis import given
from hypothesis import strategies as st

from sinks.hub.market.throttle import Conflator


def test_the_first_passes_and_the_newest_of_the_rest_has_its_turn() -> None:
    conflator: Conflator[str, int] = Conflator(10)
    assert conflator.submit("a", 1, 0)
    assert not conflator.submit("a", 2, 3)
    assert not conflator.submit("a", 3, 9)
    assert (conflator.held("a"), conflator.next_deadline_ms) == (3, 10)
    assert conflator.take_due(9) == []
    assert conflator.take_due(10) == [3]
    assert conflator.next_deadline_ms is None
    assert not conflator.submit("a", 4, 19)
    assert conflator.take_due(20) == [4]


def test_a_value_that_comes_when_its_key_is_free_takes_the_place_of_the_held_one() -> None:
    conflator: Conflator[str, int] = Conflator(10)
    assert conflator.submit("a", 1, 0)
    assert not conflator.submit("a", 2, 3)
    assert conflator.submit("a", 3, 10)
    assert (conflator.held("a"), conflator.next_deadline_ms, conflator.take_due(10)) == (None, None, [])
    assert not conflator.submit("a", 4, 12)
    assert (conflator.next_deadline_ms, conflator.take_due(19), conflator.take_due(20)) == (20, [], [4])


def test_what_was_dropped_has_no_turn() -> None:
    conflator: Conflator[str, int] = Conflator(10)
    conflator.submit("a", 1, 0)
    conflator.submit("a", 2, 1)
    conflator.drop("a")
    assert (conflator.next_deadline_ms, conflator.take_due(50)) == (None, [])


def test_the_end_lets_everything_out() -> None:
    conflator: Conflator[str, int] = Conflator(10)
    for key in ("a", "b"):
        conflator.submit(key, 1, 0)
        conflator.submit(key, 2, 1)
    assert conflator.take_all() == [2, 2]
    assert conflator.take_due(100) == []


@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab")), max_size=60))
def test_values_of_a_key_are_an_interval_apart_and_the_last_one_is_never_lost(steps: list[tuple[int, str]]) -> None:
    conflator: Conflator[str, int] = Conflator(10)
    passed: dict[str, list[tuple[float, int]]] = {"a": [], "b": []}
    keys: dict[int, str] = {}
    now = 0
    for number, (step, key) in enumerate(steps):
        for tick in range(now, now + step + 1):
            for value in conflator.take_due(tick):
                passed[keys[value]].append((tick, value))
        now += step
        keys[number] = key
        if conflator.submit(key, number, now):
            passed[key].append((now, number))
    for value in conflator.take_due(now + 100):
        passed[keys[value]].append((now + 100, value))
    for key, out in passed.items():
        times = [time for time, _ in out]
        assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))
        offered = [number for number, other in keys.items() if other == key]
        assert [value for _, value in out][-1:] == offered[-1:]


def test_what_is_forgotten_has_no_turn_and_begins_anew() -> None:
    conflator: Conflator[str, int] = Conflator(10)
    for key in ("a", "b"):
        assert conflator.submit(key, 1, 0)
        assert not conflator.submit(key, 2, 1)
    conflator.forget("a".__eq__)
    assert conflator.submit("a", 3, 2)
    assert (conflator.held("a"), conflator.held("b")) == (None, 2)
    assert not conflator.submit("a", 4, 3)
    assert conflator.take_due(10) == [2]
    assert conflator.take_due(12) == [4]
