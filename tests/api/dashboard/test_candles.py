"""The candles of a chart in the page's own script."""

import json
from typing import Any

from tests.fakes.node import printed

PLAY = """
const { Candles } = await import(process.argv[1]);
const { held, older, news } = JSON.parse(process.argv[2]);
const of = (minute) => ({ timestamp: minute * 60_000, is_closed: true, revision: 0 });
const minutes = (list) => list.map((candle) => candle.timestamp / 60_000);
const candles = new Candles("1m");
candles.merge(held.map(of));
const meeting = minutes(candles.meeting(older.map(of), candles.first?.time));
const outcomes = news.map((minute) => candles.put(of(minute)));
console.log(JSON.stringify({ meeting, outcomes, held: minutes(candles.list) }));
"""


def played(*held: int, older: tuple[int, ...] = (), news: tuple[int, ...] = ()) -> Any:
    """What meets the candles held, what became of the news, and what is held then; times are minutes."""
    told = json.dumps({"held": held, "older": older, "news": news})
    return json.loads(printed(PLAY, "chart/candles.js", told))


def test_a_candle_that_was_missing_between_others_takes_its_place() -> None:
    found = played(5, 6, 8, news=(7, 7, 4, 9, 11))
    assert found["outcomes"] == ["late", "amended", "old", "last", "hole"]
    assert found["held"] == [5, 6, 7, 8, 9]


def test_older_candles_are_taken_up_to_the_first_hole() -> None:
    assert played(10, 11, older=(5, 6, 7, 8, 9))["meeting"] == [5, 6, 7, 8, 9]
    assert played(10, 11, older=(5, 6, 8, 9))["meeting"] == [8, 9]
    assert played(10, 11, older=(5, 6, 7, 8))["meeting"] == []
    assert played(older=(1, 2, 4, 5))["meeting"] == [4, 5]
    assert played(10)["meeting"] == []
