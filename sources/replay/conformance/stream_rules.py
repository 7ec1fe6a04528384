"""The checklist's rules of what streams bring, judged by what was received."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

from sources.replay.conformance.peer import Peer
from sources.replay.conformance.rules import (
    Rule,
    UnseenError,
    require,
    require_consecutive,
    require_decimals,
    require_fields,
    require_rising,
    some,
)

AREA: Final = "streams"
SLOWEST: Final = {"spot": ("@depth", 1_000), "usdm": ("@depth@500ms", 500)}
"""A stream of books, and the ms between its messages."""
_TOLERANCE: Final = 0.8
"""Share of that time which two messages are at least apart."""
_MINUTE_MS: Final = 60_000
_EVENT: Final = {"e": str, "E": int, "s": str}
_AGGREGATE: Final = _EVENT | {"a": int, "p": str, "q": str, "f": int, "l": int, "T": int, "m": bool}
_KLINE: Final = {
    "t": int, "T": int, "s": str, "i": str, "f": int, "L": int, "o": str, "c": str, "h": str, "l": str, "v": str,
    "n": int, "x": bool, "q": str, "V": str, "Q": str,
}  # fmt: skip
_TICKER: Final = ("p", "P", "w", "c", "Q", "o", "h", "l", "v", "q")
_BEST: Final = {"u": int, "s": str, "b": str, "B": str, "a": str, "A": str}
_DEPTH: Final = _EVENT | {"U": int, "u": int, "b": list, "a": list}
_FIRST_LEVELS: Final = 5


def streams_of(market: str, symbol: str) -> list[str]:
    """The streams that the rules judge."""
    kinds = [
        "@aggTrade",
        "@trade",
        "@kline_1m",
        "@ticker",
        "@bookTicker",
        "@depth@100ms",
        "@depth5",
        SLOWEST[market][0],
    ]
    if market == "usdm":
        kinds.append("@markPrice@1s")
    return [symbol.lower() + kind for kind in dict.fromkeys(kinds)]


def _messages_of(peer: Peer, kind: str, least: int = 1) -> Sequence[dict[str, Any]]:
    stream = peer.symbol.lower() + kind
    messages = some(peer.seen.of(stream), stream, least)
    for message in messages:
        require("s" not in message or message["s"] == peer.symbol, f"{stream} has another symbol", message)
    return messages


async def _aggregates(peer: Peer) -> None:
    messages = _messages_of(peer, "@aggTrade", 2)
    for one in messages:
        require_fields(one, _AGGREGATE)
        require(one["e"] == "aggTrade" and one["f"] <= one["l"], "no aggregate", one)
        require(one["T"] <= one["E"], "the trade is later than its message", one)
    require_consecutive([one["a"] for one in messages], "ids of aggregates")
    for before, after in pairwise(messages):
        follows = after["f"] == before["l"] + 1 if peer.market == "spot" else after["f"] > before["l"]
        require(follows, "the fills do not follow", [before, after])


async def _trades(peer: Peer) -> None:
    messages = _messages_of(peer, "@trade", 2)
    for one in messages:
        require_fields(one, _EVENT | {"t": int, "p": str, "q": str, "T": int, "m": bool})
    require_rising([one["t"] for one in messages], "ids of trades")


async def _klines(peer: Peer) -> None:
    messages = _messages_of(peer, "@kline_1m")
    for one in messages:
        require_fields(one, _EVENT | {"k": dict})
        kline = one["k"]
        require_fields(kline, _KLINE)
        is_minute = kline["t"] % _MINUTE_MS == 0 and kline["T"] == kline["t"] + _MINUTE_MS - 1 and kline["i"] == "1m"
        require(is_minute, "the kline is not of one minute", one)
        if kline["n"]:
            require(
                kline["n"] == kline["L"] - kline["f"] + 1 or peer.market == "usdm", "n is not what the ids say", one
            )
        else:
            require(kline["f"] == kline["L"] == -1, "a kline without trades has ids", one)


async def _ticker(peer: Peer) -> None:
    for one in _messages_of(peer, "@ticker"):
        require_fields(one, _EVENT | {"O": int, "C": int, "F": int, "L": int, "n": int})
        require_decimals(one, _TICKER)
        require(float(one["l"]) <= float(one["c"]) <= float(one["h"]), "the last price is beyond high and low", one)
        require(("x" in one) == (peer.market == "spot"), "x is of spot alone", one)


async def _best(peer: Peer) -> None:
    messages = _messages_of(peer, "@bookTicker", 2)
    for one in messages:
        require_fields(one, _BEST)
        bid, ask = float(one["b"]), float(one["a"])
        require(bid < ask or not (bid and ask), "bid and ask cross", one)
        require(("e" in one) == (peer.market == "usdm"), "an event type is of USD-M alone", one)
    require_rising([one["u"] for one in messages], "update ids")


def _chained(peer: Peer, messages: Sequence[dict[str, Any]]) -> None:
    for one in messages:
        require_fields(one, _DEPTH if peer.market == "spot" else _DEPTH | {"T": int, "pu": int})
        require(one["U"] <= one["u"], "U is above u", one)
        for price, quantity in [*one["b"], *one["a"]]:
            require(isinstance(price, str) and isinstance(quantity, str), "a level is no pair of texts", one)
    for before, after in pairwise(messages):
        follows = after["U"] == before["u"] + 1 if peer.market == "spot" else after["pu"] == before["u"]
        ids = [before["U"], before["u"], after["U"], after["u"], after.get("pu")]
        require(follows, "a difference does not follow the one before", ids)


async def _books(peer: Peer) -> None:
    _chained(peer, _messages_of(peer, "@depth@100ms", 2))


async def _snapshot(peer: Peer) -> None:
    messages = _messages_of(peer, "@depth@100ms", 2)
    last = peer.seen.snapshot.get("lastUpdateId")
    if last is None or messages[-1]["u"] < last:
        raise UnseenError("no difference came behind the book of REST")
    require(
        messages[0]["U"] <= last + 1, "the book of REST is older than what was received before it was queried", last
    )
    joins = [one for one in messages if one["U"] <= last <= one["u"] or one["U"] <= last + 1 <= one["u"]]
    spans = [(one["U"], one["u"]) for one in messages[-3:]]
    is_between = peer.market == "usdm" and any(a["u"] <= last < b["U"] for a, b in pairwise(messages))
    require(bool(joins) or is_between, f"no difference joins the book of REST at {last}", spans)


async def _partial(peer: Peer) -> None:
    sides = ("bids", "asks") if peer.market == "spot" else ("b", "a")
    for one in _messages_of(peer, "@depth5"):
        if peer.market == "spot":
            require(not one.keys() & {"e", "E", "s"}, "a partial book of spot has no event", one)
            require_fields(one, {"lastUpdateId": int})
        for side in sides:
            require(len(one[side]) <= _FIRST_LEVELS, "more than five levels", one)


async def _speed(peer: Peer) -> None:
    kind, every_ms = SLOWEST[peer.market]
    messages = _messages_of(peer, kind, 2)
    _chained(peer, messages)
    for before, after in pairwise(messages):
        apart = after["E"] - before["E"]
        require(apart >= every_ms * _TOLERANCE, f"two messages are {apart} ms apart, not {every_ms}")


async def _marks(peer: Peer) -> None:
    for one in _messages_of(peer, "@markPrice@1s"):
        require_fields(one, _EVENT | {"T": int})
        require_decimals(one, ("p", "i", "r"))


RULES: Final = (
    Rule(AREA, "aggTrade has every id once, and fills that follow", _aggregates),
    Rule(AREA, "trade has rising ids", _trades),
    Rule(AREA, "kline is of one minute and agrees with its ids", _klines),
    Rule(AREA, "ticker has the figures of a day", _ticker),
    Rule(AREA, "bookTicker rises and never crosses", _best),
    Rule(AREA, "depth@100ms has no gap", _books),
    Rule(AREA, "depth@100ms joins the book of REST", _snapshot),
    Rule(AREA, "depth5 is the first five levels", _partial),
    Rule(AREA, "the slowest depth comes at its own speed, with ids of its own", _speed),
)
"""Of both markets."""

USDM_RULES: Final = (Rule(AREA, "markPrice@1s has mark price, index price and funding rate", _marks),)
