"""What the chart of the page says and asks for before there are candles, in its own script."""

import json
from typing import Any

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
