"""Applies the faults of contents: from a true message to the wrong ones that are sent. Pure."""

import re
from collections.abc import Callable, Iterable, Iterator
from decimal import Decimal
from functools import partial
from typing import Any, TypeAlias

import msgspec

from sources.replay.faults.books import wrong_book
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
from sources.replay.faults.forms import BINANCE, Forms, added, moved
from sources.replay.faults.json_fields import changed, changed_all, product_of
from sources.replay.market.market import Message

Messages: TypeAlias = tuple[Message, ...]
Alteration: TypeAlias = Callable[[Message], Iterable[Message]]
"""From a true message to the wrong ones, one after the other; empty where the fault does not apply to it."""

_QUOTED_NUMBER = re.compile(rb'"\d+(\.\d+)?"')
_NUMBER = re.compile(rb"(?<=:)-?\d+(\.\d+)?")
_TEXT_BEGIN = b':"'
_FORMS = {"empty": b"", "number": b"1", "null": b"null", "string": b'"x"', "list": b"[]", "object": b"{}"}


def alteration_of(fault: AlteringFault, forms: Forms = BINANCE) -> Alteration:
    """The function that applies a fault to a message of a venue with these forms."""
    whole = _OF_MESSAGES.get(type(fault))
    if whole is not None:
        return partial(whole, fault, forms)
    change = partial(_OF_PAYLOADS[type(fault)], fault, forms)

    def altered(message: Message) -> Messages:
        data = change(message.data)
        return () if data is None else (message._replace(data=data),)

    return altered


def _malformed(fault: Malformed, _: Forms, payload: bytes) -> bytes | None:
    if fault.form == "cut":
        return payload[: len(payload) // 2]
    if fault.form == "text":
        return b"Service Unavailable"
    if _QUOTED_NUMBER.search(payload):
        return _QUOTED_NUMBER.sub(b'"NaN"', payload, count=1)
    return _NUMBER.sub(b"NaN", payload, count=1) if _NUMBER.search(payload) else None


# --- single fields ----------------------------------------------------------------------------------------------------


def _wrong_time(fault: WrongTime, forms: Forms, payload: bytes) -> bytes | None:
    return changed_all(payload, fault.fields or forms.times, moved(forms.later, fault.by_ms))


def _wrong_id(fault: WrongId, _: Forms, payload: bytes) -> bytes | None:
    return changed_all(payload, fault.fields, added(fault.by))


def _wrong_value(fault: WrongValue, _: Forms, payload: bytes) -> bytes | None:
    return changed(payload, fault.field, partial(_value, fault))


def _value(fault: WrongValue, old: bytes) -> bytes | None:
    if fault.text is not None:
        return msgspec.json.encode(fault.text)
    if fault.json is not None:
        return fault.json.encode()
    return product_of(old, Decimal(fault.times or 1))


def _huge(fault: Huge, _: Forms, payload: bytes) -> bytes | None:
    return _with_field(payload, b'"%b"' % (b"x" * (fault.megabytes * MEGABYTE)))


def _with_field(payload: bytes, value: bytes) -> bytes | None:
    """An object with an unknown field before all others."""
    if not payload.startswith(b"{"):
        return None
    return b'{"pad":%b%b' % (value, payload[1:] if payload == b"{}" else b"," + payload[1:])


# --- bytes and frames -------------------------------------------------------------------------------------------------


def _framed(message: Message, frame: bytes, *, is_binary: bool = False) -> Messages:
    return (message._replace(frame=frame, is_binary=is_binary),)


def _bad_bytes(fault: BadBytes, forms: Forms, message: Message) -> Messages:
    wrong, data = bytes.fromhex(fault.hex), message.data
    if fault.where == "stream":
        return (message._replace(name=message.stream.encode() + wrong),) if forms.is_enveloped else ()
    if fault.where == "begin":
        return _framed(message, wrong + forms.frame(message, data))
    if fault.where == "end":
        return _framed(message, forms.frame(message, data) + wrong)
    begins = (*(b'"%b":"' % path.rpartition(".")[2].encode() for path in forms.symbols), _TEXT_BEGIN)
    end = next((at + len(begin) for begin in begins if (at := data.find(begin)) >= 0), None)
    return () if end is None else (message._replace(data=data[:end] + wrong + data[end:]),)


def _foreign(fault: Foreign, forms: Forms, message: Message) -> Iterator[Message]:
    """Nothing for a message that names no instrument."""
    channel = message.stream.partition("@")[2]
    for number in range(fault.messages):
        symbol = fault.symbol.replace("{n}", str(number))
        made = message
        if fault.rewrites != "payload" and forms.is_enveloped:
            made = made._replace(name=msgspec.json.encode(f"{symbol.lower()}@{channel}")[1:-1])
        if fault.rewrites != "stream":
            text = msgspec.json.encode(symbol)
            data = changed_all(message.data, forms.symbols, lambda _, text=text: text)  # type: ignore[misc]
            made = made if data is None else made._replace(data=data)
        if made is not message:
            yield made


def _nested(fault: Nested, _: Forms, message: Message) -> Messages:
    inner = b"{}" if fault.form == "envelopes" else b""
    nest = LEVEL_BEGINS[fault.form] * fault.levels + inner + LEVEL_ENDS[fault.form] * (fault.levels * fault.closed)
    if fault.form != "payload":
        return _framed(message, nest)
    data = _with_field(message.data, nest)
    return () if data is None else (message._replace(data=data),)


def _odd_frame(fault: OddFrame, forms: Forms, message: Message) -> Messages:
    true = forms.frame(message, message.data)
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


def _wrong_book(fault: WrongBook, forms: Forms, message: Message) -> Messages:
    wrong = wrong_book(fault.form, message, forms)
    return () if wrong is None else (wrong,)


_OF_PAYLOADS: dict[type, Callable[[Any, Forms, bytes], bytes | None]] = {
    Malformed: _malformed,
    WrongTime: _wrong_time,
    WrongId: _wrong_id,
    WrongValue: _wrong_value,
    Huge: _huge,
}
_OF_MESSAGES: dict[type, Callable[[Any, Forms, Message], Iterable[Message]]] = {
    BadBytes: _bad_bytes,
    Foreign: _foreign,
    Nested: _nested,
    OddFrame: _odd_frame,
    WrongBook: _wrong_book,
}
