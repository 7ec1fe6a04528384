from math import nan
from typing import Any

import pytest
from msgspec import structs

from flows.bounds import VenueRules
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


UNREPORTED: dict[str, Any] = {"quote_volume": nan, "taker_buy_volume": nan, "taker_buy_quote_volume": nan, "trades": -1}
COARSE: dict[str, Any] = {"status": "venue", "first_id": -1, "last_id": -1} | UNREPORTED


@pytest.mark.parametrize("coarse", [(True, True), (True, False), (False, True)])
def test_what_the_exchange_does_not_state_is_compared_with_nothing(coarse: tuple[bool, bool]) -> None:
    parts = [structs.replace(part, **COARSE) for part in FIVE] if coarse[0] else FIVE
    longer = structs.replace(whole(FIVE), **COARSE) if coarse[1] else whole(FIVE)
    wrong = structs.replace(longer, volume=longer.volume + 1, close=99.0)

    assert list(rollups({"1m": parts, "5m": [longer]}, set())) == []
    ((_, claimed, _),) = rollups({"1m": parts, "5m": [wrong]}, set())
    assert claimed == f"close 99.0, volume {wrong.volume}"


def test_what_the_exchange_states_only_nearly_is_compared_in_our_own_candles_alone() -> None:
    rules = VenueRules(rounded_fields=frozenset(("quote_volume",)))
    ours = structs.replace(whole(FIVE), quote_volume=whole(FIVE).quote_volume + 0.25)
    theirs = structs.replace(ours, status="venue")

    assert list(rollups({"1m": FIVE, "5m": [theirs]}, set(), rules)) == []
    ((_, claimed, _),) = rollups({"1m": FIVE, "5m": [ours]}, set(), rules)
    assert claimed == f"quote_volume {ours.quote_volume}"
    assert [found[0] for found in rollups({"1m": FIVE, "5m": [theirs]}, set())] == [theirs]
