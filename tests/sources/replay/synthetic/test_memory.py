"""What is kept of the histories of many symbols."""

import os
from pathlib import Path

import polars as pl
import pytest

from sources.replay.market.aggregate import TRADE, aggregates_of
from sources.replay.market.played import PlayedTrades
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


@pytest.mark.skipif(not STATM.exists(), reason="the system does not say how much memory is resident")
def test_a_symbol_that_is_played_takes_a_megabyte_and_a_half_at_most() -> None:
    """With its ladder, the segments that are played and ready, and a book that a client has wanted once."""
    played = [played_for(4, 12_000)]
    before = resident_mb()
    played.append(played_for(30, 12_000))
    assert (resident_mb() - before) / 30 < 1.5


def played_for(count: int, length_ms: int) -> SyntheticMarket:
    """A market that has been played so long, where every book was wanted once."""
    market = SyntheticMarket("spot", [f"S{n}USDT" for n in range(count)], seed=1, start_ms=START_MS)
    messages = market.play(lambda stream: stream == "s0usdt@bookTicker")
    next(messages)
    for symbol in market.markets:
        assert market.depth(symbol, 5) is not None
    while market.now_ms < START_MS + length_ms:
        next(messages)
    return market


@pytest.mark.parametrize("price", [1, 10**9])
def test_a_trade_that_was_played_takes_some_bytes(price: int) -> None:
    rows = [(7 + n, START_MS + 40 * n, 0, 0, n, price + n % 50, 1 + n * n % 60_000, n % 3 == 0) for n in range(500)]
    trades = pl.DataFrame(rows, schema=TRADE, orient="row").with_columns(
        pl.col("time").alias("event_time"), pl.col("time").alias("due")
    )
    aggregates = aggregates_of(trades, 70)
    kept = PlayedTrades(trades, aggregates)
    assert kept.bytes_held <= 6 * trades.height + 200
    names = ["id", "time", "event_time", "due", "price", "quantity", "maker"]
    assert kept.trades().select(names).equals(trades.select(names))
    assert kept.aggregates().drop("place").equals(aggregates.drop("place"))
    assert PlayedTrades(trades.clear(), aggregates.clear()).trades().is_empty()
