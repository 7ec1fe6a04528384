"""Binance's binary streams of spot: messages of the market as SBE, schema 1 version 0 (`stream_1_0.xml`).

Source: Binance's `sbe-market-data-streams`. A message that SBE cannot express, as faults make them, is sent as the text
that it is.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
from msgspec import Struct

from flows.websocket import BINARY, TEXT, encode_frame
from sources.replay.market.market import Message
from sources.replay.protocol.conversation import Joining
from sources.replay.protocol.frames import enveloped

SPEED: Final = "@100ms"
"""Books are sent as often as the market has them; the exchange's every 20 ms, partial ones every 50."""
STREAMS: Final = {
    "trade": "trade",
    "bestBidAsk": "bookTicker",
    "depth": f"depth{SPEED}",
    "depth20": f"depth20{SPEED}",
}
"""Kinds of binary streams, and the market's stream of the same content."""

_SCHEMA, _VERSION = 1, 0
_DECIMALS = 8
"""Decimals of all mantissas."""
_DECIMAL = re.compile(rf"(\d+)(?:\.(\d{{1,{_DECIMALS}}}))?")
_MICROSECONDS_FROM = 10**14
_EXPONENTS = struct.pack("<bb", -_DECIMALS, -_DECIMALS)
_GROUP, _LARGE_GROUP = struct.Struct("<HH"), struct.Struct("<HI")
_TRADE, _LEVEL = struct.Struct("<qqqB"), struct.Struct("<qq")
_CONVERSIONS = (msgspec.MsgspecError, ValueError, struct.error, RecursionError)
"""What a payload raises that SBE cannot express."""

_Texts = tuple[str, str]


class _Trade(Struct):
    E: int
    s: str
    t: int
    p: str
    q: str
    T: int
    m: bool


class _Best(Struct):
    u: int
    s: str
    b: str
    B: str
    a: str
    A: str


class _Difference(Struct):
    E: int
    s: str
    U: int
    u: int
    b: list[_Texts]
    a: list[_Texts]


class _Book(Struct, rename="camel"):
    last_update_id: int
    bids: list[_Texts]
    asks: list[_Texts]


@dataclass(frozen=True)
class SbeEncoding(Joining):
    """The encoding of a client of the binary streams. Trades of one moment share a message."""

    combined: bool
    """Whether texts come in an envelope; binary messages never do."""

    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one message."""
        return self.joined([message])

    def key(self, message: Message) -> object:
        """Messages of a stream that follow one another with the same key share a frame; None: this one is alone."""
        if message.frame is not None or not message.stream.endswith("@trade"):
            return None
        try:
            trade = msgspec.json.decode(message.data, type=_Trade)
        except _CONVERSIONS:
            return None
        return trade.E, trade.T, message.name

    def joined(self, messages: Sequence[Message]) -> bytes:
        """The WebSocket frame of messages with the same key."""
        first = messages[0]
        if first.frame is not None:
            return encode_frame(first.frame, BINARY if first.is_binary else TEXT)
        try:
            return encode_frame(_encoded(messages), BINARY)
        except _CONVERSIONS:
            texts = (enveloped(each, each.data) if self.combined else each.data for each in messages)
            return b"".join(map(encode_frame, texts))


def market_stream(name: str) -> str:
    """The market's stream with the content of a binary one; empty for a name of none."""
    symbol, _, kind = name.partition("@")
    return f"{symbol}@{STREAMS[kind]}" if kind in STREAMS else ""


def _encoded(messages: Sequence[Message]) -> bytes:
    first = messages[0]
    kind = first.stream.partition("@")[2]
    if kind == "trade":
        symbol, body = _trades([msgspec.json.decode(each.data, type=_Trade) for each in messages])
    elif kind == STREAMS["bestBidAsk"]:
        symbol, body = _best(msgspec.json.decode(first.data, type=_Best), first.due_ms)
    elif kind == STREAMS["depth"]:
        symbol, body = _difference(msgspec.json.decode(first.data, type=_Difference))
    elif kind == STREAMS["depth20"]:
        symbol = first.stream.partition("@")[0].upper()
        body = _snapshot(msgspec.json.decode(first.data, type=_Book), first.due_ms)
    else:
        raise ValueError("no binary stream")
    if first.name is not None:
        symbol = first.name.decode().partition("@")[0].upper()
    name = symbol.encode()
    return body + struct.pack("<B", len(name)) + name


def _message(template: int, root: bytes, *groups: bytes) -> bytes:
    return struct.pack("<HHHH", len(root), template, _SCHEMA, _VERSION) + root + b"".join(groups)


def _trades(trades: Sequence[_Trade]) -> tuple[str, bytes]:
    first = trades[0]
    root = struct.pack("<qq", _micros(first.E), _micros(first.T)) + _EXPONENTS
    rows = [_TRADE.pack(trade.t, _mantissa(trade.p), _mantissa(trade.q), trade.m) for trade in trades]
    return first.s, _message(10_000, root, _LARGE_GROUP.pack(_TRADE.size, len(rows)), *rows)


def _best(best: _Best, at_ms: int) -> tuple[str, bytes]:
    root = struct.pack("<qq", _micros(at_ms), best.u) + _EXPONENTS
    return best.s, _message(10_001, root + struct.pack("<qqqq", *map(_mantissa, (best.b, best.B, best.a, best.A))))


def _snapshot(book: _Book, at_ms: int) -> bytes:
    root = struct.pack("<qq", _micros(at_ms), book.last_update_id) + _EXPONENTS
    return _message(10_002, root, *_levels(book.bids), *_levels(book.asks))


def _difference(update: _Difference) -> tuple[str, bytes]:
    root = struct.pack("<qqq", _micros(update.E), update.U, update.u) + _EXPONENTS
    return update.s, _message(10_003, root, *_levels(update.b), *_levels(update.a))


def _levels(levels: Sequence[_Texts]) -> Iterable[bytes]:
    yield _GROUP.pack(_LEVEL.size, len(levels))
    yield from (_LEVEL.pack(_mantissa(price), _mantissa(quantity)) for price, quantity in levels)


def _micros(time: int) -> int:
    """A time in microseconds; tapes may have it so already."""
    return time if time >= _MICROSECONDS_FROM else time * 1_000


def _mantissa(text: str) -> int:
    """`ValueError` for what is no decimal of the exchange."""
    found: Any = _DECIMAL.fullmatch(text)
    if found is None:
        raise ValueError("no decimal")
    whole, places = found.groups("")
    return int(whole + places.ljust(_DECIMALS, "0"))
