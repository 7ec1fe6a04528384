"""Times in zones, as the page's own script writes them."""

import json
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.fakes.node import printed

PLAY = """
const { Zone } = await import(process.argv[1]);
const [name, times] = JSON.parse(process.argv[2]);
const zone = new Zone(name);
console.log(JSON.stringify(times.map((time) => [zone.at(time).toISOString().slice(0, 19), zone.label(time)])));
"""
ZONES = ["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu", "Pacific/Auckland", "America/New_York"]
moments = st.integers(1_420_000_000, 1_900_000_000).map(lambda second: second * 1_000)


@given(st.sampled_from(ZONES), st.lists(moments, min_size=1, max_size=30))
def test_clocks_show_what_the_zone_says(name: str, times: list[int]) -> None:
    found = json.loads(printed(PLAY, "zone.js", json.dumps([name, times])))
    for time, (text, _) in zip(times, found, strict=True):
        local = datetime.fromtimestamp(time // 1_000, UTC).astimezone(ZoneInfo(name))
        assert text == local.replace(tzinfo=None).isoformat()


@pytest.mark.parametrize(
    ("name", "label"),
    [("UTC", "UTC"), ("Asia/Kathmandu", "UTC+5:45"), ("America/New_York", "UTC-5"), ("No/Where", "UTC")],
)
def test_a_zone_is_named_by_its_distance(name: str, label: str) -> None:
    winter = datetime(2026, 1, 1, tzinfo=UTC)
    assert json.loads(printed(PLAY, "zone.js", json.dumps([name, [winter.timestamp() * 1_000]])))[0][1] == label


TICKS = """
globalThis.localStorage = { getItem: () => process.argv[2], setItem() {} };
const made = () => ({ append() {} });
globalThis.document = { getElementById: made, createElement: made };
const { openZones, tickOf } = await import(process.argv[1]);
openZones();
const [times, isDay] = JSON.parse(process.argv[3]);
console.log(JSON.stringify(times.map((time) => tickOf(time, isDay))));
"""


def test_the_axis_names_what_is_new_there() -> None:
    new_year = datetime(2025, 12, 31, 15, tzinfo=UTC)  # midnight in Tokyo
    moved = [timedelta(), timedelta(minutes=5), timedelta(days=1), timedelta(days=31)]
    times = [int((new_year + one).timestamp()) * 1_000 for one in moved]
    ticks = json.loads(printed(TICKS, "zone.js", "Asia/Tokyo", json.dumps([times, False])))
    assert ticks == ["2026", "00:05", "2 Jan", "Feb"]
    days = [int(datetime(2026, month, day, tzinfo=UTC).timestamp()) * 1_000 for month, day in ((1, 1), (1, 2), (2, 1))]
    assert json.loads(printed(TICKS, "zone.js", "Asia/Tokyo", json.dumps([days, True]))) == ["2026", "2 Jan", "Feb"]
