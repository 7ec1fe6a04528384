"""The faults that can be ordered. `transforms.py` and the server apply them.

A JSON object whose `fault` is the name, e.g. `{"fault": "gap", "stream": "btcusdt@trade", "count": 5}`.
"""

from typing import Annotated, Literal, NamedTuple, TypeAlias, get_args

import msgspec
from msgspec import Meta

from flows.texts import refusal_in
from sources.replay.faults.budget import check_size
from sources.replay.faults.content_faults import AlteringFault
from sources.replay.faults.spec import (
    Count,
    Fault,
    FieldPath,
    Hex,
    HexDigits,
    Offset,
    Pattern,
    Span,
    StreamFault,
    Text,
    check_one_of,
    tag_of,
)

# --- faults of connections: applied at once --------------------------------------------------------------------------


class Drop(Fault, frozen=True):
    """Ends connections.

    {"fault": "drop", "client": 1, "close_code": 1008, "reason": "maintenance"}
    """

    client: int | None = None
    """Which one, by the id that the state shows; default all."""
    close_code: Annotated[int, Meta(ge=0, le=65_535)] | None = None
    """Code of the close frame, allowed or not; default none is sent and the TCP connection is reset."""
    reason: Annotated[str, Meta(max_length=123)] = ""
    """Text of the close frame, of which as much is sent as fits into 123 bytes."""
    reason_hex: Annotated[HexDigits, Meta(max_length=246)] = ""
    """The same as bytes, which need not be UTF-8; they follow the text."""


class HalfOpen(Fault, frozen=True):
    """Connections stay open, and nothing is sent on them any more: no data, no reply, no ping, no pong.

    {"fault": "half_open", "client": 1}
    """

    client: int | None = None
    """Which one; default all that are open now."""


class Shutdown(Fault, frozen=True):
    """Every client gets the notice of a shutdown and is closed afterwards. New connections are accepted.

    {"fault": "shutdown", "close_after_s": 5}
    """

    close_after_s: Annotated[float, Meta(ge=0, le=3_600)] = 0.0


class Send(Fault, frozen=True):
    r"""Clients get an unsolicited frame: name `text` or `hex`.

    {"fault": "send", "text": "{\"result\":null,\"id\":987654}"}
    """

    client: int | None = None
    """Which one; default all that are connected now."""
    text: Text | None = None
    hex: Hex | None = None
    binary: bool = False
    """As a binary frame."""
    times: Annotated[int, Meta(ge=1, le=100_000)] = 1

    def __post_init__(self) -> None:
        check_one_of(self, "text", "hex")
        check_size(len(self.payload) * self.times)

    @property
    def payload(self) -> bytes:
        """What one frame holds."""
        return bytes.fromhex(self.hex) if self.hex is not None else (self.text or "").encode()


# --- faults of the replies to requests on a WebSocket -----------------------------------------------------------------


class RefuseSubscribe(Fault, frozen=True):
    """SUBSCRIBE requests that name a matching stream are answered by an error, or acknowledged without effect.

    {"fault": "refuse_subscribe", "stream": "ethusdt@*", "form": "flat", "text": "Invalid symbol"}
    """

    stream: Pattern = "*"
    """Stream name; `*` stands for any characters. Of an acknowledged request the other streams are subscribed."""
    form: Literal["wrapped", "flat", "silent"] = "wrapped"
    """`wrapped`: `{"error":{"code":2,"msg":…},"id":1}`. `flat`: `{"code":2,"msg":…,"id":1}`. `silent`: an
    acknowledgement; the matching streams are not subscribed and never sent.
    """
    code: int = 2
    text: Text = ""
    """Of the error; default the venue's usual one."""
    count: Count | None = None
    """Requests; default until the faults are cleared."""


class OddReply(Fault, frozen=True):
    r"""The next requests of clients are executed and get another reply: name `text` or `hex`.

    {"fault": "odd_reply", "text": "{\"id\":{id},\"error\":{\"code\":{\"x\":1}}}"}
    """

    text: Text | None = None
    """`{id}` in it is the id of the request as JSON, of one that the exchange would refuse `null`. An empty text is an
    empty frame.
    """
    hex: Hex | None = None
    count: Count = 1
    insert: bool = False
    """Send it right before the true reply. Default: in its place."""

    def __post_init__(self) -> None:
        check_one_of(self, "text", "hex")


# --- faults of the message stream: applied to messages before these are delivered to clients -------------------------


class Silence(StreamFault, frozen=True):
    """The streams send nothing for a while, and everything else goes on.

    {"fault": "silence", "stream": "btcusdt@aggTrade", "for_ms": 60000}
    """

    for_ms: Span | None = None
    """Market time, from the first message that is dropped; default until the faults are cleared."""


class Gap(StreamFault, frozen=True):
    """The next messages are lost.

    {"fault": "gap", "stream": "btcusdt@aggTrade", "count": 5}
    """

    count: Count = 1


class Duplicate(StreamFault, frozen=True):
    """Each of the next messages is sent twice.

    {"fault": "duplicate", "stream": "btcusdt@aggTrade", "count": 5}
    """

    count: Count = 1


