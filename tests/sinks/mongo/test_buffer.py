from operator import attrgetter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from flows.model import Candle
from sinks.mongo.buffer import CandleBuffer, Loss, Storable
from tests.fakes.candles import BEGIN, candle, forming, gap, shuffled_versions, stats


class Clock:
    def __init__(self) -> None:
        self.ms = 5_000

    def __call__(self) -> int:
        return self.ms


def buffer(clock: Clock | None = None, *, capacity: int = 1_000) -> CandleBuffer:
    return CandleBuffer(capacity=capacity, forming_ms=1_000, local_ms=clock or Clock())


def test_what_lasts_comes_out_in_its_order() -> None:
    held = buffer()
    held.put([candle(2), gap(), candle(0)])
    held.put([candle(1)])
    assert held.take(most=3) == [candle(2), gap(), candle(0)]
    assert held.take(most=3) == [candle(1)]


def test_a_forming_candle_is_due_once_a_second_with_its_newest_version() -> None:
    clock = Clock()
    held = buffer(clock)
    taken = []
    for _ in range(30):  # ten versions a second, for three seconds
        clock.ms += 100
        held.put([forming(last_id=1_000 + clock.ms // 100), forming(timeframe="5m")])
        taken.append((clock.ms, [item.last_id for item in held.take(most=10) if isinstance(item, Candle)]))
    assert [(time, ids) for time, ids in taken if ids] == [
        (5_100, [1_051, 1_020]),
        (6_100, [1_061, 1_020]),
        (7_100, [1_071, 1_020]),
    ]


def test_a_closed_candle_takes_the_place_of_its_forming_version() -> None:
    held = buffer()
    held.put([forming(), candle()])
    held.put([forming()])
    assert held.take(most=10) == [candle()]


def test_closed_candles_are_held_until_they_are_settled() -> None:
    held = buffer()
    held.put([candle(0), gap(), candle(1), forming(minute=2)])
    places = held.closed_candles()
    assert len(places) == 2
    taken = held.take(most=10)
    assert held.closed_candles() == places
    held.put_back(taken)
    assert held.closed_candles() == places
    held.take(most=1)
    held.settle([taken[0]])
    assert len(held.closed_candles()) == 1
    held.settle(held.take(most=10))
    assert held.closed_candles() == set()


def test_what_could_not_be_written_comes_first_again() -> None:
    held = buffer()
    held.put([candle(0), gap(), candle(1), candle(2)])
    taken = held.take(most=3)
    held.put([candle(3)])
    held.put_back(taken)
    assert held.take(most=10) == [candle(0), gap(), candle(1), candle(2), candle(3)]


def test_what_comes_back_gives_way_to_what_is_newer() -> None:
    held = buffer()
    held.put([candle(0), candle(1), forming(2), forming(3)])
    taken = held.take(most=10)
    held.put([candle(0, revision=1), forming(2, last_id=1_030), candle(3)])
    held.put_back(taken)
    held.close()
    assert held.take(most=10) == [candle(1), candle(0, revision=1), candle(3), forming(2, last_id=1_030)]


def test_at_the_bound_forming_ones_go_first_and_then_the_oldest() -> None:
    held = buffer(capacity=4)
    held.put([forming(8), candle(0), candle(1), forming(9)])
    held.put([candle(2)])
    assert (len(held), held.take_forming_dropped(), held.take_losses()) == (4, 1, [])
    held.put([candle(3), candle(4), gap(symbol="ETHUSDT"), candle(5), candle(6)])
    assert held.take_forming_dropped() == 1
    assert held.take_losses() == [Loss("binance", "BTCUSDT", 4, 0, BEGIN, BEGIN + 180_000)]
    assert held.take_losses() == []
    assert held.take(most=10) == [candle(4), gap(symbol="ETHUSDT"), candle(5), candle(6)]


def test_statistics_are_given_up_without_a_word() -> None:
    held = buffer(capacity=2)
    held.put([stats(0), candle(0), stats(1), candle(1)])
    assert held.take_losses() == [Loss("binance", "BTCUSDT", 1, 0, BEGIN, BEGIN)]
    assert held.take(most=2) == [stats(1), candle(1)]


def test_what_is_being_written_counts_and_is_not_dropped() -> None:
    held = buffer(capacity=3)
    held.put([candle(0), candle(1), candle(2)])
    taken = held.take(most=2)
    held.put([candle(3), candle(4)])
    assert held.take_losses() == [Loss("binance", "BTCUSDT", 2, 0, BEGIN + 120_000, BEGIN + 180_000)]
    held.settle(taken)
    assert len(held) == 1


def test_a_closed_buffer_takes_nothing_and_gives_all() -> None:
    clock = Clock()
    held = buffer(clock)
    held.put([forming(1)])
    held.take(most=1)
    held.put([forming(1, last_id=1_030), forming(2), candle(0), gap()])
    held.close()
    assert not held.put([candle(5)])
    assert not held.wait()
    assert held.take(most=1) == [candle(0), forming(1, last_id=1_030), forming(2)]
    assert held.take_rest() == [Loss("binance", "BTCUSDT", 0, 1, BEGIN, BEGIN)]


def test_it_does_not_wait_when_something_is_due() -> None:
    held = buffer()
    held.put([candle()])
    assert held.wait()
    held.take(most=1)
    held.put([forming()])
    assert held.wait()


@given(shuffled_versions(), st.data())
def test_the_newest_version_is_never_lost_on_the_way(arrivals: tuple[Candle, list[list[Candle]]], data: Any) -> None:
    """Whatever is taken, put back or settled in between; forming versions come in their order in life."""
    newest, batches = arrivals
    clock = Clock()
    held = buffer(clock)
    written: list[Storable] = []
    for batch in batches:
        held.put(sorted(batch, key=attrgetter("last_id")))
        clock.ms += data.draw(st.sampled_from([0, 500, 1_000]))
        taken = held.take(most=data.draw(st.integers(1, 3)))
        if data.draw(st.booleans()):
            held.put_back(taken)
        else:
            written += taken
            held.settle(taken)
    held.close()
    while len(held):
        taken = held.take(most=2)
        written += taken
        held.settle(taken)
    if newest.is_closed:
        assert newest in written
    assert len(held) == 0
