from typing import Any

import pytest
from msgspec import structs

from flows.clock import FeedClock
from flows.model import BookTicker, Connected, Flush, Kline, Removed
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.trades import batching as gather
from flows.operators.trades.batching import MicroBatcher
from tests.fakes.candles import kline_of_ones, ticker_of_ones
from tests.fakes.trades import BEGIN, trade

KEY = "binance:BTCUSDT"


class Moment:
    """A gather with a clock that stands until it is moved."""

    def __init__(self, hold_ms: int = 5) -> None:
        self.ms = 1_000
        self.clock = FeedClock(lambda: self.ms)
        self.gather = MicroBatcher(self.clock, hold_ms=hold_ms, monotonic_ms=lambda: self.ms)


def kline() -> Kline:
    return kline_of_ones()


def test_the_first_events_go_with_the_first_pulse() -> None:
    assert Moment().gather([Batch(KEY, [trade(1, 0)]), Flush()]) == [(KEY, [trade(1, 0)])]


def test_the_final_pulse_waits_for_nothing() -> None:
    moment = Moment()
    moment.gather([Batch(KEY, [trade(1, 0)]), Flush()])
    assert moment.gather([Batch(KEY, [trade(2, 1)]), Flush(final=True)]) == [(KEY, [trade(2, 1)])]


def test_what_comes_within_the_hold_goes_together_when_it_is_over() -> None:
    moment = Moment()
    moment.gather([Batch(KEY, [trade(1, 0)]), Flush()])
    assert moment.gather([Batch(KEY, [trade(2, 1)]), Flush()]) == []
    moment.ms += 4
    assert moment.gather([Batch(KEY, [trade(3, 2)]), Flush()]) == []
    moment.ms += 1
    assert moment.gather([Flush()]) == [(KEY, [trade(2, 1), trade(3, 2)])]
    assert moment.gather([Flush()]) == []


def test_enough_goes_without_a_pulse(monkeypatch: Any) -> None:
    monkeypatch.setattr(gather, "ENOUGH", 3)
    moment = Moment()
    assert moment.gather([Batch(KEY, [trade(1, 0), trade(2, 1)])]) == []
    assert moment.gather([Batch(KEY, [trade(3, 2)])]) == [(KEY, [trade(1, 0), trade(2, 1), trade(3, 2)])]


def test_trades_go_before_klines_whatever_came_first() -> None:
    out = Moment().gather([Batch(KEY, [kline()]), Batch(KEY, [trade(1, 0)]), Flush()])
    assert out == [(KEY, [trade(1, 0)]), (KEY, [kline()])]


def test_a_line_event_stays_behind_what_came_before_it() -> None:
    event = Connected("market", ("BTCUSDT",), "ws://x")
    moment = Moment()
    out = moment.gather([Batch(KEY, [trade(1, 0)]), InstrumentEvent(KEY, event), Batch(KEY, [trade(2, 1)])])
    assert out == [(KEY, [trade(1, 0)]), (KEY, event)]


@pytest.mark.parametrize(
    ("kinds", "is_gone", "is_told"),
    [
        (("aggTrade", "kline"), True, True),
        (("trade",), False, True),
        (("kline_1m", "ticker"), True, True),  # a symbol that had no trades
        (("kline_1m", "ticker"), False, False),  # its trades go on
        (("depth", "bookTicker"), True, False),
    ],
)
def test_the_end_of_its_streams_reaches_a_machine_that_lives_by_them(
    kinds: tuple[str, ...], *, is_gone: bool, is_told: bool
) -> None:
    event = Removed("market", ("BTCUSDT",), kinds, is_gone=is_gone)
    out = Moment().gather([Batch(KEY, [trade(1, 0)]), InstrumentEvent(KEY, event), Flush()])
    assert out == [(KEY, [trade(1, 0)]), *([(KEY, event)] if is_told else [])]


def test_the_batches_of_others_are_not_touched() -> None:
    moment, first = Moment(), Batch(KEY, [trade(1, 0)])
    moment.gather([first])
    moment.gather([Batch(KEY, [trade(2, 1)])])
    assert first.events == [trade(1, 0)]


def test_what_says_nothing_of_trades_is_left_out() -> None:
    best = BookTicker("BTCUSDT", 1, 9.0, 1.0, 10.0, 1.0)
    assert Moment().gather([Batch(KEY, [best]), Flush()]) == []


def test_a_ticker_comes_last_for_it_names_the_newest_trade() -> None:
    ticker = ticker_of_ones()
    out = Moment().gather([Batch(KEY, [ticker]), Batch(KEY, [kline()]), Batch(KEY, [trade(1, 0)]), Flush()])
    assert out == [(KEY, [trade(1, 0)]), (KEY, [kline()]), (KEY, [ticker])]


def test_the_clock_follows_no_trade_beyond_the_time_at_which_it_was_sent() -> None:
    moment = Moment()
    moment.gather([Batch(KEY, [structs.replace(trade(1, 500), time=BEGIN + 3_600_000)]), Flush()])
    assert moment.clock.now().feed == BEGIN + 500


def test_the_feeds_clock_follows_the_trades_that_are_released() -> None:
    moment = Moment()
    moment.gather([Batch(KEY, [trade(1, 500)])])
    assert moment.clock.now().feed == 0
    moment.gather([Flush()])
    assert moment.clock.now().feed == BEGIN + 500
