"""How the looks of a soak are judged."""

import pytest

from tests.benchmarks.latency import Latency
from tests.benchmarks.soak import JUDGED, OURS, Look, Process, judged


def look(number: int, *, memory_mb: float, p99: float = 10.0) -> Look:
    processes = {name: Process(memory_mb, 40, 10) for name in OURS}
    return Look(number / 60, number / 6, processes, 1.0, 1.0, Latency(2.0, p99, 1.0))


def test_what_fills_in_the_warm_up_is_no_slope_and_what_rises_after_it_is() -> None:
    filling = [look(number, memory_mb=100.0 + 10 * number) for number in range(10)]
    rising = [look(number, memory_mb=200.0 + 3 * number / 60) for number in range(10, 40)]
    *memory, late = judged([*filling, *rising])
    assert [row.value for row in memory] == pytest.approx([3.0] * len(JUDGED))
    assert not any(row.met for row in memory)
    assert late.value == 1
    assert late.met


def test_latency_that_grows_with_the_hours_is_not_flat() -> None:
    looks = [look(number, memory_mb=100.0, p99=10.0 + number) for number in range(40)]
    *memory, late = judged(looks)
    assert all(row.met for row in memory)
    assert late.value == pytest.approx((10 + 34.5) / (10 + 14.5))  # medians of looks 30 to 39, and of 10 to 19
    assert not late.met


def test_too_few_looks_are_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        judged([look(number, memory_mb=100.0) for number in range(10)])


def test_the_saw_of_memtables_is_no_slope() -> None:
    def saw(number: int) -> Look:
        teeth = number % 16
        held = {name: Process(100.0 + teeth, 40, 10, memtables_mb=teeth) for name in OURS}
        return Look(number / 60, number / 6, held, 1.0, 1.0, Latency(2.0, 10.0, 1.0))

    *memory, _ = judged([saw(number) for number in range(40)])
    assert [row.value for row in memory] == pytest.approx([0.0] * len(JUDGED))


def test_what_fills_until_the_first_rows_are_in_files_is_no_slope() -> None:
    def filling(number: int) -> Look:
        held = {name: Process(100.0 + min(number, 25), 40, 10, memtables_mb=number % 25) for name in OURS}
        return Look(number / 60, number / 6, held, 1.0, 1.0, Latency(2.0, 10.0, 1.0))

    looks = [filling(number) for number in range(50)]
    held = [look.processes[JUDGED[0]] for look in looks]
    assert held[24].memtables_mb > held[25].memtables_mb
    *memory, _ = judged([*looks])
    assert [round(row.value + 60, 6) for row in memory] == [0.0] * len(JUDGED)  # its memtables alone rise
