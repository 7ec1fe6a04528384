"""From a message of the market to a WebSocket frame: raw or in the envelope, in milliseconds or microseconds.

Clients with the same encoding share the frame: a message is encoded once for each encoding in use.
"""

import re
from typing import NamedTuple

from flows.websocket import BINARY, TEXT, encode_frame
from sources.replay.market.market import Message


class Encoding(NamedTuple):
    """The encoding of a client's messages."""

    combined: bool
    microseconds: bool

    def frame(self, message: Message) -> bytes:
        """The WebSocket frame of one message."""
        return encode_message(message, self)


# A millisecond time has thirteen digits from 2001 to 2286, and ids of that many digits stand under other keys.
_TIMES = re.compile(rb'("[ETOC]":\d{13})(?!\d)')
_KLINE_TIMES = re.compile(rb'("[Et]":\d{13})(?!\d)')
_KLINE_END = re.compile(rb'("T":\d{13})(?!\d)')


def encode_message(message: Message, encoding: Encoding) -> bytes:
    """The WebSocket frame of one message."""
    if message.frame is not None:
        return encode_frame(message.frame, BINARY if message.is_binary else TEXT)
    data = in_microseconds(message) if encoding.microseconds else message.data
    return encode_frame(enveloped(message, data) if encoding.combined else data)


def enveloped(message: Message, data: bytes) -> bytes:
    """A payload in the combined envelope."""
    name = message.stream.encode() if message.name is None else message.name
    return b'{"stream":"%b","data":%b}' % (name, data)


def in_microseconds(message: Message) -> bytes:
    """The payload with every time in microseconds. A kline's close time is its last microsecond."""
    if "@kline_" in message.stream:
        return _KLINE_END.sub(rb"\g<1>999", _KLINE_TIMES.sub(rb"\g<1>000", message.data))
    return _TIMES.sub(rb"\g<1>000", message.data)


def shutdown_notice(at_ms: int) -> Message:
    """The exchange's notice that it will close the connection soon."""
    return Message(at_ms, "!serverShutdown", b'{"e":"serverShutdown","E":%d}' % at_ms)
