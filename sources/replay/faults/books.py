"""Applies `WrongBook`: from a true message of an order book to one that no book can have. Pure."""

from collections.abc import Callable
from decimal import Decimal
from functools import lru_cache, partial

from sources.replay.faults.forms import BookForm, Forms
from sources.replay.faults.json_fields import changed, changed_all, product_of, value_at
from sources.replay.market.market import Message

MANY_LEVELS = 100_000
_PLACE = b"\x00"
"""Where the price of a level goes; no JSON text holds it."""


def wrong_book(form: str, message: Message, forms: Forms) -> Message | None:
    """The message to send in place of a true one; None where the fault does not apply."""
    book = next((one for one in forms.books if one.is_in(message.data)), None)
    if book is None:
        return None
    if form in ("jump", "reversed"):
        return forms.jump(message) if form == "jump" else forms.backward(message)
    data = _LEVELS[form](message.data, book)
    return None if data is None else message._replace(data=data)


def _crossed(payload: bytes, book: BookForm) -> bytes | None:
    """A bid at a thousand times the price of the first level on either side."""
    level = _first_level(payload, book)
    price = level and value_at(level, book.price)
    product = price and product_of(price, Decimal(1_000))
    if not level or not product:
        return None
    bid = _bid(level, product, book.number(b"1.00000000"), book)
    return bid and changed(payload, book.bids, lambda old: b"[%b%b%b" % (bid, b"" if old == b"[]" else b",", old[1:]))


def _first_level(payload: bytes, book: BookForm) -> bytes | None:
    return next((level for side in book.sides if (level := value_at(payload, f"{side}.0"))), None)


def _bid(level: bytes, price: bytes, quantity: bytes, book: BookForm) -> bytes | None:
    """A level as a bid of this price and quantity."""
    values = (*book.of_bid, (book.quantity, quantity), (book.price, price))
    found: bytes | None = level
    for place, value in values:
        found = found and changed(found, place, lambda _, value=value: value)  # type: ignore[misc]
    return found


def _with_quantity(quantity: bytes, payload: bytes, book: BookForm) -> bytes | None:
    paths = tuple(f"{side}.0.{book.quantity}" for side in book.sides)
    return changed_all(payload, paths, lambda _: book.number(quantity))


def _doubled(payload: bytes, book: BookForm) -> bytes | None:
    paths = tuple(f"{side}.*.{book.quantity}" for side in book.sides)
    return changed_all(payload, paths, lambda old: product_of(old, Decimal(2)))


def _many_levels(payload: bytes, book: BookForm) -> bytes | None:
    level = _first_level(payload, book)
    bid = level and _bid(level, book.number(_PLACE), book.number(b"1"), book)
    if not bid or bid.count(_PLACE) != 1:
        return None
    side = _side_of_many(bid)
    return changed_all(payload, book.sides, lambda _: side)


@lru_cache(maxsize=2)
def _side_of_many(level: bytes) -> bytes:
    before, _, after = level.partition(_PLACE)
    return b"[%b]" % b",".join(b"%b%d.5%b" % (before, number, after) for number in range(1, MANY_LEVELS + 1))


_LEVELS: dict[str, Callable[[bytes, BookForm], bytes | None]] = {
    "crossed": _crossed,
    "negative": partial(_with_quantity, b"-1.00000000"),
    "huge": partial(_with_quantity, b"1e300"),
    "many": _many_levels,
    "doubled": _doubled,
}
