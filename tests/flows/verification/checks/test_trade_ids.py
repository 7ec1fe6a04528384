from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.bounds import BACK_MS
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


def test_ids_that_stand_a_frame_late_fill_the_hole_and_their_time_is_noted() -> None:
    (note,) = found(frame(1, 2, 4), frame(3, 5, first_time=2_500))
    assert isinstance(note, Finding)
    assert (note.kind, note.claimed, note.open_time) == ("time", "trade 4", 2_000)
    (finding,) = found(frame(1, 2, 4), frame(3, 5, first_time=2_001 + BACK_MS))
    assert isinstance(finding, Finding)
    assert (finding.kind, finding.claimed) == ("trade", "trade 4")


@given(st.lists(st.integers(0, 3_000), min_size=3, max_size=30), st.data(), st.integers(-20_000, 20_000), st.booleans())
def test_a_time_that_its_neighbours_contradict_is_named_as_false_or_noted(
    steps: list[int], data: st.DataObject, by: int, is_split: bool
) -> None:
    """Whichever of the two is the wrong one; one that stays between its neighbours is not to be seen."""
    times = [100_000 + sum(steps[: place + 1]) for place in range(len(steps))]
    place = data.draw(st.integers(1, len(times) - 2))
    times[place] += by
    backs = [before - after for before, after in pairwise(times)]
    ids = range(1, len(times) + 1)
    one = frame(*ids, time=times)
    half = data.draw(st.integers(1, len(times) - 1)) if is_split else len(times)
    frames = [part for part in (one[:half], one[half:]) if part.height]
    expected = sorted(
        (place + 2, "trade" if back > BACK_MS else "time") for place, back in enumerate(backs) if back > 0
    )
    named = [item for item in found(*frames) if isinstance(item, Finding)]
    assert sorted((int(item.claimed.split()[1]), item.kind) for item in named) == expected


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
        ({"time": [BACK_MS + 5_000, 4_999]}, "trade"),
        ({"first_id": [2, 3]}, "fills"),
    ],
)
def test_a_trade_that_cannot_be_there_is_named(columns: dict[str, Any], kind: str) -> None:
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
