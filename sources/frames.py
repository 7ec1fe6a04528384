"""Decoding frames of a poll together, and the reasons why one cannot be read: the same for every venue's parser."""

from collections.abc import Callable
from typing import Any, Generic, NoReturn, TypeVar

import msgspec

from flows.foreign import DECODER, quoted
from flows.model import StreamNames

KEPT_BYTES = 4_096
"""Bytes of a rejected message that are kept."""
MOST_BYTES = 1_000_000
"""Longest frame that is parsed, bytes, where the venue sends no longer ones."""
USUAL_BYTES = 4_000
"""Length of a usual frame: a poll of more than its longest frame and this per frame is parsed frame by frame."""
_BEGIN, _END = b"{}"
UNREADABLE = msgspec.MsgspecError, ValueError, RecursionError
"""What a decoder raises for a frame that it cannot read."""

MOST_CONNECTIONS = 256
"""Connections of which a parser remembers what their streams mean; one more, and all are learnt anew."""

M = TypeVar("M")
C = TypeVar("C")


class OfConnections(Generic[C]):
    """What a parser has learnt of the streams of each connection: a venue may have several, and their frames come in
    turns. It is forgotten when the subscriptions of the connection change.
    """

    def __init__(self, learn: Callable[[StreamNames | None], C]) -> None:
        self._learn = learn
        self._known: dict[int, tuple[StreamNames | None, C]] = {}
        """By identity: to compare hundreds of names at each poll would cost more than it saves."""

    def of(self, streams: StreamNames | None) -> C:
        """What is known of a connection with these streams."""
        known = self._known.get(id(streams))
        if known is None:
            if len(self._known) >= MOST_CONNECTIONS:
                self._known.clear()
            known = self._known[id(streams)] = streams, self._learn(streams)  # kept, so its identity stays its own
        return known[1]


def message_in(frame: bytes) -> dict[str, Any] | None:
    """The object that a frame is; None for any other, and for one that cannot be read: the parser rejects and reports
    that.
    """
    try:
        message: Any = msgspec.json.decode(frame)
    except Exception:  # noqa: BLE001 - malformed, not UTF-8, nested too deeply
        return None
    return message if isinstance(message, dict) else None


def word_of(value: Any) -> str:
    """A value of the venue as text, whatever its type."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, int | float | None) else "…"


def lines_of(message: Any) -> Callable[[bytes], Any]:
    """A decoder of messages of a type, one in a line; numbers may be quoted."""
    return msgspec.json.Decoder(message, strict=False).decode_lines


def decoded(
    decode_lines: Callable[[bytes], list[M]], payloads: list[bytes], *, most_bytes: int = MOST_BYTES
) -> list[M]:
    """The messages of frames, one of each, decoded together; `ValueError` when they are too long, or one is anything
    else than one object, and what the decoder raises.

    To the decoder two objects in one line are two messages, and an empty line is none. As every frame here begins and
    ends with a brace, what stands open at its end cannot go on in the next one: so none has less than one message, and
    none more when their number is right.
    """
    joined = b"\n".join(payloads)
    if len(joined) > most_bytes + USUAL_BYTES * len(payloads):
        raise ValueError("frames that are too long")
    if [one for one in payloads if not one or one[0] != _BEGIN or one[-1] != _END]:
        raise ValueError("frames that are no object")
    messages = decode_lines(joined)
    if len(messages) != len(payloads):
        raise ValueError("frames of several objects")
    return messages


def too_long(payload: bytes) -> NoReturn:
    """`ValueError` with the reason."""
    raise ValueError(f"a frame of {len(payload)} bytes")


def reason_of(error: Exception) -> str:
    """Why a frame cannot be read."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    return quoted(str(error) or type(error).__name__, by=DECODER)
