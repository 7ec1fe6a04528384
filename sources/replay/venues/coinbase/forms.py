"""How both feeds and REST of Coinbase write what faults change."""

from sources.replay.faults.forms import ID_JUMP, AnswerRow, BookForm, Forms, moved
from sources.replay.faults.json_fields import changed_all
from sources.replay.market.market import Message
from sources.replay.venues.times import later

_DAY_MS = 86_400_000
_UPDATES = "events.0.updates"


def _jump(message: Message) -> Message | None:
    """The number of the message on each connection that numbers them: books have no ids."""
    if not message.numbers:
        return None
    return message._replace(numbers={key: number + ID_JUMP for key, number in message.numbers.items()})


def _backward(message: Message) -> Message | None:
    """A day older than the book."""
    times = ("events.*.updates.*.event_time", "time")
    data = changed_all(message.data, times, moved(later, -_DAY_MS))
    return None if data is None else message._replace(data=data)


FORMS = Forms(
    symbols=("product_id", "events.*.product_id", "events.*.trades.*.product_id", "products.*.id"),
    times=("time", "timestamp", "events.*.updates.*.event_time", "events.*.trades.*.time"),
    later=later,
    books=(
        BookForm(_UPDATES, _UPDATES, "price_level", "new_quantity", of_bid=(("side", b'"bid"'),)),
        BookForm("changes", "changes", "1", "2", of_bid=(("0", b'"buy"'),)),
        BookForm("bids", "asks", "0", "1"),
    ),
    jump=_jump,
    backward=_backward,
    answer_times=frozenset(("time", "iso", "epoch")),
    answer_ids=frozenset(("trade_id", "sequence")),
    answer_rows={6: AnswerRow(times=(0,))},  # candles
)
