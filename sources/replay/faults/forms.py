"""How a venue writes what the faults of contents and of REST change: its paths, its times, its levels.

A field of a message is named by its path (`json_fields.py`). Each dialect has its forms; `BINANCE` is the default.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

import msgspec
from msgspec import Struct

from sources.replay.faults.json_fields import Change, changed, changed_all, value_at, whole_number
from sources.replay.market.market import Message
from sources.replay.protocol.frames import enveloped

ID_JUMP = 1_000_000
"""What `WrongBook` adds in the form `jump`."""

Later: TypeAlias = Callable[[Any, int], Any]
"""A time as the venue writes it (a number or a text of JSON), moved by ms; None for what is no time."""
Alter: TypeAlias = Callable[[Message], Message | None]
"""From a true message to a wrong one; None where it does not apply."""


class BookForm(Struct, frozen=True):
    """Where a message of an order book has its levels."""

    bids: str
    asks: str
    """Paths of the lists of levels; the same one where a level names its side."""
    price: str
    quantity: str
    """Places within a level."""
    of_bid: tuple[tuple[str, bytes], ...] = ()
    """What makes a level a bid where it names its side: places and JSON texts."""
    is_quoted: bool = True
    """Whether numbers are in quotes."""

    @property
    def sides(self) -> tuple[str, ...]:
        """The paths of the lists, each once."""
        return tuple(dict.fromkeys((self.bids, self.asks)))

    def is_in(self, payload: bytes) -> bool:
        """Whether a payload has such a book."""
        return (value_at(payload, self.bids) or b"").startswith(b"[")

    def number(self, text: bytes) -> bytes:
        """A number as this venue writes it."""
        return b'"%b"' % text if self.is_quoted else text


class AnswerRow(NamedTuple):
    """Places in a row of REST that is a list."""

    times: tuple[int, ...] = ()
    ids: tuple[int, ...] = ()


class Forms(Struct, frozen=True, kw_only=True):
    """The forms of a venue."""

    symbols: tuple[str, ...]
    """Paths of the instrument in messages."""
    times: tuple[str, ...]
    """Paths of times in messages."""
    later: Later
    books: tuple[BookForm, ...]
    """Every kind of message with levels."""
    jump: Alter
    """What orders the messages of a book is `ID_JUMP` too high."""
    backward: Alter
    """A message of a book that ends before it begins, or before the book."""
    answer_times: frozenset[str]
    """Names of fields with times in answers of REST."""
    answer_ids: frozenset[str]
    answer_rows: Mapping[int, AnswerRow]
    """Rows that are lists, by their length."""
    is_enveloped: bool = False
    """Whether clients may want their messages in an envelope with the name of the stream."""

    def frame(self, message: Message, data: bytes) -> bytes:
        """A payload as most clients get it."""
        return enveloped(message, data) if self.is_enveloped else data


def added(by: int) -> Change:
    """Adds to a whole number, in quotes or not; None for anything else."""

    def change(old: bytes) -> bytes | None:
        number = whole_number(old.strip(b'"'))
        return None if number is None else old.replace(old.strip(b'"'), b"%d" % (number + by))

    return change


def moved(later: Later, by_ms: int) -> Change:
    """Moves a time; None for anything else."""

    def change(old: bytes) -> bytes | None:
        number = whole_number(old)
        new = later(_text_in(old) if number is None else number, by_ms)
        if new is None:
            return None
        return b"%d" % new if isinstance(new, int) else msgspec.json.encode(new)

    return change


def _text_in(old: bytes) -> str | None:
    try:
        return msgspec.json.decode(old, type=str)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


# --- Binance ----------------------------------------------------------------------------------------------------------


def _later(value: Any, by_ms: int) -> int | None:
    return value + by_ms if isinstance(value, int) and not isinstance(value, bool) else None


def _jump(message: Message) -> Message | None:
    data = changed_all(message.data, ("U", "u", "lastUpdateId", "pu"), added(ID_JUMP))
    return None if data is None else message._replace(data=data)


def _backward(message: Message) -> Message | None:
    first = value_at(message.data, "U")
    data = changed(message.data, "u", lambda _: added(-1)(first)) if first else None
    return None if data is None else message._replace(data=data)


BINANCE = Forms(
    symbols=("s", "k.s", "ps"),
    times=("E", "T", "O", "C", "k.t", "k.T"),
    later=_later,
    books=(BookForm("b", "a", "0", "1"), BookForm("bids", "asks", "0", "1")),
    jump=_jump,
    backward=_backward,
    answer_times=frozenset(("T", "E", "time", "serverTime", "openTime", "closeTime")),
    answer_ids=frozenset(("a", "f", "l", "id", "lastUpdateId", "firstId", "lastId")),
    answer_rows={12: AnswerRow(times=(0, 6))},
    is_enveloped=True,
)
