"""Applies `WrongAnswer`: from the true body of a REST answer to the one that is sent. Pure."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import msgspec

from sources.replay.faults.forms import BINANCE, AnswerRow, Forms
from sources.replay.faults.json_fields import changed
from sources.replay.faults.orders import WrongAnswer

TIME_SHIFT_MS = 400 * 86_400_000
ID_SHIFT = 10**9
NESTED_LEVELS = 100_000
_PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Be right back</h1></body></html>"


class WrongBody(NamedTuple):
    """The body to send in place of the true one."""

    body: bytes
    is_page: bool = False
    goes_on: bytes | None = None
    """Keeps the connection open after the body and repeats this until the client disconnects. Empty: sends nothing."""


def wrong_body(fault: WrongAnswer, body: Any, forms: Forms = BINANCE) -> WrongBody:  # noqa: PLR0911 - one for each form
    """The body to send in place of the true one, of a venue with these forms."""
    true = msgspec.json.encode(body)
    match fault.form:
        case "page":
            return WrongBody(_PAGE, is_page=True)
        case "endless":
            return WrongBody(true, goes_on=b" " * 65_536)
        case "stalled":
            return WrongBody(true[: len(true) // 2], goes_on=b"")
        case "field":
            return WrongBody(changed(true, fault.field, lambda _: fault.json.encode()) or true)
        case "text":
            return WrongBody(fault.text.encode())
        case "times" | "ids" | "types" as form:
            return WrongBody(msgspec.json.encode(_ROWS[form](body, forms)))
        case form:
            return WrongBody(_TEXTS[form](true))


_TEXTS: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda true: true[: len(true) // 2],
    "utf8": lambda true: true.replace(b'"', b'"\xff', 1) if b'"' in true else b"\xff" + true,
    "nested": lambda _: b"[" * NESTED_LEVELS + b"]" * NESTED_LEVELS,
    "twice": lambda true: true + true,
    "empty": lambda _: b"",
    "null": lambda _: b"null",
    "list": lambda _: b"[]",
}


class _Moved(NamedTuple):
    """Which values of an answer are moved, and how."""

    fields: frozenset[str]
    places: Callable[[AnswerRow], tuple[int, ...]]
    move: Callable[[Any], Any]
    """None for a value that stays as it is."""


def _with_moved(body: Any, moved: _Moved, rows: Mapping[int, AnswerRow]) -> Any:
    """A body whose values in these fields, and at these places of rows that are lists, are moved."""
    match body:
        case dict():
            return {
                name: _moved(value, moved) if name in moved.fields else _with_moved(value, moved, rows)
                for name, value in body.items()
            }
        case list() | tuple() if len(body) in rows and not any(isinstance(one, dict | list | tuple) for one in body):
            places = moved.places(rows[len(body)])
            return [_moved(value, moved) if place in places else value for place, value in enumerate(body)]
        case list() | tuple():
            return [_with_moved(value, moved, rows) for value in body]
    return body


def _moved(value: Any, moved: _Moved) -> Any:
    new = moved.move(value)
    return value if new is None else new


def _other_id(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return value + ID_SHIFT
    return str(int(value) + ID_SHIFT) if isinstance(value, str) and value.isdecimal() else None


def _with_other_times(body: Any, forms: Forms) -> Any:
    moved = _Moved(forms.answer_times, lambda row: row.times, lambda value: forms.later(value, TIME_SHIFT_MS))
    return _with_moved(body, moved, forms.answer_rows)


def _with_other_ids(body: Any, forms: Forms) -> Any:
    return _with_moved(body, _Moved(forms.answer_ids, lambda row: row.ids, _other_id), forms.answer_rows)


_OTHERS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (
    (bool, lambda _: "yes"),
    ((int, float), str),
    (str, len),
    (type(None), lambda _: {}),
)


def _with_other_types(body: Any) -> Any:
    """A body with every value of another JSON type (numbers as strings, …) and the same shape."""
    match body:
        case dict():
            return {name: _with_other_types(value) for name, value in body.items()}
        case list() | tuple():
            return [_with_other_types(value) for value in body]
    return next(other(body) for kind, other in _OTHERS if isinstance(body, kind))


_ROWS: dict[str, Callable[[Any, Forms], Any]] = {
    "times": _with_other_times,
    "ids": _with_other_ids,
    "types": lambda body, _: _with_other_types(body),
}
