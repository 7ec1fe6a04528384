from typing import Any

from msgspec import structs

from flows.model import Candle
from flows.verification.checks.rollups import rolled_up, rollups
from tests.fakes.candles import BEGIN, candle

FIVE = [candle(n, first_id=1_000 + 42 * n, last_id=1_041 + 42 * n, close=100.0 + n / 8) for n in range(5)]


def whole(parts: list[Candle]) -> Candle:
    """The five minutes that these make."""
    made: dict[str, Any] = rolled_up(parts)
    return candle(timeframe="5m", **made)


def test_five_minutes_are_their_single_ones() -> None:
    longer = whole(FIVE)

    assert (longer.trades, longer.first_id, longer.last_id, longer.close) == (210, 1_000, 1_209, 100.5)
    assert list(rollups({"1m": FIVE, "5m": [longer]}, set())) == []


def test_a_longer_candle_that_says_something_else_is_named() -> None:
    wrong = structs.replace(whole(FIVE), high=103.0, trades=211)

    ((found, claimed, true),) = rollups({"1m": FIVE, "5m": [wrong]}, set())

    assert found is wrong
    assert claimed == "high 103.0, trades 211"
    assert true == "high 101.5, trades 210 by 5 candles of 1m"


def test_where_one_is_missing_or_lacks_trades_or_is_known_to_be_wrong_nothing_is_compared() -> None:
    wrong = structs.replace(whole(FIVE), high=103.0)
    partial = [structs.replace(FIVE[0], status="partial"), *FIVE[1:]]

    assert list(rollups({"1m": FIVE[1:], "5m": [wrong]}, set())) == []
    assert list(rollups({"1m": partial, "5m": [wrong]}, set())) == []
    assert list(rollups({"1m": FIVE, "5m": [wrong]}, {("1m", BEGIN + 60_000)})) == []


def test_minutes_without_trades_move_no_price() -> None:
    flat = {"trades": 0, "volume": 0.0, "quote_volume": 0.0, "taker_buy_volume": 0.0, "taker_buy_quote_volume": 0.0}
    empty = candle(0, open=1.0, high=1.0, low=1.0, close=1.0, first_id=-1, last_id=-1, **flat)

    made = rolled_up([empty, *FIVE[1:]])
    assert (made["open"], made["low"], made["first_id"]) == (FIVE[1].open, FIVE[1].low, FIVE[1].first_id)
    assert rolled_up([empty, empty])["close"] == 1.0
