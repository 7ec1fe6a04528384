"""What a second process brings: two flows that share nothing, each with half of the symbols, against one with all.

Each reads its frames directly. The figure is the CPU time of the busier of the two, which run side by side: with a core
for each it is how long they take, and on a machine that has other work it is still what they need.
"""

import statistics

from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.benchmarks.taker import seconds_of, started

TRADES = 600_000
ROUNDS = 5


def run() -> list[Row]:
    """Two shards against one."""
    one, two = in_turns(ROUNDS, lambda: _busiest("1/1"), lambda: _busiest("1/2", "2/2"))
    figures = [statistics.median(seconds) * 1e6 / TRADES for seconds in (two, one)]
    return [
        Row(
            "two shards as two processes",
            f"{figures[0]:.2f} µs of the busier one a trade",
            f"one, {figures[1]:.2f} µs",
            median_ratio(one, two),
            1.8,
        )
    ]


def _busiest(*shares: str) -> float:
    processes = [started("share", share, str(TRADES)) for share in shares]
    return max([seconds_of(process) for process in processes])