class Reorder(StreamFault, frozen=True):
    """A message changes places with the next one of its stream.

    {"fault": "reorder", "stream": "btcusdt@aggTrade"}
    """

    count: Count = 1
    """Pairs."""


class Late(StreamFault, frozen=True):
    """A message is held back until a number of others of its stream have passed, or for a time: name one of them.

    {"fault": "late", "stream": "btcusdt@aggTrade", "hold_ms": 3000}
    """

    hold_messages: Count | None = None
    hold_ms: Span | None = None
    """Market time."""
    count: Count = 1

    def __post_init__(self) -> None:
        if (self.hold_messages is None) == (self.hold_ms is None):
            raise ValueError("name either hold_messages or hold_ms")


class ClockSkew(Fault, frozen=True):
    """The exchange's clock is wrong by a constant: `E` of its messages and `serverTime`.

    {"fault": "clock_skew", "by_ms": -1270}
    """

    by_ms: Offset


# --- faults of REST --------------------------------------------------------------------------------------------------


AnswerForm: TypeAlias = Literal[
    "cut",
    "page",
    "times",
    "ids",
    "types",
    "empty",
    "null",
    "list",
    "utf8",
    "nested",
    "twice",
    "endless",
    "stalled",
    "field",
    "text",
]


class Refuse(Fault, frozen=True):
    """The next requests are answered with an error.

    {"fault": "refuse", "status": 503, "path": "/api/v3/klines", "count": 3}
    """

    status: Literal[400, 403, 418, 429, 500, 502, 503, 504]
    path: Pattern = "/"
    """Paths that begin so."""
    count: Count = 1
    retry_after_s: Annotated[int, Meta(ge=0, le=2**31)] = 1
    """Sent to the client as `Retry-After` with 418 and 429."""
    code: int = -1000
    text: Text = ""
    """The exchange's error text, sent with `code` as JSON; default the usual text of that status."""


class WrongAnswer(Fault, frozen=True):
    """The next answers of REST are wrong.

    {"fault": "wrong_answer", "path": "/api/v3/klines", "form": "times"}
    """

    path: Pattern = "/"
    """Paths that begin so."""
    count: Count | None = 1
    """Requests; null: until the faults are cleared."""
    form: AnswerForm = "cut"
    """`cut`: the second half is missing. `page`: HTML with status 200. `times`, `ids`: of rows outside the requested
    range. `types`: numbers are texts and texts are numbers. `empty`, `null`, `list` (`[]`): nothing. `utf8`: an
    invalid byte. `nested`: 100,000 brackets. `twice`: two bodies. `endless`: a body without end. `stalled`: half of
    it, then nothing until the client disconnects. `field`: `field` has the value `json`. `text`: the body is `text`.
    """
    field: FieldPath = ""
    """Path, as `symbols.*.status` or `0.4`."""
    json: Text = "null"
    """The value as JSON text; it need not be valid."""
    text: Text = ""

    def __post_init__(self) -> None:
        if (self.form == "field") != bool(self.field):
            raise ValueError('field goes with form "field"')


class StaleDepth(Fault, frozen=True):
    """Order book snapshots of REST stay as they are at this moment.

    {"fault": "stale_depth", "symbol": "BTCUSDT"}
    """

    symbol: Pattern | None = None
    """Default: of every symbol."""
    count: Count | None = None
    """Requests that get the old book; default until the faults are cleared."""


ConnectionFault: TypeAlias = Drop | HalfOpen | Shutdown | Send
OrderFault: TypeAlias = Silence | Gap | Duplicate | Reorder | Late
MessageFault: TypeAlias = OrderFault | AlteringFault | ClockSkew
ReplyFault: TypeAlias = RefuseSubscribe | OddReply
RestFault: TypeAlias = Refuse | StaleDepth | WrongAnswer
AnyFault: TypeAlias = ConnectionFault | MessageFault | ReplyFault | RestFault

FAULTS: tuple[type[Fault], ...] = get_args(AnyFault)
_DECODER: msgspec.json.Decoder[AnyFault] = msgspec.json.Decoder(AnyFault)


def decode_fault(body: bytes) -> AnyFault:
    """The fault that a JSON text describes; `ValueError` with the reason when it describes none."""
    try:
        return _DECODER.decode(body)
    except (msgspec.DecodeError, RecursionError) as error:
        names = ", ".join(tag_of(kind.__name__) for kind in FAULTS)
        reason = refusal_in(body, error, AnyFault)
        is_said = reason != str(error) and "`$.fault`" not in reason
        raise ValueError(reason if is_said else f"{error}; faults are {names}") from None


class Description(NamedTuple):
    """A fault, or another order, as the docs and the command line show it."""

    name: str
    summary: str
    """One line."""
    example: str
    """An order, as JSON."""


def describe(kind: type[msgspec.Struct]) -> Description:
    """The description of a kind of orders, from the first and the last line of its docstring."""
    lines = [line.strip() for line in (kind.__doc__ or "").strip().splitlines()]
    return Description(tag_of(kind.__name__), lines[0], lines[-1])
