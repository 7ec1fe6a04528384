from math import fsum
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flows.model import DAY_MS
from flows.operators.stats.window import NOTHING, RollingDay, Span, joined
from tests.fakes.candles import BEGIN, candle, kline_like
from tests.fakes.examples import examples

MINUTE = 60_000


def span(price: float, *, trades: int = 1, volume: float = 1.0) -> Span:
    return Span(price, price + 1, price - 1, price + 0.5, volume, volume * price, trades)


def flat(price: float) -> Span:
    return Span(price, price, price, price, 0.0, 0.0, 0)


def test_a_span_is_taken_from_a_candle_of_ours_or_the_exchanges() -> None:
    ours = candle()
    assert Span.of(ours) == Span(100.0, 101.5, 99.25, 101.0, 12.5, 1_255.125, 42) == Span.of(kline_like(ours))


def test_spans_are_joined_in_the_order_of_their_time() -> None:
    assert joined([span(10.0), span(20.0), span(5.0)]) == Span(10.0, 21.0, 4.0, 5.5, 3.0, 35.0, 3)


def test_minutes_without_a_trade_tell_only_the_last_price() -> None:
    assert joined([flat(99.0), span(10.0), flat(1.0)]) == joined([span(10.0)])
    assert joined([flat(98.0), flat(99.0), NOTHING]) == flat(99.0)
    assert joined([]) == NOTHING


def test_the_window_is_the_running_minute_and_the_day_before_it() -> None:
    window = RollingDay(MINUTE)
    for minute in (0, 1, 1_440):
        window.put(BEGIN + minute * MINUTE, span(10.0 + minute))
    assert window.total().open == 10.0
    assert window.advance(BEGIN + DAY_MS + MINUTE)
    assert not window.advance(BEGIN + DAY_MS + MINUTE + 59_999)
    assert window.total() == joined([span(11.0), span(1_450.0)])
    window.put(BEGIN, span(1.0))
    assert window.get(BEGIN) is None


def test_what_is_missing_is_known_by_its_open_time() -> None:
    window = RollingDay(MINUTE)
    window.put(BEGIN + DAY_MS, span(1.0))
    window.put(BEGIN + MINUTE, span(1.0))
    assert window.missing(BEGIN + 3 * MINUTE) == [BEGIN, BEGIN + 2 * MINUTE]


@pytest.mark.parametrize("minute", [0, 3])
def test_an_amended_minute_counts_as_amended(minute: int) -> None:
    window = RollingDay(MINUTE)
    for number in range(4):
        window.put(BEGIN + number * MINUTE, span(10.0))
    assert window.total().volume == 4.0
    window.put(BEGIN + minute * MINUTE, span(10.0, volume=3.0))
    assert window.total().volume == 6.0


@settings(max_examples=examples(20), deadline=None)
@given(random=st.randoms(use_true_random=False))
def test_the_window_equals_a_recount_of_all_that_was_put_in(random: Random) -> None:
    window = RollingDay(MINUTE)
    everything: dict[int, Span] = {}
    running = 0
    for _ in range(60):
        running += random.choice((0, 0, 1, 1, 2, 700))
        minute = max(0, running - random.choice((0, 0, 0, 1, 5, 600, 1_440)))
        price = float(random.randint(2, 50))
        made = random.choice((span(price, volume=random.random()), flat(price)))
        window.advance(BEGIN + running * MINUTE)
        window.put(BEGIN + minute * MINUTE, made)
        everything[minute] = made
        inside = [everything[number] for number in sorted(everything) if running - 1_440 <= number <= running]
        traded = [other for other in inside if other.trades]
        total = window.total()
        assert total.trades == len(traded)
        assert total.volume == fsum(other.volume for other in traded), "each volume is rounded once"
        assert total.quote_volume == fsum(other.quote_volume for other in traded)
        if traded:
            assert (total.open, total.close) == (traded[0].open, traded[-1].close)
            assert (total.high, total.low) == (max(t.high for t in traded), min(t.low for t in traded))
        else:
            assert total.close == inside[-1].close
