"""Lines of a chart as a part of a link, in the page's own script: what is encoded comes back, and nothing else does."""

import json
from typing import Any

from tests.fakes.node import printed

PLAY = """
const stored = new Map(Object.entries(JSON.parse(process.argv[2])));
globalThis.localStorage = { getItem: (name) => stored.get(name) ?? null, setItem: (...of) => stored.set(...of) };
globalThis.addEventListener = () => {};
const asked = [];
const element = () => ({ append() {}, remove() {}, firstChild: null, showModal() {
  asked.push(parts["question-text"].textContent);
  setTimeout(() => { this.returnValue = process.argv[4]; this.onclose(); });
} });
const parts = {};
globalThis.document = { getElementById: (id) => (parts[id] ??= element()), createElement: element };
const { decodeDrawings, encodeDrawings, takeDrawings } = await import(process.argv[1]);
const text = process.argv[3] || encodeDrawings([{ venue: "binance", symbol: "X" }]).join("&");
await takeDrawings(decodeDrawings(text));
const read = (name) => JSON.parse(stored.get(`marketflow.${name}`) ?? "{}");
const decoded = decodeDrawings(text);
console.log(JSON.stringify({ text, decoded, asked, levels: read("levels"), trends: read("trends") }));
process.exit();
"""
TREND = {"from": {"time": 60_000, "price": 0.00000012}, "to": {"time": 120_000, "price": -3.5}, "isRay": True}
OWN = {
    "marketflow.levels": json.dumps({"binance:X": [101.5, 99]}),
    "marketflow.trends": json.dumps({"binance:X": [TREND]}),
}


def played(stored: dict[str, str], text: str = "", answer: str = "no") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(printed(PLAY, "drawings/shared.js", json.dumps(stored), text, answer))
    return found


def test_lines_come_back_as_they_were_and_own_ones_are_not_doubled() -> None:
    found = played(OWN)
    assert found["decoded"] == [{"venue": "binance", "symbol": "X", "levels": [101.5, 99], "trends": [TREND]}]
    assert found["text"] == "draw=binance:X,101.5,99,60000~0.000000120000~120000~-3.5~r"
    assert (found["asked"], found["levels"]) == ([], {"binance:X": [101.5, 99]})


def test_own_lines_stay_whatever_is_answered_and_without_any_there_is_no_question() -> None:
    link = "draw=binance:X,100,99,60000~1~120000~2&draw=binance:Y,7"
    refused = played(OWN, link, "no")
    own = "You have lines of your own there (X): they stay, and these come beside them."
    assert refused["asked"] == [f"The link brings 2 lines of X, 1 line of Y. {own}"]
    assert (refused["levels"], refused["trends"]) == ({"binance:X": [101.5, 99]}, {"binance:X": [TREND]})
    taken = played(OWN, link, "yes")
    more = {"from": {"time": 60_000, "price": 1}, "to": {"time": 120_000, "price": 2}, "isRay": False}
    assert taken["levels"] == {"binance:X": [101.5, 100, 99], "binance:Y": [7]}
    assert taken["trends"] == {"binance:X": [TREND, more]}
    first = played({}, link)
    assert (first["asked"], first["levels"]) == ([], {"binance:X": [100, 99], "binance:Y": [7]})


def test_what_is_no_line_is_left_out() -> None:
    names = ["", "binance", ":X", "binance:", "a:b:c", "<b>:X", "a" * 65 + ":X"]
    items = ["-5", "0", "1e9", "NaN", "Infinity", "0x10", "5;6", "60000~1~120000", "60000~1~120000~2~x"]
    items += ["6e4~1~120000~2", "99999999999999~1~1~2", "-1~1~1~2", "1~1~1~2e9"]
    program = """
    globalThis.addEventListener = () => {};
    const { decodeDrawings } = await import(process.argv[1]);
    console.log(JSON.stringify(JSON.parse(process.argv[2]).map(decodeDrawings)));
    """
    texts = [f"draw={name},5" for name in names] + [f"draw=binance:X,{item}" for item in items]
    texts += ["draw=binance:X", "other=binance:X,5", ""]
    assert json.loads(printed(program, "drawings/shared.js", json.dumps(texts))) == [[]] * len(texts)


def test_a_link_is_bounded() -> None:
    many = ",".join(str(price) for price in range(1, 500))
    found = played({}, "&".join(f"draw=binance:S{number},{many}" for number in range(9)))
    assert [one["symbol"] for one in found["decoded"]] == ["S0", "S1", "S2", "S3"]
    assert [len(one["levels"]) for one in found["decoded"]] == [20] * 4
    full = {"marketflow.levels": json.dumps({"binance:S0": [*range(1_000, 1_045)]})}
    taken = played(full, f"draw=binance:S0,{many}", "yes")["levels"]["binance:S0"]
    assert sorted(taken) == [1, 2, 3, 4, 5, *range(1_000, 1_045)]  # no own one gave way
