"""What further processes bring: flows that share nothing, each with a part of the symbols, against one with all.

Each reads its frames directly. The figures are of CPU time, which is what they need also on a machine that has other
work: that of the busiest one is how long they take with a core for each, that of all together what dividing costs. They
run one after another, each as on a core of its own; four also at once, where four processes on two cores cost each
other time whatever they do: so that is against four undivided flows at once.

At full load a poll brings each as much as it takes, so as much as it brings the one. At the pace of one flow it brings
a shard its part of that, so what a poll costs is there four times.
"""

import statistics

from tests.benchmarks.rows import Row, in_turns, median_ratio
from tests.benchmarks.taker import seconds_of, started

TRADES = 400_000
ROUNDS = 3
FOUR = ("1/4", "2/4", "3/4", "4/4")
POLL = 500
"""Frames of a poll."""


def run() -> list[Row]:
    """Two and four shards against one."""
    alone: list[list[float]] = []

    def four() -> float:
        alone.append([_alone(share) for share in FOUR])
        return sum(alone[-1])

    one, two, together, at_pace, at_once, copies = in_turns(
        ROUNDS,
        lambda: _alone("1/1"),
        lambda: max(map(_alone, ("1/2", "2/2"))),
        four,
        lambda: sum(_alone(share, poll=POLL // len(FOUR)) for share in FOUR),
        lambda: sum(_seconds(*FOUR)),
        lambda: statistics.mean(_seconds(*["1/1"] * len(FOUR))),
    )
    busiest = [max(seconds) for seconds in alone]
    figures = [
        statistics.median(seconds) * 1e6 / TRADES for seconds in (one, two, busiest, together, at_pace, at_once, copies)
    ]
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
            "the same, each with a quarter of the trades a poll", f"{figures[4]:.2f} µs a trade", beside,
            median_ratio(at_pace, one), 1.15, at_most=True,
        ),
        Row(
            "four shards at once on two cores", f"{figures[5]:.2f} µs a trade",
            f"four undivided flows at once, {figures[6]:.2f} µs each",
            median_ratio(at_once, copies), 1.15, at_most=True,
        ),
    ]  # fmt: skip


def _alone(share: str, *, poll: int = POLL) -> float:
    [seconds] = _seconds(share, poll=poll)
    return seconds


def _seconds(*shares: str, poll: int = POLL) -> list[float]:
    processes = [started("share", share, str(TRADES), str(poll)) for share in shares]
    return [seconds_of(process) for process in processes]
