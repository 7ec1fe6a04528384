"""Whether a payload of a stream is true, by what REST has under the ids and times that it names.

It runs in the client's environment, and so imports nothing but the standard library.
"""

import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from tests.conformance.exchange import SYMBOL, Exchange, until
from tests.conformance.suite import same

_NEAR: Final = Decimal("0.05")
"""How far a price may have moved since a query."""


def payload_of(message: Any) -> dict[str, Any]:
    """The payload of `SYMBOL` in a message: text or decoded, in the envelope or not, of one symbol or of all. Empty
    when there is none.
    """
    decoded = json.loads(message) if isinstance(message, str | bytes) else message
    if isinstance(decoded, dict) and "data" in decoded:
        decoded = decoded["data"]
    if isinstance(decoded, list):
        decoded = next((row for row in decoded if row["s"] == SYMBOL), {})
    assert isinstance(decoded, dict), f"no payload: {decoded!r:.120}"
    return {} if decoded.get("s", SYMBOL) != SYMBOL else decoded


def is_true(exchange: Exchange, payload: dict[str, Any]) -> None:
    """Fails where the payload is not what REST has."""
    kind = payload.get("e") or ("partial" if "lastUpdateId" in payload else "bookTicker")
    assert kind in _CHECKS, f"an unexpected event {kind!r}"
    if kind not in {"partial", "forceOrder"}:
        symbol = payload.get("s") or payload.get("ps")
        assert symbol == SYMBOL, f"of {symbol}"
    _CHECKS[kind](exchange, payload)


def _agg_trade(exchange: Exchange, payload: dict[str, Any]) -> None:
    row = exchange.aggregate(payload["a"])
    same({key: payload[key] for key in row if key in payload}, {key: row[key] for key in row if key in payload})
    assert {"a", "p", "q", "f", "l", "T", "m"} <= row.keys() & payload.keys()


def _trade(exchange: Exchange, payload: dict[str, Any]) -> None:
    row = exchange.trade(payload["t"])
    same(
        [payload["p"], payload["q"], payload["T"], payload["m"]],
        [row["price"], row["qty"], row["time"], row["isBuyerMaker"]],
    )


def _kline(exchange: Exchange, payload: dict[str, Any]) -> None:
    kline = payload["k"]
    row = exchange.kline(kline["t"], kline["i"])
    same([kline["t"], kline["T"]], [row[0], row[6]])
    if not kline["n"]:  # before its first trade it is flat at the last price, and that trade may be elsewhere
        assert kline["o"] == kline["h"] == kline["l"] == kline["c"], "without trades, and not flat"
        return
    same(kline["o"], row[1])
    assert Decimal(kline["l"]) >= Decimal(row[3]), "below the low of REST"
    assert Decimal(kline["h"]) <= Decimal(row[2]), "above the high of REST"
    if kline["L"] >= 0 and "s" in payload:  # in a continuous one the ids are not those of trades
        assert kline["n"] == kline["L"] - kline["f"] + 1, "n is not the count of its ids"
        same(kline["c"], exchange.trade(kline["L"])["price"])


def _ticker(exchange: Exchange, payload: dict[str, Any]) -> None:
    last = exchange.trade(payload["L"])
    same([payload["c"], payload["Q"]], [last["price"], last["qty"]])
    assert payload["n"] == payload["L"] - payload["F"] + 1, "n is not the count of its ids"
    _within(payload)


def _mini_ticker(exchange: Exchange, payload: dict[str, Any]) -> None:
    prices = {row["price"] for row in exchange.get("trades", symbol=SYMBOL, limit=1000)}
    assert payload["c"] in prices, f"no trade had the price {payload['c']}"
    _within(payload)


def _within(payload: dict[str, Any]) -> None:
    low, high = Decimal(payload["l"]), Decimal(payload["h"])
    assert low <= Decimal(payload["c"]) <= high
    assert low <= Decimal(payload["o"]) <= high


def _book_ticker(exchange: Exchange, payload: dict[str, Any]) -> None:
    book = exchange.get("depth", symbol=SYMBOL, limit=5)
    bid, ask = Decimal(payload["b"]), Decimal(payload["a"])
    assert 0 < bid < ask, f"bid {bid}, ask {ask}"
    near(bid, book["bids"][0][0])
    _reached(exchange, payload["u"])


