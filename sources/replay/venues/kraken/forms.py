"""How Kraken writes what faults change."""

from typing import Any

from sources.replay.faults.forms import ID_JUMP, AnswerRow, BookForm, Forms, moved
from sources.replay.faults.json_fields import changed, changed_all, whole_number
from sources.replay.market.market import Message
from sources.replay.venues.times import later

_DAY_MS = 86_400_000
_CHECKSUMS = 1 << 32
_TIMES = ("timestamp", "data.*.timestamp", "data.*.interval_begin")


def _later(value: Any, by_ms: int) -> Any:
    """REST has nanoseconds as a text of digits, too."""
    if isinstance(value, str) and value.isdecimal():
        return str(int(value) + by_ms * 1_000_000)
    return later(value, by_ms)


def _jump(message: Message) -> Message | None:
    """The checksum, as there are no ids."""
    data = changed(message.data, "data.*.checksum", _other_checksum)
    return None if data is None else message._replace(data=data)


def _other_checksum(old: bytes) -> bytes | None:
    number = whole_number(old)
    return None if number is None else b"%d" % ((number + ID_JUMP) % _CHECKSUMS)


def _backward(message: Message) -> Message | None:
    """A day older than the book."""
    data = changed_all(message.data, ("data.*.timestamp",), moved(_later, -_DAY_MS))
    return None if data is None else message._replace(data=data)


FORMS = Forms(
    symbols=("data.*.symbol",),
    times=_TIMES,
    later=_later,
    books=(BookForm("data.0.bids", "data.0.asks", "price", "qty", is_quoted=False),),
    jump=_jump,
    backward=_backward,
    answer_times=frozenset(("unixtime", "timestamp", "last")),
    answer_ids=frozenset(),
    # levels of a book, trades, candles
    answer_rows={3: AnswerRow(times=(2,)), 7: AnswerRow(times=(2,), ids=(6,)), 8: AnswerRow(times=(0,))},
)
