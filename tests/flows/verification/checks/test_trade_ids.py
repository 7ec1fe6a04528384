from typing import Any

import polars as pl
import pytest

from flows.operators.trades.continuity import BACK_MS
from flows.verification.checks.findings import Finding
from flows.verification.checks.trade_ids import IdGap, TradeIds
from tests.fakes.verified import TRADES_SCHEMA


def frame(*ids: int, first_time: int = 0, **columns: Any) -> pl.DataFrame:
    """Trades of two fills each, a second apart."""
    rows = [
        {
            "id": number, "first_id": 2 * number, "last_id": 2 * number + 1, "time": first_time + place * 1_000,
            "price": 10.0, "quantity": 1.0, "buyer_is_maker": False, "fill": "MARKET",
        }
        for place, number in enumerate(ids)
    ]  # fmt: skip
    made = pl.DataFrame(rows, schema=TRADES_SCHEMA)
    return made.with_columns(**{name: pl.Series(values, dtype=TRADES_SCHEMA[name]) for name, values in columns.items()})


def found(*frames: pl.DataFrame, fills_follow: bool = True) -> list[Finding | IdGap]:
    chain = TradeIds("BTCUSDT", fills_follow=fills_follow)
    out = [item for one in frames for item in chain.add(one)]
    return [*out, *chain.end()]


def test_ids_that_follow_within_and_across_frames_are_right() -> None:
    assert found(frame(1, 2, 3), frame(4, 5, first_time=3_000)) == []


def test_a_hole_within_a_frame_and_between_two_has_the_times_of_both_sides() -> None:
    assert found(frame(1, 2, 5)) == [IdGap(3, 4, 1_000, 2_000)]
    assert found(frame(1, 2), frame(9, first_time=60_000)) == [IdGap(3, 8, 1_000, 60_000)]


def test_ids_that_stand_a_frame_late_fill_the_hole() -> None:
    assert found(frame(1, 2, 4), frame(3, 5, first_time=2_500)) == []


def test_a_hole_is_certain_when_time_has_gone_on() -> None:
    chain = TradeIds("BTCUSDT", fills_follow=True)
    assert list(chain.add(frame(1, 3))) == []
    assert chain.open_gaps() == [IdGap(2, 2, 0, 1_000)]
    assert list(chain.add(frame(4, first_time=70_000))) == [IdGap(2, 2, 0, 1_000)]
    assert chain.open_gaps() == []


def test_fills_that_are_in_no_trade_are_a_hole_where_they_follow() -> None:
    skipped = frame(1, 2, first_id=[2, 5], last_id=[3, 6])
    assert found(skipped) == [IdGap(4, 4, 0, 1_000, of_fills=True)]
    assert found(skipped, fills_follow=False) == []


@pytest.mark.parametrize(
    ("columns", "kind"),
    [
        ({"price": [10.0, 0.0]}, "trade"),
        ({"quantity": [10.0, -1.0]}, "trade"),
        ({"price": [10.0, float("inf")]}, "trade"),
        ({"time": [BACK_MS + 5_000, 4_999]}, "trade"),
        ({"last_id": [3, 3]}, "trade"),
        ({"first_id": [2, 3]}, "fills"),
    ],
)
def test_a_trade_that_cannot_be_is_named(columns: dict[str, Any], kind: str) -> None:
    (finding,) = [item for item in found(frame(1, 2, **columns)) if isinstance(item, Finding)]
    assert (finding.kind, finding.claimed) == (kind, "trade 2")


def test_fills_that_are_none_of_the_market_may_have_no_price() -> None:
    assert found(frame(1, 2, price=[10.0, 0.0], fill=["MARKET", "ADL"])) == []


def test_ids_that_begin_anew_are_a_break_and_one_that_is_twice_there_is_named() -> None:
    (broken,) = found(frame(100, 101), frame(1, 2, first_time=90_000))
    assert isinstance(broken, IdGap)
    assert broken.begins_anew
    (twice,) = found(frame(1, 2, 3), frame(3, first_time=2_500))
    assert isinstance(twice, Finding)
    assert (twice.kind, twice.claimed) == ("trade", "trade 3")
