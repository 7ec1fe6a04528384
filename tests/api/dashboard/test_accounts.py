"""What the page makes of messages about accounts, in its own script."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tests.fakes.node import printed

PLAY = """
globalThis.document = { addEventListener() {}, getElementById: () => null };
const { Holdings, lineOf } = await import(process.argv[1]);
const { choicesOf, worthOf } = await import(process.argv[1].replace("accounts.js", "quotes.js"));
const { steps, totals, wanted, prices } = JSON.parse(process.argv[2]);
const priceOf = (symbol) => prices[symbol];
const held = new Holdings();
for (const [type, data] of steps) type === "clear" ? held.clear(data) : held.take(type, data);
const of = { venue: "binance", account: "default" };
console.log(JSON.stringify({
  accounts: held.accounts, balances: held.balances, positions: held.positions,
  worth: worthOf(held.balancesOf(of), wanted, priceOf), line: lineOf(totals),
  choices: choicesOf(held.balances, priceOf),
}));
"""


def played(
    *steps: tuple[str, Any],
    totals: Sequence[Mapping[str, float]] = (),
    wanted: str = "",
    prices: Mapping[str, tuple[float, int | str]] | None = None,
) -> Any:
    known = {symbol: {"price": price, "timestamp": time} for symbol, (price, time) in (prices or {}).items()}
    given = {"steps": steps, "totals": totals, "wanted": wanted, "prices": known}
    return json.loads(printed(PLAY, "accounts.js", json.dumps(given)))


def balance(
    asset: str, total: float, value: float | None = None, venue: str = "binance", price_time: int | None = None
) -> tuple[str, Any]:
    quote = None if value is None else "USDT"
    data = {"venue": venue, "account": "default", "asset": asset, "total": total, "value": value, "quote": quote}
    return "Balance", data | {"price_time": price_time}


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
        "value": 60_002.5, "quote": "USDT", "time": None
    }  # fmt: skip
    assert played(balance("ABC", 3))["worth"] is None


def test_a_value_is_as_old_as_the_oldest_price_in_it() -> None:
    held = (balance("BTC", 1, 60_000, price_time=70), balance("ABC", 3, 9, price_time=40), balance("USDT", 2, 2))
    assert played(*held)["worth"] == {"value": 60_011, "quote": "USDT", "time": 40}
    in_btc = played(*held, wanted="BTC", prices={"BTCUSDT": (60_000, "1970-01-01T00:00:00.030Z")})["worth"]
    assert (round(in_btc["value"] * 60_000), in_btc["quote"], in_btc["time"]) == (60_011, "BTC", 30)
    assert played(*held[2:], wanted="EUR", prices={"USDT-EUR": (0.5, 7)})["worth"] == {
        "value": 1, "quote": "EUR", "time": 7
    }  # fmt: skip
    assert played(*held, wanted="ETH")["worth"] is None


def test_a_quote_can_be_chosen_that_has_a_price() -> None:
    held = (balance("BTC", 1, 60_000), balance("ABC", 3, 9), balance("NEW", 4))
    prices = {"BTCUSDT": (60_000, 1), "ABCUSDT": (3, 1), "USDTEUR": (0.9, 1), "ETHBTC": (0.1, 1), "NEWUSDT": (0, 1)}
    assert played(*held, prices=prices)["choices"] == ["ABC", "BTC", "EUR", "USDT"]
    assert played(balance("NEW", 4), prices=prices)["choices"] == []


def test_the_line_of_totals_goes_from_the_oldest_to_the_newest() -> None:
    totals = [{"timestamp": 0, "total": 10}, {"timestamp": 60_000, "total": 30}, {"timestamp": 120_000, "total": 20}]
    assert played(totals=totals)["line"] == "0.0,21.0 60.0,1.0 120.0,11.0"
    assert played(totals=totals[:1])["line"] == ""
    flat = [{"timestamp": 0, "total": 5}, {"timestamp": 60_000, "total": 5}]
    assert played(totals=flat)["line"] == "0.0,21.0 120.0,21.0"
