from typing import Any

import pytest
from msgspec import structs

from flows.bounds import MOST_FILLS, MOST_UPDATES, VenueRules, fault_of, trade_time
from flows.model import (
    DAY_MS,
    AggregateTrade,
    BookDelta,
    BookSnapshot,
    BookTicker,
    Disconnected,
    Kline,
    MiniTicker,
    Ticker,
    Trade,
)
from tests.fakes.trades import BEGIN

SPOT, USDM = VenueRules(fills_follow=True), VenueRules(fills_follow=False)

AGGREGATE = AggregateTrade(
    symbol="BTCUSDT", id=5, time=BEGIN, price=100.0, quantity=1.0, buyer_is_maker=True, event_time=BEGIN + 20,
    first_id=10, last_id=12,
)  # fmt: skip
FILL = Trade("BTCUSDT", 5, BEGIN, 100.0, 1.0, buyer_is_maker=True, event_time=BEGIN + 20)
KLINE = Kline(
    symbol="BTCUSDT", timeframe="1m", event_time=BEGIN + 60_010, open_time=BEGIN, open=10.0, high=12.0, low=9.0,
    close=11.0, volume=100.0, quote_volume=1_050.0, trades=50, taker_buy_volume=40.0, taker_buy_quote_volume=420.0,
    first_id=100, last_id=149, is_closed=True, close_time=BEGIN + 59_999,
)  # fmt: skip
TICKER = Ticker(
    symbol="BTCUSDT", event_time=BEGIN + 10, price_change=1.0, price_change_percent=10.0, weighted_average=10.5,
    last_price=11.0, open=10.0, high=12.0, low=9.0, volume=100.0, quote_volume=1_050.0, open_time=BEGIN - DAY_MS,
    close_time=BEGIN, trades=50, last_id=149,
)  # fmt: skip
DELTA = BookDelta("BTCUSDT", BEGIN, 100, 110, [(9.0, 1.0)], [(10.0, 1.0)])
SNAPSHOT = BookSnapshot("BTCUSDT", 100, [(9.0, 1.0), (8.0, 2.0)], [(10.0, 1.0), (11.0, 2.0)])
MINI = MiniTicker("BTCUSDT", BEGIN, 11.0, 10.0, 12.0, 9.0, 100.0, 1_050.0)


@pytest.mark.parametrize(
    "event",
    [
        AGGREGATE,
        FILL,
        KLINE,
        TICKER,
        MINI,
        DELTA,
        SNAPSHOT,
        BookTicker("BTCUSDT", 1, 9.0, 1.0, 10.0, 1.0),
        BookTicker("BTCUSDT", 1, 9.0, 1.0, 0.0, 0.0),  # nobody sells
        structs.replace(AGGREGATE, event_time=BEGIN + DAY_MS),  # late
        structs.replace(AGGREGATE, event_time=BEGIN - 4_900),  # servers differ
        structs.replace(AGGREGATE, last_id=10 + MOST_FILLS - 1),
        structs.replace(FILL, price=0.0, quantity=0.0, fill="NA"),
        structs.replace(KLINE, first_id=-1, last_id=-1),  # REST says no ids
        structs.replace(KLINE, timeframe="1w", open_time=BEGIN + 7),  # nothing of ours is compared with it
        structs.replace(KLINE, close_time=0),
        structs.replace(KLINE, event_time=BEGIN + 59_999),
        structs.replace(KLINE, taker_buy_quote_volume=0.0, quote_volume=0.0),  # a source that leaves them out
        structs.replace(
            KLINE, open=10.0, high=10.0, low=10.0, close=10.0, volume=0.0, quote_volume=0.0, taker_buy_volume=0.0,
            taker_buy_quote_volume=0.0, trades=0, first_id=-1, last_id=-1,
        ),
        structs.replace(TICKER, trades=0, volume=0.0, quote_volume=0.0, high=0.0, low=0.0, open=0.0, last_price=0.0),
        structs.replace(DELTA, previous_update_id=99),
        Disconnected("market", ("BTCUSDT",), "cut"),  # what has no rule can be true
    ],
)  # fmt: skip
def test_what_can_be_true_has_no_fault(event: Any) -> None:
    assert fault_of(event, SPOT) == ""


