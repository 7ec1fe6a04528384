"""How the looks at the page are judged."""

import pytest

from tests.benchmarks.page_hour import Look, judged


def look(number: int, *, heap_mb: float, listeners: int = 250, faults: int = 0) -> Look:
    return Look(number, heap_mb, 1.0, 5_000, listeners, faults)


def test_what_fills_in_the_warm_up_is_not_judged_and_what_rises_after_it_is() -> None:
    filling = [look(number, heap_mb=5.0 + number) for number in range(15)]
    flat = [look(number, heap_mb=20.0) for number in range(15, 60)]
    assert all(row.met for row in judged([*filling, *flat]))
    rising = [look(number, heap_mb=20.0 + number / 10, listeners=250 + number) for number in range(15, 60)]
    faults, heap, nodes, listeners = judged([*filling, *rising])
    assert heap.value == pytest.approx(26.2 / 23.2)  # medians of looks 45 to 59, and of 15 to 29, with the buffers
    assert "+6.00" in heap.yardstick  # a tenth of a megabyte a minute
    assert (faults.met, heap.met, nodes.met, listeners.met) == (True, False, True, False)


def test_a_fault_at_any_time_is_one_too_many() -> None:
    looks = [look(number, heap_mb=20.0, faults=1) for number in range(60)]
    assert [row.met for row in judged(looks)] == [False, True, True, True]


def test_too_few_looks_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged([look(number, heap_mb=20.0) for number in range(9)])
