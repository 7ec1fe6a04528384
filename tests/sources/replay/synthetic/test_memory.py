"""What is kept of the histories of many symbols."""

import os
from pathlib import Path

import pytest

from sources.replay.synthetic.market import SyntheticMarket

START_MS = 1_760_000_025_000
STATM = Path("/proc/self/statm")


def resident_mb() -> float:
    return int(STATM.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def with_histories(count: int) -> SyntheticMarket:
    market = SyntheticMarket("spot", [f"S{n}USDT" for n in range(count)], seed=1, start_ms=START_MS, trades_per_s=1.0)
    for symbol in market.markets:
        assert market.ticker(symbol)["count"] > 0
    return market


@pytest.mark.skipif(not STATM.exists(), reason="the system does not say how much memory is resident")
def test_whole_histories_of_many_symbols_are_not_kept() -> None:
    """Twenty whole ones are 126 MB."""
    kept = [with_histories(10)]  # and what the first computations need for themselves
    before = resident_mb()
    kept.append(with_histories(20))
    assert resident_mb() - before < 80
    old = kept[-1].klines("S3USDT", "1d", start_ms=None, end_ms=None, limit=1_000)
    assert len(old) == 1_000
