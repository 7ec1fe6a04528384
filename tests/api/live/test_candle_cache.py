"""A series returns only complete ranges."""

from hypothesis import given
from hypothesis import strategies as st

from api.live.candle_cache import (
    FULL_MS,
    INCOMPLETE_MS,
    SETTLE_MS,
    CandleCache,
    Series,
    SeriesKey,
    is_newer,
    newest_versions,
)
from flows.model import Candle
from tests.fakes.candles import candle, forming, shuffled_versions

KEY = SeriesKey("binance", "BTCUSDT", "1m")


def run(begin: int, end: int) -> list[Candle]:
    return [candle(minute) for minute in range(begin, end)]


def filled(size: int, stored: list[Candle], now_ms: int = 0) -> Series:
    series = Series("1m", size)
    series.fill(stored, now_ms)
    return series


def test_the_oldest_go_first_and_the_same_period_is_replaced() -> None:
    series = filled(3, run(0, 3))
    series.put(forming(3), 0)
    series.put(candle(3), 0)
    series.put(candle(2, revision=1), 0)
    assert series.contents() == [candle(1), candle(2, revision=1), candle(3)]


def test_before_it_was_filled_only_the_store_knows() -> None:
    series = Series("1m", 3)
    series.put(candle(0), 0)
    assert series.last(1, None, 0) is None


def test_what_is_older_than_it_holds_only_the_store_knows() -> None:
    series = filled(3, run(0, 3))
    assert series.last(3, None, 0) == run(0, 3)
    assert series.last(3, candle(2).open_time, 0) is None
    assert series.last(2, candle(2).open_time, 0) == run(0, 2)


def test_a_store_that_has_fewer_candles_is_read_again_soon() -> None:
    series = filled(5, run(0, 2))
    assert series.last(5, None, INCOMPLETE_MS) == run(0, 2)
    assert series.last(5, None, INCOMPLETE_MS + 1) is None


def test_a_full_series_is_good_for_a_while() -> None:
    series = filled(2, run(0, 2))
    assert series.last(2, None, FULL_MS) == run(0, 2)
    assert series.last(2, None, FULL_MS + 1) is None
    assert series.last(2, None, FULL_MS + 1, allow_stale=True) == run(0, 2)


def test_a_gap_invalidates_until_the_store_had_time_to_take_what_was_published() -> None:
    series = filled(3, run(0, 3))
    series.put(candle(5), 1_000)
    assert series.last(1, None, 1_000) is None
    series.fill(run(0, 4), 1_000 + SETTLE_MS - 1)
    assert series.last(1, None, 1_000 + SETTLE_MS - 1, allow_stale=True) is None
    series.fill(run(2, 5), 1_000 + SETTLE_MS)
    assert series.last(3, None, 1_000 + SETTLE_MS) == [candle(3), candle(4), candle(5)]


def test_a_candle_older_than_the_series_is_not_taken() -> None:
    series = filled(2, run(5, 7))
    series.put(candle(0, revision=1), 0)
    assert series.contents() == run(5, 7)


def test_the_cache_counts_hits_and_misses_and_invalidates_by_venue() -> None:
    cache = CandleCache(3)
    assert cache.last(KEY, 1, None, 0) is None
    cache.series(KEY).fill(run(0, 3), 0)
    assert cache.last(KEY, 1, None, 0) == run(2, 3)
    cache.invalidate("kraken", 0)
    assert cache.last(KEY, 1, None, 0) is not None
    cache.invalidate("binance", 0)
    assert cache.last(KEY, 1, None, 0) is None
    assert (cache.counters.hits, cache.counters.misses, len(cache)) == (2, 2, 3)


@given(shuffled_versions())
def test_whatever_the_order_the_newest_version_stays(arrivals: tuple[Candle, list[list[Candle]]]) -> None:
    newest, batches = arrivals
    assert newest_versions(*batches) == [newest]


@given(st.lists(st.integers(0, 30), max_size=40))
def test_a_series_is_always_in_order_each_period_once_and_bounded(order: list[int]) -> None:
    series = filled(10, run(0, 10))
    for minute in order:
        series.put(candle(minute), 0)
    times = [one.open_time for one in series.contents()]
    assert times == sorted(set(times))
    assert len(times) <= 10


def test_an_amended_candle_is_newer_than_a_closed_one_and_that_than_a_forming_one() -> None:
    assert is_newer(candle(revision=1), candle())
    assert is_newer(candle(), forming(last_id=9_999))
    assert not is_newer(forming(last_id=9_999), candle())
    assert is_newer(forming(last_id=2), forming(last_id=1))
