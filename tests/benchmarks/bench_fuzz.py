"""A million mutated frames: half of them of all types through parse and validate, half on into candles and books."""

from tests.benchmarks.rows import Row
from tests.fakes.fuzz_meter import MOST_CPU_S, Report
from tests.fakes.fuzzed_flow import fuzz_flow, fuzz_parsing

FRAMES = 1_000_000
EACH = 10
"""Mutated frames before every true one."""
MOST_GROWTH_MB = 64
SEED = 1_000_000_000
_VENUES = ("binance", "binance-usdm")


def run() -> list[Row]:
    """What must not be, the most expensive call, and what memory has grown by, over both venues."""
    share = FRAMES // (2 * len(_VENUES))
    parsed = [fuzz_parsing(venue, frames=share, seed=SEED) for venue in _VENUES]
    flown = [fuzz_flow(venue, frames=share, seed=SEED, each=EACH) for venue in _VENUES]
    return [
        *_rows("mutated frames, parse and validate", parsed),
        *_rows("mutated frames, candles, books and prices", flown),
    ]


def _rows(what: str, reports: list[Report]) -> list[Row]:
    name = f"{sum(report.frames for report in reports):,} {what}"
    slowest_ms = 1e3 * max(report.slowest_s for report in reports)
    for report in reports:
        if report.findings:
            print(report)  # noqa: T201 - seeds by which they are found again
    return [
        Row(name, "exceptions, endless calls, wrong results", "", sum(len(one.findings) for one in reports), 0, True),
        Row(name, "ms of CPU of one call", "", slowest_ms, MOST_CPU_S * 1e3, True),
        Row(name, "MB that memory grows by", "", max(one.growth_mb for one in reports), MOST_GROWTH_MB, True),
    ]
