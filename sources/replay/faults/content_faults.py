"""Faults of message contents: readable and wrong, or not readable at all. `contents.py` applies them.

Each sends its wrong message in place of the true one, or with `insert` right before it.
"""

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta

from sources.replay.faults.budget import MEGABYTE, check_size
from sources.replay.faults.spec import ContentFault, FieldPath, FieldPaths, Hex, Offset, Text, check_one_of

LEVEL_BEGINS = {"arrays": b"[", "envelopes": b'{"stream":"x","data":', "payload": b"["}
LEVEL_ENDS = {"arrays": b"]", "envelopes": b"}", "payload": b"]"}
"""Of one level of `Nested`, by form."""

BookForms: TypeAlias = Literal["crossed", "negative", "huge", "many", "doubled", "jump", "reversed"]


class Malformed(ContentFault, frozen=True, kw_only=True):
    """The next messages cannot be parsed.

    {"fault": "malformed", "stream": "btcusdt@trade", "form": "nan"}
    """

    form: Literal["cut", "text", "nan"] = "cut"
    """`cut`: the second half is missing. `text`: no JSON at all. `nan`: its first number in quotes is `NaN`."""


class WrongTime(ContentFault, frozen=True, kw_only=True):
    """The times of the next messages are shifted.

    {"fault": "wrong_time", "stream": "btcusdt@aggTrade", "by_ms": 31536000000, "fields": ["T"]}
    """

    by_ms: Offset
    fields: FieldPaths | None = None
    """Which of them, as paths: `E` event, `T` trade, `k.t` and `k.T` begin and end of a kline, `data.*.timestamp`.
    Default all that the venue's messages have.
    """


class WrongId(ContentFault, frozen=True, kw_only=True):
    """Ids of the next messages are wrong by a constant.

    {"fault": "wrong_id", "stream": "btcusdt@aggTrade", "fields": ["a", "f", "l"], "by": 9007199254740992}
    """

    fields: FieldPaths
    """As paths: `a`, `f`, `l`, `t`, `U`, `u`, `pu`, `lastUpdateId`, `k.f`, `k.L`, `k.n`, `L`, `F`, `n`."""
    by: Offset


class WrongValue(ContentFault, frozen=True, kw_only=True):
    """A field of the next messages has another value: name `text`, `json` or `times`.

    {"fault": "wrong_value", "stream": "btcusdt@aggTrade", "field": "p", "text": "1e400"}
    """

    field: FieldPath
    """As a path: `p`, `q`, `s`, `k.h`, `b.0.1`."""
    text: Text | None = None
    """The value as a JSON string."""
    json: Text | None = None
    """The value as JSON text, e.g. `null`, `-1`, `[[]]`; it need not be valid."""
    times: Annotated[str, Meta(max_length=100)] | None = None
    """The decimal there is multiplied by this one; a number in quotes stays in quotes."""

    def __post_init__(self) -> None:
        check_one_of(self, "text", "json", "times")
        try:
            Decimal(self.times or 0)
        except InvalidOperation:
            raise ValueError(f"times is no decimal: {self.times}") from None


class BadBytes(ContentFault, frozen=True, kw_only=True):
    """Bytes that do not belong there, as invalid UTF-8, NUL, controls, or a byte order mark at the begin.

    {"fault": "bad_bytes", "stream": "btcusdt@aggTrade", "where": "value", "hex": "ff"}
    """

    where: Literal["stream", "value", "begin", "end"] = "value"
    """`stream`: at the end of the stream's name in the envelope (raw connections have none). `value`: in the symbol,
    or the first text, of the message. `begin`, `end`: of the whole frame.
    """
    hex: Hex = "ff"
    """`ff` and `c328` are invalid UTF-8, `00` and `1b` are controls, `efbbbf` is a byte order mark."""


class Foreign(ContentFault, frozen=True, kw_only=True):
    """Messages of streams without a subscription, made from the next ones; always beside the true message.

    {"fault": "foreign", "stream": "btcusdt@aggTrade", "symbol": "X{n}USDT", "messages": 10000}
    """

    symbol: Annotated[str, Meta(max_length=1_000)]
    """Any text; `{n}` in it is the number of the message, from 0."""
    messages: Annotated[int, Meta(ge=1, le=100_000)] = 1
    """How many at once, before each of the next `count` messages."""
    rewrites: Literal["both", "stream", "payload"] = "both"
    """Where the symbol stands: stream and payload disagree unless it is `both`. A venue that does not name streams has
    it in the payload alone.
    """

    def __post_init__(self) -> None:
        if self.insert:
            raise ValueError("a foreign message always comes beside the true one: leave insert out")

    @property
    def keeps_true(self) -> bool:
        """Always."""
        return True


class Nested(ContentFault, frozen=True, kw_only=True):
    """A frame that is nested deeply.

    {"fault": "nested", "stream": "btcusdt@aggTrade", "form": "arrays", "levels": 100000, "insert": true}
    """

    form: Literal["arrays", "envelopes", "payload"] = "arrays"
    """`arrays`: `[[[[…`. `envelopes`: `{"stream":"x","data":{"stream":"x","data":…`. `payload`: the true message with
    an unknown field that is nested.
    """
    levels: Annotated[int, Meta(ge=1, le=4_000_000)] = 100_000
    closed: bool = True
    """Whether every bracket is closed again, so that it is valid JSON."""

    def __post_init__(self) -> None:
        check_size(self.levels * (len(LEVEL_BEGINS[self.form]) + self.closed * len(LEVEL_ENDS[self.form])))


class Huge(ContentFault, frozen=True, kw_only=True):
    """A frame of many megabytes: the true message with an unknown field that is a long text.

    {"fault": "huge", "stream": "btcusdt@aggTrade", "megabytes": 17, "insert": true}
    """

    megabytes: Annotated[int, Meta(ge=1, le=48)] = 17

    def __post_init__(self) -> None:
        check_size(self.megabytes * MEGABYTE)


class OddFrame(ContentFault, frozen=True, kw_only=True):
    """A frame that is not one message of JSON text, whatever form the client wants its messages in.

    {"fault": "odd_frame", "stream": "btcusdt@aggTrade", "form": "two", "insert": true}
    """

    form: Literal["empty", "binary", "two", "lines", "number", "null", "string", "list", "object", "text"] = "empty"
    """`binary`: the true message in a binary frame. `two`: the true message twice without anything between, `lines`: in
    two lines. `number`: `1`. `string`: `"x"`. `list`: `[]`. `object`: `{}`. `text`: the field `text`.
    """
    text: Text = ""

    def __post_init__(self) -> None:
        if (self.form == "text") != bool(self.text):
            raise ValueError('text goes with form "text"')


class WrongBook(ContentFault, frozen=True, kw_only=True):
    """Differences and whole books that are not the market's, or that no order book can have.

    {"fault": "wrong_book", "stream": "btcusdt@depth*", "form": "crossed"}
    """

    form: BookForms = "crossed"
    """`crossed`: bids at a thousand times the price. `negative`, `huge`: a quantity of -1, of 1e300. `many`: 100,000
    levels a side. `doubled`: twice the quantities, which is possible. `jump`: what orders it is a million too high: its
    update ids, the number of the message, or where books have neither their checksum. `reversed`: it ends before it
    begins, or is a day older than the book.
    """


AlteringFault: TypeAlias = (
    Malformed | WrongTime | WrongId | WrongValue | BadBytes | Foreign | Nested | Huge | OddFrame | WrongBook
)
"""Every fault of contents."""
