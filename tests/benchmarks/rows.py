"""A figure, its yardstick of the same run, and the goal; and the way they are measured together."""

import gc
import statistics
import time
from collections.abc import Callable

from msgspec import Struct


class Row(Struct, frozen=True):
    """One line of the table."""

    what: str
    figure: str
    yardstick: str
    value: float
    goal: float
    at_most: bool = False

    @property
    def met(self) -> bool:
        """Whether the goal is reached."""
        return self.value <= self.goal if self.at_most else self.value >= self.goal


def interleaved(rounds: int, *works: Callable[[], object]) -> list[float]:
    """CPU seconds of each work, the median of so many rounds in which each has its turn; one more round warms up."""
    seconds: list[list[float]] = [[] for _ in works]
    for number in range(rounds + 1):
        for work, spent in zip(works, seconds, strict=True):
            gc.collect()
            begin = time.process_time()
            work()
            if number:
                spent.append(time.process_time() - begin)
    return [statistics.median(spent) for spent in seconds]


def in_turns(rounds: int, *works: Callable[[], float]) -> list[list[float]]:
    """What each work measures of itself, in so many rounds in which each has its turn."""
    measured: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for work, values in zip(works, measured, strict=True):
            values.append(work())
    return measured


def median_ratio(values: list[float], others: list[float]) -> float:
    """Median of the ratios round by round: what burdens the machine for a while burdens both sides of a round."""
    return statistics.median(value / other for value, other in zip(values, others, strict=True))


def percentile(values: list[float], percent: int) -> float:
    """Of two values or more."""
    return statistics.quantiles(values, n=100)[percent - 1]


def table(rows: list[Row]) -> str:
    """All rows as Markdown."""
    lines = ["| what | figure | yardstick | value | goal | |", "|---|---|---|---|---|---|"]
    for row in rows:
        sign, met = ("≤" if row.at_most else "≥"), ("met" if row.met else "**not met**")
        lines.append(f"| {row.what} | {row.figure} | {row.yardstick} | {row.value:.3g} | {sign} {row.goal:g} | {met} |")
    return "\n".join(lines)