@pytest.mark.parametrize(
    ("event", "changes"),
    [
        (AGGREGATE, {"time": BEGIN + 5_021}),
        (AGGREGATE, {"time": BEGIN + 3_600_000}),
        (AGGREGATE, {"time": BEGIN + 20 - DAY_MS - 1}),
        (AGGREGATE, {"first_id": 13}),
        (AGGREGATE, {"last_id": 10 + MOST_FILLS}),
        (AGGREGATE, {"last_id": 2**53}),
        (AGGREGATE, {"price": 0.0}),
        (FILL, {"quantity": 0.0}),
        (FILL, {"time": BEGIN + 9_000}),
        (KLINE, {"open_time": BEGIN + 1}),
        (KLINE, {"open_time": BEGIN + 60_000, "close_time": BEGIN + 119_999}),
        (KLINE, {"open_time": BEGIN + 120_000, "close_time": BEGIN + 179_999, "is_closed": False}),
        (KLINE, {"open_time": BEGIN - 3_600_000, "close_time": 0}),
        (KLINE, {"close_time": BEGIN + 60_000}),
        (KLINE, {"timeframe": "5m", "close_time": BEGIN + 299_999}),  # closed before its end
        (KLINE, {"event_time": BEGIN + 59_998}),
        (KLINE, {"timeframe": "1s", "close_time": BEGIN + 999, "event_time": BEGIN + 20}),
        (KLINE, {"high": 10.5}),
        (KLINE, {"low": 10.5}),
        (KLINE, {"volume": 1.0}),
        (KLINE, {"quote_volume": 2_000.0}),
        (KLINE, {"taker_buy_volume": 101.0}),
        (KLINE, {"taker_buy_quote_volume": 1_051.0}),
        (KLINE, {"trades": 51}),
        (KLINE, {"trades": 49}),
        (KLINE, {"last_id": 2**53}),
        (KLINE, {"first_id": 150}),
        (KLINE, {"first_id": -1}),
        (TICKER, {"last_price": 13.0}),
        (TICKER, {"open": 8.0}),
        (TICKER, {"price_change": -1.0}),
        (TICKER, {"weighted_average": 12.5}),
        (TICKER, {"quote_volume": 10.0}),
        (TICKER, {"trades": -2}),
        (TICKER, {"close_time": BEGIN + 3_600_000}),
        (TICKER, {"open_time": 0}),
        (MINI, {"close": 13.0}),
        (MINI, {"quote_volume": 1e9}),
        (DELTA, {"last_update_id": 99}),
        (DELTA, {"last_update_id": 100 + MOST_UPDATES}),
        (DELTA, {"last_update_id": 110 + 2**53}),
        (DELTA, {"previous_update_id": 111}),
        (SNAPSHOT, {"bids": [(10.0, 1.0)]}),
        (SNAPSHOT, {"bids": [(8.0, 1.0), (9.0, 1.0)]}),
        (SNAPSHOT, {"asks": [(10.0, 0.0)]}),
    ],
)
def test_what_cannot_be_true_has_a_fault_that_people_can_read(event: Any, changes: dict[str, Any]) -> None:
    assert len(fault_of(structs.replace(event, **changes), SPOT)) > 20


def test_where_some_fills_are_in_no_aggregate_a_kline_may_count_less_than_its_ids_span() -> None:
    assert fault_of(structs.replace(KLINE, trades=49), USDM) == ""
    assert fault_of(structs.replace(KLINE, trades=51), USDM) != ""


def test_a_venues_own_subtype_has_the_rule_of_its_model() -> None:
    class Wire(AggregateTrade, frozen=True, kw_only=True):
        """As a venue's wire types are made."""

    wrong = Wire(**structs.asdict(AGGREGATE) | {"first_id": 99})
    assert fault_of(wrong) == fault_of(structs.replace(AGGREGATE, first_id=99))


def test_a_trade_says_no_later_time_than_that_at_which_it_was_sent() -> None:
    assert trade_time(AGGREGATE) == BEGIN
    assert trade_time(structs.replace(AGGREGATE, time=BEGIN + 10**9)) == BEGIN + 20
