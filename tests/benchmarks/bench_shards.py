"""What further processes bring: flows that share nothing, each with a part of the symbols, against one with all.

Each reads its frames directly. The figures are of CPU time, which is what they need also on a machine that has other
work: that of the busiest one is how long they take with a core for each, that of all together what dividing costs.
"""

import statistics

from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.benchmarks.taker import seconds_of, started

TRADES = 600_000
ROUNDS = 5


def run() -> list[Row]:
    """Two and four shards against one."""
    together: list[float] = []

    def four() -> float:
        seconds = _seconds("1/4", "2/4", "3/4", "4/4")
        together.append(sum(seconds))
        return max(seconds)

    one, two, busiest = in_turns(ROUNDS, lambda: max(_seconds("1/1")), lambda: max(_seconds("1/2", "2/2")), four)
    figures = [statistics.median(seconds) * 1e6 / TRADES for seconds in (one, two, busiest, together)]
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
    ]  # fmt: skip


def _seconds(*shares: str) -> list[float]:
    processes = [started("share", share, str(TRADES)) for share in shares]
    return [seconds_of(process) for process in processes]
