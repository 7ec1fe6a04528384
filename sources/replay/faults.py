"""The faults that can be ordered: what they are and how they are written. `tampering.py` and the server commit them.

Written as JSON objects whose `fault` says which one, e.g. `{"fault": "gap", "stream": "btcusdt@trade", "count": 5}`.
"""

import re
from typing import Annotated, Literal, TypeAlias, get_args

import msgspec
from msgspec import Meta, Struct

Count = Annotated[int, Meta(ge=1)]
Span = Annotated[int, Meta(ge=1)]


def _tag(name: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()


class Fault(Struct, frozen=True, forbid_unknown_fields=True, tag_field="fault", tag=_tag, kw_only=True):
    """Something that goes wrong on demand."""


# --- faults of connections: they happen at once ----------------------------------------------------------------------


class Drop(Fault, frozen=True):
    """Ends connections."""

    client: int | None = None
    """Which one, by the id that the state shows; default all."""
    close_code: Annotated[int, Meta(ge=1000, le=4999)] | None = None
    """Code of the close frame; default none is sent and the TCP connection is reset."""


class HalfOpen(Fault, frozen=True):
    """Connections stay open, and nothing is sent on them any more: no data, no reply, no ping, no pong."""

    client: int | None = None
    """Which one; default all that are open now."""


class Shutdown(Fault, frozen=True):
    """Every client is told that the server shuts down, and is cut afterwards. New connections are accepted."""

    close_after_s: Annotated[float, Meta(ge=0)] = 0.0


# --- faults of the message stream: they happen to messages, before these are handed to the clients --------------------


class StreamFault(Fault, frozen=True):
    """A fault of the messages whose stream matches a pattern."""

    stream: str = "*"
    """Stream name; `*` stands for any characters, as in `*@depth*`."""
    after: Annotated[int, Meta(ge=0)] = 0
    """Matching messages that are left alone first."""


class Silence(StreamFault, frozen=True):
    """The streams say nothing for a while, and everything else goes on."""

    for_ms: Span | None = None
    """Market time, from the first message that is swallowed; default until the faults are cleared."""


class Gap(StreamFault, frozen=True):
    """The next messages are lost."""

    count: Count = 1


class Duplicate(StreamFault, frozen=True):
    """Each of the next messages comes twice."""

    count: Count = 1


class Reorder(StreamFault, frozen=True):
    """A message changes places with the next one of its stream."""

    count: Count = 1
    """Pairs."""


class Late(StreamFault, frozen=True):
    """A message is held back until so many others of its stream have passed, or for so long: name one of them."""

    hold_messages: Count | None = None
    hold_ms: Span | None = None
    """Market time."""
    count: Count = 1

    def __post_init__(self) -> None:
        if (self.hold_messages is None) == (self.hold_ms is None):
            raise ValueError("name either hold_messages or hold_ms")


class Malformed(StreamFault, frozen=True):
    """The next messages are spoiled."""

    count: Count = 1
    form: Literal["cut", "text", "nan"] = "cut"
    """`cut`: the second half is missing. `text`: no JSON at all. `nan`: its first number in quotes is none."""


class ClockSkew(Fault, frozen=True):
    """The exchange's clock is wrong by so much: `E` of its messages and `serverTime`."""

    by_ms: int


# --- faults of REST --------------------------------------------------------------------------------------------------


class Refuse(Fault, frozen=True):
    """The next requests are answered with an error."""

    status: Literal[403, 418, 429, 500, 502, 503, 504]
    path: str = "/"
    """Paths that begin so."""
    count: Count = 1
    retry_after_s: Annotated[int, Meta(ge=0)] = 1
    """Told to the client with 418 and 429."""


class StaleDepth(Fault, frozen=True):
    """Order book snapshots of REST stay as they are at this moment."""

    symbol: str | None = None
    """Default: of every symbol."""
    count: Count | None = None
    """Requests that get the old one; default until the faults are cleared."""


ConnectionFault: TypeAlias = Drop | HalfOpen | Shutdown
MessageFault: TypeAlias = Silence | Gap | Duplicate | Reorder | Late | Malformed | ClockSkew
RestFault: TypeAlias = Refuse | StaleDepth
AnyFault: TypeAlias = ConnectionFault | MessageFault | RestFault

_DECODER: msgspec.json.Decoder[AnyFault] = msgspec.json.Decoder(AnyFault)


def decode_fault(body: bytes) -> AnyFault:
    """The fault that a JSON text describes; `ValueError` says what is wrong with it."""
    try:
        return _DECODER.decode(body)
    except msgspec.DecodeError as error:
        names = ", ".join(_tag(kind.__name__) for kind in get_args(AnyFault))
        raise ValueError(f"{error}; faults are {names}") from None
