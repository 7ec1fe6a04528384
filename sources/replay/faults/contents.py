"""Applies the faults of contents: from a true message to the wrong ones that are sent. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal, DecimalException
from functools import cache, partial
from typing import Any, TypeAlias

import msgspec

from sources.replay.faults.budget import MEGABYTE
from sources.replay.faults.content_faults import (
    LEVEL_BEGINS,
    LEVEL_ENDS,
    AlteringFault,
    BadBytes,
    Foreign,
    Huge,
    Malformed,
    Nested,
    OddFrame,
    WrongBook,
    WrongId,
    WrongTime,
    WrongValue,
)
from sources.replay.faults.json_fields import changed, changed_all, value_at
from sources.replay.market.market import Message
from sources.replay.protocol.frames import enveloped

Sides: TypeAlias = tuple[str, str]
"""Names of the bids and the asks in a message."""
Messages: TypeAlias = tuple[Message, ...]
Alteration: TypeAlias = Callable[[Message], Iterable[Message]]
"""From a true message to the wrong ones, one after the other; empty where the fault does not apply to it."""

MANY_LEVELS = 100_000
ID_JUMP = 1_000_000
_QUOTED_NUMBER = re.compile(rb'"\d+(\.\d+)?"')
_TEXT_BEGINS = (re.compile(rb'"s":"'), re.compile(rb':"'))
_MOST_DIGITS = 1_000
_INTEGER = re.compile(rb"-?\d{1,100}")
_QUOTE = b'"'
_SIDES = (("b", "a"), ("bids", "asks"))
_UPDATE_IDS = ("U", "u", "lastUpdateId")
_FORMS = {"empty": b"", "number": b"1", "null": b"null", "string": b'"x"', "list": b"[]", "object": b"{}"}


def alteration_of(fault: AlteringFault) -> Alteration:
    """The function that applies a fault to a message."""
    whole = _OF_MESSAGES.get(type(fault))
    if whole is not None:
        return partial(whole, fault)
    change = partial(_OF_PAYLOADS[type(fault)], fault)

    def altered(message: Message) -> Messages:
        data = change(message.data)
        return () if data is None else (message._replace(data=data),)

    return altered


def _malformed(fault: Malformed, payload: bytes) -> bytes:
    if fault.form == "cut":
        return payload[: len(payload) // 2]
    if fault.form == "text":
        return b"Service Unavailable"
    return _QUOTED_NUMBER.sub(b'"NaN"', payload, count=1)


# --- single fields ----------------------------------------------------------------------------------------------------


def _wrong_time(fault: WrongTime, payload: bytes) -> bytes | None:
    return changed_all(payload, fault.fields, _added(fault.by_ms))


def _wrong_id(fault: WrongId, payload: bytes) -> bytes | None:
    return changed_all(payload, fault.fields, _added(fault.by))


def _wrong_value(fault: WrongValue, payload: bytes) -> bytes | None:
    return changed(payload, fault.field, partial(_value, fault))


def _added(by: int) -> Callable[[bytes], bytes | None]:
    """Adds to a whole number; None for anything else."""
    return lambda old: b"%d" % (int(old) + by) if _INTEGER.fullmatch(old) else None


def _value(fault: WrongValue, old: bytes) -> bytes | None:
    if fault.text is not None:
        return msgspec.json.encode(fault.text)
    if fault.json is not None:
        return fault.json.encode()
    quote = _QUOTE if old.startswith(_QUOTE) else b""
    product = _product(old, Decimal(fault.times or 1))
    return None if product is None else quote + product + quote


def _product(number: bytes, factor: Decimal) -> bytes | None:
    """A number's text, in quotes or not, multiplied; None when it is no finite number."""
    try:
        product = Decimal(number.strip(_QUOTE).decode()) * factor
    except (DecimalException, UnicodeDecodeError):
        return None
    return format(product, "f").encode() if product.is_finite() and abs(product.adjusted()) < _MOST_DIGITS else None


def _huge(fault: Huge, payload: bytes) -> bytes | None:
    return _with_field(payload, b'"%b"' % (b"x" * (fault.megabytes * MEGABYTE)))


def _with_field(payload: bytes, value: bytes) -> bytes | None:
    """An object with an unknown field before all others."""
    if not payload.startswith(b"{"):
        return None
    return b'{"pad":%b%b' % (value, payload[1:] if payload == b"{}" else b"," + payload[1:])


# --- bytes and frames -------------------------------------------------------------------------------------------------


def _framed(message: Message, frame: bytes, *, is_binary: bool = False) -> Messages:
    return (message._replace(frame=frame, is_binary=is_binary),)


