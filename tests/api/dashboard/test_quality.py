"""The last incident in the page's own script, by what the broadcast and the ledger say of it."""

import json

from tests.fakes.node import printed

PLAY = """
const shown = {};
const parentElement = {};
globalThis.document = { getElementById: (id) => (shown[id] ??= { dataset: {}, parentElement }) };
globalThis.sessionStorage = { getItem: () => null };
let ledger = [];
const answer = async () => ({ success: true, data: { incidents: ledger, series: [], trades: null } });
globalThis.fetch = async () => ({ json: answer });
const { Quality } = await import(process.argv[1]);
const quality = new Quality();
const said = [];
const of = ([kind, second]) => ({ kind, begin: new Date(second * 1_000).toISOString(), symbol: "X", venue: "binance" });
for (const [step, ...what] of JSON.parse(process.argv[2])) {
  if (step === "choose") quality.choose({ symbol: "X", venue: "binance" });
  if (step === "told") quality.onIncident(of(what));
  if (step === "read") { ledger = what.map(of); await quality.refresh(); }
  said.push(shown.incident.textContent ?? shown.incident.firstChild?.data);
}
console.log(JSON.stringify(said));
"""


def said(*steps: list[object]) -> list[str]:
    """The last incident as the page says it after each step."""
    found: list[str] = json.loads(printed(PLAY, "quality.js", json.dumps(steps)))
    return found


def test_what_was_told_stays_until_the_ledger_has_it() -> None:
    silent = "silent 00:00:05 X"
    steps: list[list[object]] = [["choose"], ["read"], ["told", "silent", 5], ["read"], ["read", ["gap", 3]]]
    assert said(*steps) == ["\u2026", "none", silent, silent, silent]
    assert said(["choose"], ["told", "silent", 5], ["read", ["gap", 7]])[-1] == "gap 00:00:07 X"


def test_another_instrument_has_incidents_of_its_own() -> None:
    assert said(["choose"], ["told", "silent", 5], ["choose"], ["read"])[-1] == "none"


MEASURE = """
const { Latencies } = await import(process.argv[1]);
const latencies = new Latencies();
const iso = (ms) => new Date(ms).toISOString();
const found = [];
for (const [venue, price, made, sent, fromSnapshot] of JSON.parse(process.argv[2])) {
  const data = { symbol: "X", price, timestamp: made };
  latencies.measure({ data, timestamp: iso(sent) }, venue, fromSnapshot);
  found.push(latencies.take());
}
console.log(JSON.stringify(found));
"""


def test_the_latency_is_that_of_new_prices() -> None:
    steps = [
        ("kraken", 1.0, 1_000, 9_000, True),
        ("kraken", 1.0, 2_000, 9_000, False),  # the same price in later trades, with new figures of the day
        ("coinbase", 3.0, 2_000, 9_000, False),  # the first that is known of it
        ("kraken", 2.0, 9_000, 9_025, False),
        ("coinbase", 3.0, 9_000, 20_000, False),
    ]
    assert json.loads(printed(MEASURE, "broadcast/latency.js", json.dumps(steps))) == [[], [], [], [25], []]
