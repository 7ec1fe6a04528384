"""Names of Coinbase's lines and streams. The venue does not name streams: a message has a type and a product."""

from typing import Final

NAME: Final = "coinbase"
"""The venue."""
MARKET_LINE: Final = "market"
"""The Exchange feed: trades, the newest trade id each second, tickers."""
BOOKS_LINE: Final = "books"
"""The Advanced Trade feed: books, in numbered messages."""
HEARTBEATS: Final = "heartbeats"
"""The channel of the Advanced feed that is a sign of life: one message a second."""
SUBSCRIBE_HEARTBEATS: Final = {"type": "subscribe", "channel": HEARTBEATS}
"""The request for it."""
SYMBOL_LENGTH: Final = 64

_KINDS: Final = {
    b'{"type":"match"': "trade",
    b'{"type":"last_match"': "trade",
    b'{"type":"heartbeat"': "heartbeat",
    b'{"type":"ticker"': "ticker",
    b'{"channel":"l2_data"': "depth",
    b'{"channel":"market_trades"': "trade",
}
"""Kinds of streams by the begin of their messages."""
_BEAT: Final = b'{"channel":"heartbeats"'
_PRODUCT: Final = b'"product_id":"'
_HEAD: Final = 512
"""Bytes within which the product of a message begins."""


def stream_name(symbol: str, kind: str) -> str:
    """The name of a stream of a symbol."""
    return f"{symbol}@{kind}"


def name_in(frame: bytes) -> str:
    """The stream of a message, by its type and first product; empty for a frame that is no data. Never raises."""
    kind = _KINDS.get(frame[: frame.find(b",", 0, 32)])
    begin = frame.find(_PRODUCT, 0, _HEAD) + len(_PRODUCT)
    end = frame.find(b'"', begin, begin + SYMBOL_LENGTH)
    if kind is None or begin < len(_PRODUCT) or end < 0:
        return ""
    return stream_name(frame[begin:end].decode(errors="replace"), kind)


def stream_in(frame: bytes) -> str:
    """The same, and `HEARTBEATS` for the sign of life of the Advanced feed."""
    return name_in(frame) or (HEARTBEATS if frame.startswith(_BEAT) else "")


def symbols_of(streams: tuple[str, ...], kind: str) -> list[str]:
    """The symbols of the streams of a kind."""
    found = (name.rpartition("@") for name in streams)
    return [symbol for symbol, _, of in found if of == kind]
