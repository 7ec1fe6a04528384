"""What the page makes of messages about accounts, in its own script."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.node import printed

PLAY = """
globalThis.document = { addEventListener() {}, getElementById: () => null };
const { Holdings, lineOf } = await import(process.argv[1]);
const { steps, totals } = JSON.parse(process.argv[2]);
const held = new Holdings();
for (const [type, data] of steps) type === "clear" ? held.clear(data) : held.take(type, data);
const of = { venue: "binance", account: "default" };
console.log(JSON.stringify({
  accounts: held.accounts, balances: held.balances, positions: held.positions,
  worth: held.worthOf(of), line: lineOf(totals),
}));
"""


def played(*steps: tuple[str, Any], totals: Sequence[Mapping[str, float]] = ()) -> Any:
    return json.loads(printed(PLAY, "accounts.js", json.dumps({"steps": steps, "totals": totals})))


def balance(asset: str, total: float, value: float | None = None, venue: str = "binance") -> tuple[str, Any]:
    quote = None if value is None else "USDT"
    data = {"venue": venue, "account": "default", "asset": asset, "total": total, "value": value, "quote": quote}
    return "Balance", data


def position(side: str, quantity: float) -> tuple[str, Any]:
    return "Position", {
        "venue": "binance", "account": "default", "symbol": "BTCUSDT", "side": side, "quantity": quantity
    }  # fmt: skip


def test_what_there_is_stays_and_what_is_gone_goes() -> None:
    found = played(
        balance("USDT", 5), balance("BTC", 1), balance("USDT", 7), balance("BTC", 0), position("LONG", 1),
        position("SHORT", 2), position("LONG", 0),
    )  # fmt: skip
    assert [(one["asset"], one["total"]) for one in found["balances"]] == [("USDT", 7)]
    assert [(one["side"], one["quantity"]) for one in found["positions"]] == [("SHORT", 2)]


def test_a_hub_that_is_connected_anew_tells_its_venues_present_again() -> None:
    found = played(balance("BTC", 1), balance("ETH", 2, venue="kraken"), position("LONG", 1), ("clear", "binance"))
    assert [one["asset"] for one in found["balances"]] == ["ETH"]
    assert found["positions"] == []


def test_an_account_is_worth_what_has_a_price() -> None:
    assert played(balance("BTC", 1, 60_000.5), balance("ABC", 3), balance("USDT", 2, 2))["worth"] == {
        "value": 60_002.5, "quote": "USDT"
    }  # fmt: skip
    assert played(balance("ABC", 3))["worth"] is None


def test_the_line_of_totals_goes_from_the_oldest_to_the_newest() -> None:
    totals = [{"timestamp": 0, "total": 10}, {"timestamp": 60_000, "total": 30}, {"timestamp": 120_000, "total": 20}]
    assert played(totals=totals)["line"] == "0.0,21.0 60.0,1.0 120.0,11.0"
    assert played(totals=totals[:1])["line"] == ""
    flat = [{"timestamp": 0, "total": 5}, {"timestamp": 60_000, "total": 5}]
    assert played(totals=flat)["line"] == "0.0,21.0 120.0,21.0"
