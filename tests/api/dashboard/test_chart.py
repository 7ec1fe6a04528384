"""What the chart of the page says and asks for before there are candles, in its own script."""

import json
from typing import Any

import pytest

from tests.fakes.node import printed

PLAY = """
const shown = {};
const classList = { add() {}, remove() {} };
globalThis.document = { hidden: false };
globalThis.sessionStorage = { getItem: () => null };
const none = { success: false, error: { code: "no_data", message: "none" } };
globalThis.fetch = async () => ({ json: async () => none });
let now = 0;
performance.now = () => now;
const { Chart } = await import(process.argv[1]);
let read = 0;
const part = (id) => (shown[id] ??= { dataset: {}, classList });
const parts = new Proxy({}, { get: (_, name) => part(name) });
const chart = new Chart({ parts, onClosed: () => (read += 1) });
const said = [];
const look = () => {
  const text = shown.state.textContent ?? "";
  said.push({ waits: chart.isWaiting, says: text, candles: chart.candles.length, read });
};
const candle = (minute) => ({ timestamp: minute * 60_000, is_closed: false, revision: 0, open: 1, close: 1 });
await chart.choose({ venue: "binance", symbol: "X", timeframe: "1m" });
look();
now = 2_000;
look();
chart.take({ venue: "binance", symbol: "X", timeframe: "1m", candle: candle(5) });
look();
chart.take({ venue: "binance", symbol: "X", timeframe: "1m", candle: candle(5) });
look();
console.log(JSON.stringify(said));
process.exit();
"""


def test_a_chart_without_candles_says_that_it_waits_for_the_first_one() -> None:
    found: list[dict[str, Any]] = json.loads(printed(PLAY, "chart/chart.js"))
    first = "no candle is there yet: the first one comes with the next trade"
    assert found == [
        {"waits": False, "says": first, "candles": 0, "read": 1},
        {"waits": True, "says": first, "candles": 0, "read": 1},
        {"waits": False, "says": "", "candles": 1, "read": 2},
        {"waits": False, "says": "", "candles": 1, "read": 2},
    ]


TIMEFRAMES = {
    "7 min": "7m", "60s": "1m", "500t": "500t", "1k trades": "1000t", "0500 ticks": "500t", "12.5 vol": "12.5v",
    "0.001v": "0.001v", "$250k": "250000q", "1.5m$": "1500000q", "$ 10": "10q", "100 value": "100q",
    "1.5t": "", "0t": "", "20000001t": "", "12.5": "", "$5t": "", "1e5t": "", "-5v": "", "0.0000001v": "",
    "9999999999999999v": "", "<b>t": "", "": "",
}  # fmt: skip


def test_timeframes_are_lengths_or_amounts() -> None:
    program = """
    const { timeframeOf } = await import(process.argv[1]);
    console.log(JSON.stringify(JSON.parse(process.argv[2]).map(timeframeOf)));
    """
    for texts in (list(TIMEFRAMES), list(TIMEFRAMES.values())):
        found = json.loads(printed(program, "chart/timeframe.js", json.dumps(texts)))
        assert found == list(TIMEFRAMES.values())


AMOUNTS = """
globalThis.sessionStorage = { getItem: () => null };
const asked = [];
const day = 86_400_000;
const bar = (open_time, close_time, last_id, is_closed) => ({ open_time, close_time, last_id, is_closed });
const answer = (data) => ({ json: async () => ({ success: true, data }) });
const pages = {
  "": [[bar(day + 5, day + 5, 1, true), bar(day + 5, day + 5, 2, true)], "n"],
  n: [[bar(day + 5, day + 9, 3, true), bar(day + 9, day + 12, 4, false)], null],
  [`${day + 9}.3`]: [[bar(day + 9, day + 20, 5, false)], null],
  next: [[bar(2 * day + 1, 2 * day + 1, 6, false)], null],
};
globalThis.fetch = async (path) => {
  const { pathname, searchParams: query } = new URL(path, "http://x");
  if (pathname === "/api/trades") {
    const trades = [day - 3_600_000, day + 12].map((timestamp) => ({ timestamp, price: 1, quantity: 1 }));
    return answer({ trades: query.has("end") && query.get("end") <= day ? [] : trades });
  }
  asked.push(["kind", "size", "start", "end", "cursor"].map((name) => query.get(name) ?? ""));
  const [bars, next] = pages[Number(query.get("start")) > day ? "next" : query.get("cursor") ?? ""];
  return answer({ bars, lacking: { gaps: [{ begin: day + 9, end: day + 9 }] }, next });
};
const { readAmounts, readAmountsAfter } = await import(process.argv[1]);
const placeOf = ({ timestamp }) => Math.round(100 * (timestamp - day)) / 100;
const told = (candles) => candles.map((one) => [placeOf(one), one.status, one.is_closed]);
const focus = { venue: "binance", symbol: "X", timeframe: "2t" };
const { candles } = await readAmounts(focus);
const older = await readAmounts(focus, day + 5);
const held = candles.map((one) => ({ ...one, time: one.timestamp }));
const grown = await readAmountsAfter(focus, held, 2 * day + 9_999);
const over = await readAmountsAfter(focus, held, 2 * day + 10_000);
const found = { candles, older: older.candles, grown, over };
const entries = Object.entries(found).map(([name, bars]) => [name, told(bars)]);
console.log(JSON.stringify({ asked, ...Object.fromEntries(entries) }));
"""


