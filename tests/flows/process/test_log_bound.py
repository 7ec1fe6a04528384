from hypothesis import given
from hypothesis import strategies as st

from flows.process.log_bound import Kind, LogBound

ACCEPT, OTHER = Kind("asyncio", "error", "accept"), Kind("", "info", "answered")


def test_what_is_repeated_passes_so_often_and_is_counted_then() -> None:
    bound = LogBound(window_ms=1_000)
    assert [bound.admits(ACCEPT, most=2, now_ms=number) for number in range(5)] == [True, True, False, False, False]
    assert bound.admits(OTHER, most=2, now_ms=5)
    assert bound.take_suppressed(999) == []
    assert bound.take_suppressed(1_000) == [(ACCEPT, 3)]
    assert bound.take_suppressed(1_000) == []
    assert bound.admits(ACCEPT, most=2, now_ms=1_001)


def test_the_count_is_not_lost_when_the_kind_goes_on_before_anybody_asks() -> None:
    bound = LogBound(window_ms=10)
    for now in (0, 1, 2, 30, 31, 90):
        bound.admits(ACCEPT, most=1, now_ms=now)
    assert bound.take_suppressed(90) == [(ACCEPT, 3)]


def test_the_end_asks_for_all_of_it() -> None:
    bound = LogBound(window_ms=1_000)
    for _ in range(3):
        bound.admits(ACCEPT, most=1, now_ms=0)
    assert bound.take_suppressed(1, at_end=True) == [(ACCEPT, 2)]


@given(
    lines=st.lists(st.tuples(st.integers(0, 8), st.integers(0, 40)), max_size=200),
    most=st.integers(1, 5),
    kinds=st.integers(1, 4),
)
def test_every_line_is_written_or_counted_and_no_window_has_more(
    lines: list[tuple[int, int]], most: int, kinds: int
) -> None:
    bound, now, passed, counted = LogBound(window_ms=100, kinds=kinds), 0, 0, 0
    for number, later in lines:
        now += later
        passed += bound.admits(Kind("", "warning", str(number)), most=most, now_ms=now)
        counted += sum(count for _, count in bound.take_suppressed(now))
        assert len(bound._windows) <= kinds
    counted += sum(count for _, count in bound.take_suppressed(now, at_end=True))
    assert passed + counted == len(lines)


@given(st.lists(st.integers(0, 60), max_size=100), st.integers(1, 5))
def test_one_kind_never_passes_more_than_twice_its_bound_in_a_windows_time(laters: list[int], most: int) -> None:
    bound, now, passed = LogBound(window_ms=100), 0, list[int]()
    for later in laters:
        now += later
        if bound.admits(ACCEPT, most=most, now_ms=now):
            passed.append(now)
    assert all(sum(begin <= at < begin + 100 for at in passed) <= 2 * most for begin in passed)