def _reached(exchange: Exchange, update_id: int) -> None:
    """Fails unless REST's book reaches an update id: it follows the quickest stream by some moments."""
    assert update_id > 0
    try:
        until(lambda: exchange.get("depth", symbol=SYMBOL, limit=5)["lastUpdateId"] >= update_id, within_s=10)
    except TimeoutError as error:
        raise AssertionError(f"REST's book does not reach the update id {update_id}") from error


def _difference(exchange: Exchange, payload: dict[str, Any]) -> None:
    assert 0 < payload["U"] <= payload["u"]
    _reached(exchange, payload["u"])
    if exchange.market == "usdm":
        assert payload["pu"] < payload["u"]


def _partial(exchange: Exchange, payload: dict[str, Any]) -> None:
    bids, asks = payload["bids"], payload["asks"]
    assert Decimal(bids[0][0]) < Decimal(asks[0][0])
    assert [Decimal(it[0]) for it in bids] == sorted((Decimal(it[0]) for it in bids), reverse=True)
    assert [Decimal(it[0]) for it in asks] == sorted(Decimal(it[0]) for it in asks)
    book = exchange.get("depth", symbol=SYMBOL, limit=5)
    near(bids[0][0], book["bids"][0][0])
    _reached(exchange, payload["lastUpdateId"])


def _mark_price(exchange: Exchange, payload: dict[str, Any]) -> None:
    row = exchange.get("premiumIndex", symbol=SYMBOL)
    same(payload["T"], row["nextFundingTime"])
    near(payload["p"], row["markPrice"])
    near(payload["i"], row["indexPrice"])


def _average_price(exchange: Exchange, payload: dict[str, Any]) -> None:
    near(payload["w"], exchange.get("avgPrice", symbol=SYMBOL)["price"])


def _window(exchange: Exchange, payload: dict[str, Any]) -> None:
    same(payload["c"], exchange.trade(payload["L"])["price"])
    _within(payload)


def _liquidation(_: Exchange, payload: dict[str, Any]) -> None:
    order = payload["o"]
    assert order["S"] in {"BUY", "SELL"}
    assert Decimal(order["p"]) > 0
    assert Decimal(order["q"]) > 0


_CHECKS: Final[dict[str, Callable[[Exchange, dict[str, Any]], None]]] = {
    "aggTrade": _agg_trade,
    "trade": _trade,
    "kline": _kline,
    "continuous_kline": _kline,
    "24hrTicker": _ticker,
    "24hrMiniTicker": _mini_ticker,
    "1hTicker": _window,
    "4hTicker": _window,
    "1dTicker": _window,
    "bookTicker": _book_ticker,
    "depthUpdate": _difference,
    "partial": _partial,
    "markPriceUpdate": _mark_price,
    "avgPrice": _average_price,
    "forceOrder": _liquidation,
}


def near(value: Any, wanted: Any) -> None:
    """Fails where a price that moves is far from the one of a query."""
    assert abs(Decimal(str(value)) / Decimal(str(wanted)) - 1) < _NEAR, f"{value} is far from {wanted}"


def is_book(
    exchange: Exchange, bids: Sequence[Sequence[Any]], asks: Sequence[Sequence[Any]], levels: int = 20
) -> str | None:
    """None where the best levels of a book are REST's while the market stands, else the first difference."""
    book = exchange.get("depth", symbol=SYMBOL, limit=1000)
    for side, got in (("bids", bids), ("asks", asks)):
        wanted = [(Decimal(price), Decimal(size)) for price, size in book[side][:levels]]
        rows = [(Decimal(str(row[0])), Decimal(str(row[1]))) for row in got[:levels]]
        if rows != wanted:
            pairs = enumerate(zip(rows, wanted, strict=False))
            place = next((number for number, pair in pairs if len(set(pair)) > 1), 0)
            shown = f"{rows[place : place + 1]} instead of {wanted[place : place + 1]}"
            return f"{side}: level {place} of {len(rows)} differs: {shown}"
    return None
