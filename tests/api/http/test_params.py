from typing import Any

import pytest

from api.http.errors import Problem
from api.http.params import MOST, USUAL, CandleRange, RangeParams, range_of

HOUR = 3_600_000


def range_for(timeframe: str = "1h", **given: Any) -> CandleRange:
    return range_of(RangeParams("BTCUSDT", timeframe, **given))


def test_without_a_begin_the_newest_are_meant() -> None:
    assert range_for() == CandleRange(None, None, USUAL)
    assert range_for(limit=7) == CandleRange(None, None, 7)
    assert range_for(end=HOUR) == CandleRange(None, HOUR, USUAL)


def test_from_a_begin_on_all_that_one_answer_holds() -> None:
    assert range_for(start=HOUR) == CandleRange(HOUR, None, MOST)
    assert range_for(start=HOUR, limit=3) == CandleRange(HOUR, None, 3)


def test_between_two_times_every_period_that_begins_there() -> None:
    assert range_for(start=0, end=3 * HOUR) == CandleRange(0, 3 * HOUR, 3)
    assert range_for(start=1, end=2 * HOUR + 1) == CandleRange(1, 2 * HOUR + 1, 2)
    assert range_for(start=0, end=3 * HOUR, limit=2) == CandleRange(0, 3 * HOUR, 2)


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ({"start": HOUR, "end": HOUR}, "bad_request"),
        ({"start": 0, "end": (MOST + 1) * HOUR}, "range_too_large"),
        ({"timeframe": "7h"}, "bad_request"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], code: str) -> None:
    with pytest.raises(Problem) as refused:
        range_for(**given)
    assert refused.value.code == code


def test_too_many_are_shown_in_part_when_a_limit_says_so() -> None:
    assert range_for(start=0, end=(MOST + 1) * HOUR, limit=MOST).most == MOST
