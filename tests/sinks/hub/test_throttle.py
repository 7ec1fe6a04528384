import itertools

from hypothesis import given
from hypothesis import strategies as st

from sinks.hub.throttle import Conflator


def test_the_first_passes_and_the_newest_of_the_rest_has_its_turn() -> None:
    pace: Conflator[str, int] = Conflator(10)
    assert pace.offer("a", 1, 0)
    assert not pace.offer("a", 2, 3)
    assert not pace.offer("a", 3, 9)
    assert (pace.held("a"), pace.next_turn_ms) == (3, 10)
    assert pace.take_due(9) == []
    assert pace.take_due(10) == [3]
    assert pace.next_turn_ms is None
    assert not pace.offer("a", 4, 19)
    assert pace.take_due(20) == [4]


def test_what_was_dropped_has_no_turn() -> None:
    pace: Conflator[str, int] = Conflator(10)
    pace.offer("a", 1, 0)
    pace.offer("a", 2, 1)
    pace.drop("a")
    assert (pace.next_turn_ms, pace.take_due(50)) == (None, [])


def test_the_end_lets_everything_out() -> None:
    pace: Conflator[str, int] = Conflator(10)
    for key in ("a", "b"):
        pace.offer(key, 1, 0)
        pace.offer(key, 2, 1)
    assert pace.take_all() == [2, 2]
    assert pace.take_due(100) == []


@given(st.lists(st.tuples(st.integers(0, 15), st.sampled_from("ab")), max_size=60))
def test_values_of_a_key_are_an_interval_apart_and_the_last_one_is_never_lost(steps: list[tuple[int, str]]) -> None:
    pace: Conflator[str, int] = Conflator(10)
    passed: dict[str, list[tuple[float, int]]] = {"a": [], "b": []}
    keys: dict[int, str] = {}
    now = 0
    for number, (step, key) in enumerate(steps):
        for tick in range(now, now + step + 1):
            for value in pace.take_due(tick):
                passed[keys[value]].append((tick, value))
        now += step
        keys[number] = key
        if pace.offer(key, number, now):
            passed[key].append((now, number))
    for value in pace.take_due(now + 100):
        passed[keys[value]].append((now + 100, value))
    for key, out in passed.items():
        times = [time for time, _ in out]
        assert all(later - earlier >= 10 for earlier, later in itertools.pairwise(times))
        offered = [number for number, other in keys.items() if other == key]
        assert [value for _, value in out][-1:] == offered[-1:]


def test_what_is_forgotten_has_no_turn_and_begins_anew() -> None:
    pace: Conflator[str, int] = Conflator(10)
    for key in ("a", "b"):
        assert pace.offer(key, 1, 0)
        assert not pace.offer(key, 2, 1)
    pace.forget("a".__eq__)
    assert pace.offer("a", 3, 2)
    assert (pace.held("a"), pace.held("b")) == (None, 2)
    assert not pace.offer("a", 4, 3)
    assert pace.take_due(10) == [2]
    assert pace.take_due(12) == [4]
