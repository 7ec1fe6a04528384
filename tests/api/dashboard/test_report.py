"""The page of quality in its own scripts: days by the statuses of their hours, sums of proofs, words of incidents."""

import json
from typing import Any, get_args

from flows.model import PRIVATE_KINDS
from flows.model.candles import CandleStatus
from flows.model.incidents import IncidentKind
from tests.fakes.node import printed

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
BEGIN = 1_767_225_600_000
"""A midnight."""

DAYS = """
const { daysUntil, qualityOf, sentenceOf } = await import(process.argv[1]);
const [candles, until, count] = JSON.parse(process.argv[2]);
const found = qualityOf(candles, daysUntil(until, count), until);
console.log(JSON.stringify(found.map((day) => [day.quality, sentenceOf(day)])));
"""


def days(statuses: dict[int, str], until: int, count: int = 3) -> list[list[str]]:
    """Quality and sentence of the days that end with the hour `until`; hours are counted from `BEGIN`."""
    candles = [{"timestamp": BEGIN + hour * HOUR_MS, "status": status} for hour, status in sorted(statuses.items())]
    told = json.dumps([candles, BEGIN + until * HOUR_MS, count])
    found: list[list[str]] = json.loads(printed(DAYS, "report/days.js", told))
    return found


def test_a_day_is_as_good_as_its_worst_hour() -> None:
    whole = dict.fromkeys(range(24), "final")
    assert days({**whole, 24: "forming"}, 24, 2) == [
        ["complete", "2026-01-01: hours 24 complete"],
        ["complete", "2026-01-02: hours 1 complete"],
    ]
    for status, quality in (
        ("repaired", "repaired"),
        ("venue", "repaired"),
        ("partial", "unproven"),
        ("unproven",) * 2,
    ):
        assert days({**whole, 5: status}, 23, 1) == [[quality, f"2026-01-01: hours 23 complete, 1 {quality}"]]


def test_what_is_not_stored_is_missing_but_not_before_the_first_hour() -> None:
    found = days({20: "final", 21: "final", 23: "partial", 25: "final"}, 25)
    assert found == [
        ["none", "2025-12-31: not recorded"],
        ["missing", "2026-01-01: hours 2 complete, 1 unproven, 1 missing"],
        ["missing", "2026-01-02: hours 1 complete, 1 missing"],
    ]
    assert days({}, 25, 1) == [["none", "2026-01-02: not recorded"]]


def test_every_status_of_a_candle_means_something() -> None:
    for status in get_args(CandleStatus):
        assert days({0: status}, 0, 1)[0][0] != "missing", status


SUMS = """
const { sumsOf } = await import(process.argv[1]);
console.log(JSON.stringify(sumsOf(JSON.parse(process.argv[2]))));
"""


def test_proofs_are_summed_by_timeframe_shortest_first() -> None:
    def series(timeframe: str, candles: int, proofs: dict[str, int], **statuses: int) -> dict[str, Any]:
        return {"timeframe": timeframe, "candles": candles, "proofs": proofs, "by_status": statuses}

    told = [
        series("1h", 10, {"equal": 4, "exchange's own": 3}, final=10),
        series("5m", 7, {"not compared": 7}),
        series("1h", 5, {"ours wrong": 1, "theirs wrong": 2}, partial=1, unproven=1),
    ]
    found = json.loads(printed(SUMS, "report/proofs.js", json.dumps(told)))
    assert [(one["timeframe"], one["candles"]) for one in found] == [("5m", 7), ("1h", 15)]
    assert found[0]["open"] == 7
    names = ("equal", "ours", "theirs", "own", "open", "doubtful")
    assert [found[1][name] for name in names] == [4, 1, 2, 3, 5, 2]


def test_every_kind_of_incident_has_words() -> None:
    kinds = "const { KINDS } = await import(process.argv[1]); console.log(JSON.stringify(Object.keys(KINDS)));"
    assert set(json.loads(printed(kinds, "report/incidents.js"))) == set(get_args(IncidentKind)) - PRIVATE_KINDS
