"""Messages of the made-up market of `isolated.py`, changed into what cannot be true."""

import copy
from collections.abc import Iterator
from typing import Any

from tests.fakes.isolated import Message

HOUR, DAY = 3_600_000, 86_400_000
YEAR_3000 = 32_503_680_000_000
Falsehood = tuple[str, Message]
"""What is wrong, and the message."""


def falsehoods(message: Message) -> list[Falsehood]:
    """Everything that can be wrong with a message, one thing at a time."""
    makers = {"aggTrade": _trades, "kline": _klines, "24hrTicker": _tickers, "depthUpdate": _depths}
    changes = [*_any(message.data), *makers[message.data["e"]](message.data)]
    return [(name, message._replace(data=data)) for name, data in changes]


def _with(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return copy.deepcopy(data) | changes


def _inside(data: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return _with(data, k=data["k"] | changes)


def _any(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for ahead in (HOUR, DAY, 10 * DAY, YEAR_3000 - data["E"]):
        yield f"E {ahead:+}", _with(data, E=data["E"] + ahead)
    other = "ETHUSDT" if data["s"] == "BTCUSDT" else "BTCUSDT"
    for symbol in (other, "X17USDT", "", "<img src=x>", "../../x"):
        yield f"s {symbol}", _with(data, s=symbol)
    for kind in ("trade", "kline", "24hrTicker", "depthUpdate", "nothing", ""):
        if kind != data["e"]:
            yield f"e {kind}", _with(data, e=kind)
    for name in data:
        if name not in {"M", "P", "Q", "F", "e"}:
            yield f"{name} null", _with(data, **{name: None})
            yield f"{name} nested", _with(data, **{name: {"x": []}})


def _trades(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for shift in (9_000, HOUR, 10 * DAY, YEAR_3000 - data["T"], -HOUR, -2 * DAY):
        yield f"T {shift:+}", _with(data, T=data["T"] + shift)
    for shift in (6_000, HOUR, DAY, -HOUR, -2 * DAY):
        yield f"T and E {shift:+}", _with(data, T=data["T"] + shift, E=data["E"] + shift)
    for shift in (3, 50, 500, 10**6, 2**53, -3, -50, -(10**6)):
        yield f"a {shift:+}", _with(data, a=max(0, data["a"] + shift))
    yield "f > l", _with(data, f=data["l"] + 5)
    yield "l + 2^53", _with(data, l=data["l"] + 2**53)
    yield "f - 3", _with(data, f=data["f"] - 3)
    yield "f, l + 10^9", _with(data, f=data["f"] + 10**9, l=data["l"] + 10**9)
    yield "f, l 0", _with(data, f=0, l=0)
    for text in ("0", "-5", "NaN", "inf", "1e400", "x", ""):
        yield f"p {text}", _with(data, p=text)
        yield f"q {text}", _with(data, q=text)


def _klines(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    k = data["k"]
    for shift in (1, HOUR, DAY, -HOUR, -DAY):
        yield f"t {shift:+}", _inside(data, t=k["t"] + shift)
        yield f"t and T {shift:+}", _inside(data, t=k["t"] + shift, T=k["T"] + shift)
    if not k["x"]:
        yield "x", _inside(data, x=True)
    yield "L + 2^53", _inside(data, L=k["L"] + 2**53)
    yield "L and n + 2^53", _inside(data, L=k["L"] + 2**53, n=k["n"] + 2**53)
    yield "L and n + 5", _inside(data, L=k["L"] + 5, n=k["n"] + 5)
    yield "L + 5", _inside(data, L=k["L"] + 5)
    yield "n + 1", _inside(data, n=k["n"] + 1)
    yield "f - 9", _inside(data, f=k["f"] - 9)
    for name, text in (("h", "1"), ("l", "9999"), ("o", "0"), ("v", "1e9"), ("q", "1"), ("V", "1e12"), ("c", "1e9")):
        yield f"{name} {text}", _inside(data, **{name: text})
    yield "i", _inside(data, i="5m" if k["i"] == "1m" else "1m")


def _tickers(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "c 1", _with(data, c="1")
    yield "c 1e9", _with(data, c="1e9")
    yield "L + 2^53", _with(data, L=data["L"] + 2**53)
    yield "L + 9", _with(data, L=data["L"] + 9)
    yield "O 0", _with(data, O=0)
    yield "C + 1 d", _with(data, C=data["C"] + DAY)
    yield "n -5", _with(data, n=-5)
    yield "v 1", _with(data, v="1e12")


def _depths(data: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for shift in (50, 2**53, -50, -5_000):
        yield f"U and u {shift:+}", _with(data, U=data["U"] + shift, u=data["u"] + shift)
    yield "u + 2^53", _with(data, u=data["u"] + 2**53)
    yield "U > u", _with(data, U=data["u"] + 9)
    yield "price -1", _with(data, b=[["-1", "1"]])
    yield "quantity -1", _with(data, b=[["99.0", "-1"]])
    yield "20,000 levels", _with(data, b=[[f"{price / 100}", "1"] for price in range(1, 20_001)])
