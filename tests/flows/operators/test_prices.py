from typing import Any

import pytest
from msgspec import structs

from flows.clock import FeedClock
from flows.model import MarketData, MiniTicker, Removed, Ticker, Trade
from flows.operators.parse import Batch, InstrumentEvent
from flows.operators.prices import Prices
from tests.fakes.candles import kline_of_ones, ticker_of_ones
from tests.fakes.trades import BEGIN, trade

KEY = "binance:BTCUSDT"


def ticker(time: int, price: float) -> Ticker:
    return ticker_of_ones(
        event_time=BEGIN + time,
        price_change=-5.0,
        price_change_percent=-0.5,
        weighted_average=101.0,
        last_price=price,
        open=105.0,
        high=110.0,
        low=90.0,
        volume=1_000.0,
        quote_volume=1e5,
        trades=9,
    )


def test_the_last_trade_of_a_poll_is_the_price() -> None:
    out = Prices()([Batch(KEY, [trade(1, 0, 10.0), trade(2, 1, 11.0)])])
    assert out == [MarketData("binance", "BTCUSDT", 11.0, BEGIN + 1)]


def test_the_figures_of_the_day_come_with_the_exchanges_ticker() -> None:
    prices = Prices()
    prices([Batch(KEY, [trade(1, 5, 10.0)])])
    assert prices([Batch(KEY, [ticker(3, 9.0)])]) == [
        MarketData("binance", "BTCUSDT", 10.0, BEGIN + 5, -5.0, -0.5, 1_000.0)  # the trade is newer than the ticker
    ]


def test_the_short_ticker_tells_the_same() -> None:
    mini = MiniTicker("BTCUSDT", BEGIN, 99.0, 100.0, 110.0, 90.0, 1_000.0, 1e5)
    assert Prices()([Batch(KEY, [mini])]) == [MarketData("binance", "BTCUSDT", 99.0, BEGIN, -1.0, -1.0, 1_000.0)]


def test_nothing_is_said_twice() -> None:
    prices = Prices()
    prices([Batch(KEY, [trade(1, 0, 10.0)])])
    assert prices([Batch(KEY, [trade(2, 1, 10.0)])]) == []


def test_a_symbol_that_is_gone_is_forgotten() -> None:
    prices = Prices()
    prices([Batch(KEY, [trade(1, 1_000, 10.0)])])
    prices([InstrumentEvent(KEY, Removed("market", ("BTCUSDT",), ("aggTrade",), is_gone=True))])
    assert prices([Batch(KEY, [trade(1, 0, 10.0)])]) == [MarketData("binance", "BTCUSDT", 10.0, BEGIN)]


def test_a_price_that_is_told_again_is_as_old_as_before() -> None:
    prices = Prices()
    prices([Batch(KEY, [trade(1, 0, 10.0)])])
    mini = MiniTicker("BTCUSDT", BEGIN + 9_000, 10.0, 100.0, 110.0, 90.0, 1_000.0, 1e5)
    assert [data.time for data in prices([Batch(KEY, [ticker(5_000, 10.0)])])] == [BEGIN]
    assert [data.time for data in prices([Batch(KEY, [mini])])] == [BEGIN]
    assert prices([Batch(KEY, [trade(2, 8_000, 11.0)])]) == [], "it is older than the last price"
    assert [data.time for data in prices([Batch(KEY, [trade(3, 10_000, 11.0)])])] == [BEGIN + 10_000]


def test_an_older_kline_does_not_set_the_price_back() -> None:
    prices = Prices()
    prices([Batch(KEY, [trade(1, 1_000, 10.0)])])
    kline = kline_of_ones(event_time=BEGIN + 900, high=99, close=99, is_closed=False)
    assert prices([Batch(KEY, [kline])]) == []


def test_fills_off_the_market_are_no_price() -> None:
    fund = Trade("BTCUSDT", 2, BEGIN, 1e9, 1.0, buyer_is_maker=True, event_time=BEGIN, fill="ADL")
    assert Prices()([Batch(KEY, [trade(1, 0, 10.0), fund])])[0].price == 10.0
    assert Prices()([Batch(KEY, [fund])]) == []


@pytest.mark.parametrize("by_ms", [3_600_000, 86_400_000])
def test_a_price_of_a_time_that_the_venue_has_gone_back_from_is_old_at_once(by_ms: int) -> None:
    clock = FeedClock(lambda: 0)
    prices = Prices(clock)
    clock.set_to(BEGIN + by_ms)
    prices([Batch(KEY, [structs.replace(trade(1, 0, 10.0), event_time=BEGIN + by_ms)])])
    assert prices([Batch(KEY, [ticker(1_000, 12.0)])]) == [
        MarketData("binance", "BTCUSDT", 10.0, BEGIN + by_ms, -5.0, -0.5, 1_000.0)
    ]
    clock.set_to(BEGIN + 2_000)
    assert [(told.price, told.time) for told in prices([Batch(KEY, [trade(2, 1_900, 11.0)])])] == [
        (11.0, BEGIN + 1_900)
    ]
    assert [told.price for told in prices([Batch(KEY, [ticker(1_950, 12.0)])])] == [12.0]


# --- what cannot be true ---


def shown(*batches: list[Any]) -> list[float]:
    """The prices that are published, poll by poll."""
    prices = Prices()
    return [data.price for events in batches for data in prices([Batch(KEY, events)])]


def test_a_trade_that_cannot_be_true_is_no_price() -> None:
    wrong = structs.replace(trade(3, 2, 1.0), time=BEGIN + 3_600_000)
    assert shown([trade(1, 0, 10.0)], [trade(2, 1, 11.0), wrong]) == [10.0, 11.0]
    assert shown([trade(1, 0, 10.0)], [wrong]) == [10.0]


@pytest.mark.parametrize("number", [2**53, 10**6, 0])
def test_an_id_that_the_time_does_not_explain_is_no_price_and_stops_none(number: int) -> None:
    assert shown([trade(5_000, 0, 10.0)], [trade(number, 10, 1.0)], [trade(5_001, 20, 12.0)]) == [10.0, 12.0]


def test_ids_that_another_trade_continues_are_prices() -> None:
    assert shown([trade(5_000, 0, 10.0)], [trade(10**9, 10, 11.0)], [trade(10**9 + 1, 20, 12.0)]) == [10.0, 12.0]


def test_an_older_trade_does_not_set_the_price_back() -> None:
    assert shown([trade(5, 10, 10.0)], [trade(4, 5, 9.0)]) == [10.0]
