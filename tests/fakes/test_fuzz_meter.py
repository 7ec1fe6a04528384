import time
from collections.abc import Sequence

import pytest

from tests.fakes.fuzz_meter import MOST_CPU_S, Report, confirmed, metered
from tests.fakes.mutations import Mutation


def spin(cpu_s: float) -> None:
    end = time.thread_time() + cpu_s
    while time.thread_time() < end:
        pass


def fail() -> None:
    raise ValueError("odd")


class Runs:
    """Runs of four calls, of which in each run others are long, or one raises."""

    def __init__(self, *long: Sequence[int], raises: bool = False) -> None:
        self._long = long
        self._raises = raises
        self.made = 0

    def __call__(self) -> Report:
        long = self._long[self.made]
        self.made += 1
        with metered() as meter:
            for seed in range(4):
                meter.take(Mutation("some", b""), seed=seed, of=4)
                meter.run("step", lambda seed=seed: spin(2 * MOST_CPU_S) if seed in long else None)  # type: ignore[misc]
            if self._raises:
                meter.run("step", fail)
            return meter.report()


@pytest.mark.parametrize(
    ("long", "runs", "found"),
    [([[]], 1, []), ([[1], []], 2, []), ([[1], [2]], 2, []), ([[1, 3], [2, 3]], 2, [3])],
)
def test_a_call_is_long_when_it_is_so_twice(long: list[list[int]], runs: int, found: list[int]) -> None:
    made = Runs(*long)
    assert [one.seed for one in confirmed(made)().findings] == found
    assert made.made == runs


def test_whatever_else_is_found_is_found_at_once() -> None:
    made = Runs([1], raises=True)
    assert [one.what for one in confirmed(made)().findings][-1:] == ["ValueError"]
    assert made.made == 1
