from typing import Any

import msgspec
import pytest
from msgspec import structs

from flows.clock import FeedClock
from flows.model import BookTicker, Flush, Kline, MarketEvent, Rejected, Trade, TradesRefused
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.validate import Validate
from tests.fakes.candles import kline_of_ones, ticker_of_ones
from tests.fakes.trades import BEGIN, trade

KEY = "binance:BTCUSDT"


def kline(**changes: Any) -> Kline:
    good = kline_of_ones(event_time=BEGIN + 60_001, open=2, high=4, close=3, quote_volume=2, taker_buy_quote_volume=2)
    return structs.replace(good, **changes)


def fill(kind: str, price: float) -> Trade:
    return Trade("BTCUSDT", 1, BEGIN, price, price, buyer_is_maker=True, event_time=BEGIN, fill=kind)


def validate(*events: MarketEvent) -> list[Any]:
    """What comes out, at a time that is known."""
    clock = FeedClock(lambda: 1_000)
    clock.observe(BEGIN + 61_000)
    return Validate("binance", clock)([Batch(KEY, list(events))])


@pytest.mark.parametrize(
    "event", [trade(1, 0), kline(), fill("NA", 0.0), BookTicker("BTCUSDT", 1, 9.0, 1.0, 10.0, 1.0), kline(close=4)]
)
def test_what_can_be_true_passes(event: MarketEvent) -> None:
    assert validate(event) == [Batch(KEY, [event])]


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (kline(high=2.5), "a kline whose open or close lies outside low and high"),
        (kline(open_time=BEGIN + 1), "a kline that does not begin at its period's begin"),
        (BookTicker("BTCUSDT", 1, 10.0, 1.0, 10.0, 1.0), "a book ticker whose bid is not below its ask"),
    ],
)
def test_what_cannot_be_true_is_refused_with_its_reason_and_content(event: MarketEvent, reason: str) -> None:
    kind = "kline" if isinstance(event, Kline) else "bookTicker"
    payload = msgspec.json.encode(event)
    assert validate(event) == [Rejected("binance", reason, payload, 0, symbol="BTCUSDT", kind=kind)]


def test_the_good_ones_of_a_batch_stay_in_order() -> None:
    good = [kline(close=2), kline(close=4)]
    out = validate(good[0], kline(high=2.5), good[1])
    assert [type(item) for item in out] == [Rejected, Batch]
    assert out[1].events == good


def test_microseconds_become_milliseconds() -> None:
    fine = structs.replace(trade(1, 7), time=BEGIN * 1_000 + 7_999, event_time=BEGIN * 1_000 + 8_001)
    [batch] = validate(fine)
    assert batch.events == [structs.replace(trade(1, 7), event_time=BEGIN + 8)]


def test_a_kline_in_microseconds_too() -> None:
    fine = kline(open_time=BEGIN * 1_000, event_time=BEGIN * 1_000 + 60_001_000)
    assert validate(fine) == [Batch(KEY, [kline()])]


def test_a_time_beyond_all_bounds_is_refused_whatever_unit_it_has() -> None:
    for event_time in (32_503_680_000_000, 10**14 - 1, 99 * 10**15):  # the year 3000, 5138, 5107
        refused, doubt = validate(structs.replace(trade(1, 0), event_time=event_time, time=event_time))
        assert doubt == InstrumentEvent(KEY, TradesRefused("its event time is beyond all bounds"))
        assert isinstance(refused, Rejected)
        assert "beyond all bounds" in refused.reason


def test_events_of_a_poll_that_are_ahead_do_not_hold_up_the_others_and_stay_out() -> None:
    clock = FeedClock(lambda: 1_000)
    clock.observe(BEGIN)
    step = Validate("binance", clock)
    wrong = structs.replace(trade(9, 0), event_time=BEGIN + 86_400_000)
    ticker = ticker_of_ones(
        event_time=BEGIN + 5,
        price_change=0,
        price_change_percent=0,
        weighted_average=2,
        last_price=2,
        open=2,
        high=2,
        low=2,
        quote_volume=2,
        open_time=BEGIN + 5 - 86_400_000,
        close_time=BEGIN + 5,
        last_id=9,
    )
    out = step([Batch(KEY, [wrong], "market"), Batch(KEY, [ticker], "market"), Flush()])
    assert [item.events for item in out if isinstance(item, Batch)] == [[ticker]]
    assert clock.now().feed == BEGIN + 5
    after = step([Batch(KEY, [structs.replace(ticker, event_time=BEGIN + 10)] * 2, "market"), Flush()])
    assert [type(item) for item in after] == [Rejected, InstrumentEvent, Batch, Flush]
    assert "others went on before it" in after[0].reason  # type: ignore[union-attr]


@pytest.mark.parametrize("place", [0, 1])
@pytest.mark.parametrize("ahead_ms", [3_600_000, 10**13])
def test_no_event_of_a_poll_vouches_for_one_before_it_that_is_ahead(place: int, ahead_ms: int) -> None:
    now = [0]
    clock = FeedClock(lambda: now[0])
    step = Validate("binance", clock)
    for now[0] in range(0, 4_000, 500):
        step([Batch(KEY, [kline(event_time=BEGIN + 60_001 + now[0])], "market"), Flush()])
    good = kline(event_time=BEGIN + 60_001 + now[0])
    shift = ahead_ms // 60_000 * 60_000
    wrong = structs.replace(good, event_time=good.event_time + shift, open_time=good.open_time + shift)
    events: list[MarketEvent] = [good, good]
    events.insert(place, wrong)
    out = step([Batch(KEY, events, "market"), Flush()])
    assert [event for item in out if isinstance(item, Batch) for event in item.events] == [good, good]
    assert [item.payload for item in out if isinstance(item, Rejected)] == [msgspec.json.encode(wrong)]
