"""Raw frames in a topic: the value is the frame as the venue sent it, and headers say where it is from.

    key      binance:BTCUSDT
    headers  version 1 · venue binance · line market · received 1722000000000000000
    value    {"stream":"btcusdt@aggTrade","data":{…}}

The key is the instrument, so that its frames are in one partition and in order; a frame of no single instrument has the
venue alone. What a topic contains is a claim, as any program may have written it: `frame_of` refuses all that is not of
this form.
"""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from flows.foreign import quoted
from flows.model import Instrument

VERSION: Final = b"1"
MOST_BYTES: Final = 16_000_000
"""Longest frame that is taken, bytes; the venue's parser has a bound of its own, which is lower."""
_LONGEST_TIME: Final = 19
"""Digits of nanoseconds since the epoch, until the year 2286."""


class Frame(NamedTuple):
    """One raw message of a venue."""

    line: str
    """The venue's line; "" where the message does not say it, as of a recording."""
    payload: bytes
    received_ns: int
    """Local wall clock of who received it, ns since the epoch."""


class NotAFrame(ValueError):  # noqa: N818 - it is a judgement of one message
    """A message of the topic is no frame of the venue; the text says why."""


def headers_of(venue: str, line: str, received_ns: int) -> list[tuple[str, str | bytes | None]]:
    """The headers of a frame."""
    named: list[tuple[str, str | bytes | None]] = [("version", VERSION), ("venue", venue.encode())]
    if line:
        named.append(("line", line.encode()))
    named.append(("received", b"%d" % received_ns))
    return named


def key_of(venue: str, symbol: str) -> bytes:
    """The key of a frame of an instrument; of no single one where `symbol` is empty."""
    return (Instrument(venue, symbol).key if symbol else venue).encode()


def frame_of(venue: bytes, headers: Iterable[tuple[str, Any]] | None, value: bytes | None) -> Frame:
    """The frame that a message is. `NotAFrame` for one of another form, version or venue."""
    if not value:
        raise NotAFrame("it has no value" if value is None else "it is empty")
    if len(value) > MOST_BYTES:
        raise NotAFrame(f"it has {len(value)} bytes")
    found = dict(headers or ())
    version = found.get("version")
    if version != VERSION:
        raise NotAFrame(
            "it has no header version" if version is None else f"it is of another version: {_shown(version)}"
        )
    if (named := found.get("venue")) != venue:
        raise NotAFrame("it has no header venue" if named is None else f"it is of another venue: {_shown(named)}")
    received = found.get("received") or b""
    if not received.isdigit() or len(received) > _LONGEST_TIME:
        raise NotAFrame("its header received is no number of nanoseconds")
    line = found.get("line") or b""
    if not line.isascii():
        raise NotAFrame("its header line is no name")
    return Frame(line.decode(), value, int(received))


def _shown(value: bytes) -> str:
    return quoted(value[:40].decode(errors="replace"), by="the message")
