"""What further processes bring: flows that share nothing, each with a part of the symbols, against one with all.

Each reads its frames directly. The figures are of CPU time, which is what they need also on a machine that has other
work: that of the busiest one is how long they take with a core for each, that of all together what dividing costs. Four
run one after another, each as on a core of its own; and at once, where more of them than there are cores take the
caches from each other.
"""

import statistics

from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.benchmarks.taker import seconds_of, started

TRADES = 600_000
ROUNDS = 5
FOUR = ("1/4", "2/4", "3/4", "4/4")


def run() -> list[Row]:
    """Two and four shards against one."""
    alone: list[list[float]] = []

    def four() -> float:
        alone.append([*map(_alone, FOUR)])
        return sum(alone[-1])

    one, two, together, at_once = in_turns(
        ROUNDS, lambda: _alone("1/1"), lambda: max(_seconds("1/2", "2/2")), four, lambda: sum(_seconds(*FOUR))
    )
    busiest = [max(seconds) for seconds in alone]
    figures = [statistics.median(seconds) * 1e6 / TRADES for seconds in (one, two, busiest, together, at_once)]
    beside = f"one, {figures[0]:.2f} µs"
    return [
        Row(
            "two shards as two processes", f"{figures[1]:.2f} µs of the busier one a trade", beside,
            median_ratio(one, two), 1.8,
        ),
        Row(
            "four shards, the busiest", f"{figures[2]:.2f} µs a trade", beside,
            median_ratio(busiest, one), 0.32, at_most=True,
        ),
        Row(
            "four shards together", f"{figures[3]:.2f} µs a trade", beside,
            median_ratio(together, one), 1.15, at_most=True,
        ),
        Row(
            "the same, at once on two cores", f"{figures[4]:.2f} µs a trade", beside,
            median_ratio(at_once, one), 1.15, at_most=True,
        ),
    ]  # fmt: skip


def _alone(share: str) -> float:
    [seconds] = _seconds(share)
    return seconds


def _seconds(*shares: str) -> list[float]:
    processes = [started("share", share, str(TRADES)) for share in shares]
    return [seconds_of(process) for process in processes]