def _bad_bytes(fault: BadBytes, message: Message) -> Messages:
    wrong, data = bytes.fromhex(fault.hex), message.data
    if fault.where == "stream":
        return (message._replace(name=message.stream.encode() + wrong),)
    if fault.where == "begin":
        return _framed(message, wrong + enveloped(message, data))
    if fault.where == "end":
        return _framed(message, enveloped(message, data) + wrong)
    found = next((found for begin in _TEXT_BEGINS if (found := begin.search(data))), None)
    return (message._replace(data=data[: found.end()] + wrong + data[found.end() :]),) if found else ()


def _foreign(fault: Foreign, message: Message) -> Iterator[Message]:
    channel = message.stream.partition("@")[2]
    for number in range(fault.messages):
        symbol = fault.symbol.replace("{n}", str(number))
        name, data = None, message.data
        if fault.rewrites != "payload":
            name = msgspec.json.encode(f"{symbol.lower()}@{channel}")[1:-1]
        if fault.rewrites != "stream":
            text = msgspec.json.encode(symbol)
            data = changed_all(data, ("s", "k.s", "ps"), lambda _, text=text: text) or data  # type: ignore[misc]
        yield message._replace(name=name, data=data)


def _nested(fault: Nested, message: Message) -> Messages:
    inner = b"{}" if fault.form == "envelopes" else b""
    nest = LEVEL_BEGINS[fault.form] * fault.levels + inner + LEVEL_ENDS[fault.form] * (fault.levels * fault.closed)
    if fault.form != "payload":
        return _framed(message, nest)
    data = _with_field(message.data, nest)
    return () if data is None else (message._replace(data=data),)


def _odd_frame(fault: OddFrame, message: Message) -> Messages:
    true = enveloped(message, message.data)
    match fault.form:
        case "binary":
            return _framed(message, true, is_binary=True)
        case "two":
            return _framed(message, true + true)
        case "lines":
            return _framed(message, true + b"\n" + true)
        case "text":
            return _framed(message, fault.text.encode())
        case form:
            return _framed(message, _FORMS[form])


# --- order books ------------------------------------------------------------------------------------------------------


def _wrong_book(fault: WrongBook, payload: bytes) -> bytes | None:
    sides = next((sides for sides in _SIDES if (value_at(payload, sides[0]) or b"").startswith(b"[")), None)
    if sides is None:
        return None
    return _BOOKS[fault.form](payload, sides)


def _crossed(payload: bytes, sides: Sides) -> bytes | None:
    """A bid at a thousand times the price of the first level on either side."""
    bids, asks = sides
    price = value_at(payload, f"{bids}.0.0") or value_at(payload, f"{asks}.0.0")
    product = price and _product(price, Decimal(1_000))
    if not product:
        return None
    bid = b'["%b","1.00000000"]' % product
    return changed(payload, bids, lambda old: b"[%b%b%b" % (bid, b"" if old == b"[]" else b",", old[1:]))


def _with_quantity(quantity: bytes, payload: bytes, sides: Sides) -> bytes | None:
    return changed_all(payload, tuple(f"{side}.0.1" for side in sides), lambda _: quantity)


@cache
def _side_of_many() -> bytes:
    return b"[%b]" % b",".join(b'["%d.5","1"]' % number for number in range(1, MANY_LEVELS + 1))


def _many_levels(payload: bytes, sides: Sides) -> bytes | None:
    return changed_all(payload, sides, lambda _: _side_of_many())


def _jump(payload: bytes, _: Sides) -> bytes | None:
    return changed_all(payload, (*_UPDATE_IDS, "pu"), _added(ID_JUMP))


def _reversed(payload: bytes, _: Sides) -> bytes | None:
    first = value_at(payload, "U")
    return changed(payload, "u", lambda _: _added(-1)(first)) if first else None


_BOOKS: dict[str, Callable[[bytes, Sides], bytes | None]] = {
    "crossed": _crossed,
    "negative": partial(_with_quantity, b'"-1.00000000"'),
    "huge": partial(_with_quantity, b'"1e300"'),
    "many": _many_levels,
    "jump": _jump,
    "reversed": _reversed,
}
_OF_PAYLOADS: dict[type, Callable[[Any, bytes], bytes | None]] = {
    Malformed: _malformed,
    WrongTime: _wrong_time,
    WrongId: _wrong_id,
    WrongValue: _wrong_value,
    Huge: _huge,
    WrongBook: _wrong_book,
}
_OF_MESSAGES: dict[type, Callable[[Any, Message], Iterable[Message]]] = {
    BadBytes: _bad_bytes,
    Foreign: _foreign,
    Nested: _nested,
    OddFrame: _odd_frame,
}