def test_bars_of_amounts_are_counted_anew_each_day_and_go_on_behind_the_last_closed_one() -> None:
    found = json.loads(printed(AMOUNTS, "chart/amounts.js"))
    day = 86_400_000
    assert found["candles"] == [
        [5, "of stored trades", True],
        [5.01, "of stored trades", True],  # a time of its own, as a chart needs
        [5.02, "partial", True],  # a gap ends in it
        [9, "forming", False],
    ]
    assert found["older"] == []
    assert found["grown"] == [[9, "forming", False]], "its last trades may not be stored yet"
    assert found["over"] == [[9, "partial", True], [day + 1, "forming", False]]
    first, second, behind, *_ = found["asked"]
    assert first == ["tick", "2", str(day), str(2 * day), ""]
    assert second == [*first[:4], "n"]
    assert behind == [*first[:4], f"{day + 9}.3"]


MISSING = """
const { whyMissing } = await import(process.argv[1]);
const [seen, found, hasTrades] = JSON.parse(process.argv[2]);
const candles = seen.map(([time, volume]) => ({ time, volume }));
const there = found.map((one) => ({ open_time: one, levels: [{}] }));
console.log(JSON.stringify(whyMissing(candles, there, { symbol: "X", hasTrades })));
"""


@pytest.mark.parametrize(
    ("seen", "found", "has_trades", "said"),
    [
        ([[0, 1], [60_000, 1]], [0, 60_000], True, ""),
        ([[0, 0], [60_000, 1]], [60_000], True, ""),  # without trades there is nothing to show
        ([[0, 1], [60_000, 1]], [], False, "no trades of X are stored"),
        ([[0, 1], [60_000, 1]], [], True, "no trades of the time in view are stored"),
        ([[0, 1], [60_000, 1]], [60_000], True, "no trades before 1970-01-01 00:01:00 UTC are stored"),
        ([[0, 1], [60_000, 1], [120_000, 1]], [0, 120_000], True, "no trades of 1 of the 3 candles in view are stored"),
    ],
)
def test_why_a_candle_has_no_footprint_is_said(
    seen: list[list[int]], found: list[int], has_trades: bool, said: str
) -> None:
    assert json.loads(printed(MISSING, "chart/footprints.js", json.dumps([seen, found, has_trades]))) == said


STRETCHED = """
const { stretched } = await import(process.argv[1]);
const range = (found) => found && { minValue: found[0], maxValue: found[1] };
const [line, candles] = JSON.parse(process.argv[2]).map(range);
console.log(JSON.stringify(stretched({ priceRange: line }, candles)?.priceRange ?? null));
"""


@pytest.mark.parametrize(
    ("line", "candles", "shown"),
    [
        ([95, 112], [100, 110], [95, 112]),
        ([10, 104], [100, 110], [95, 104]),  # candles keep half of the height
        ([10, 90], [100, 110], None),  # it is out of view
        ([10, 90], None, [10, 90]),
    ],
)
def test_a_line_far_from_the_candles_does_not_press_them_together(
    line: list[int], candles: list[int] | None, shown: list[int] | None
) -> None:
    found = json.loads(printed(STRETCHED, "chart/lines.js", json.dumps([line, candles])))
    assert (found and [found["minValue"], found["maxValue"]]) == shown
