"""Applies `WrongAnswer`: from the true body of a REST answer to the one that is sent. Pure."""

from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec

from sources.replay.faults.json_fields import changed
from sources.replay.faults.orders import WrongAnswer

TIME_SHIFT_MS = 400 * 86_400_000
ID_SHIFT = 10**9
NESTED_LEVELS = 100_000
_PAGE = b"<!DOCTYPE html><html><head><title>Maintenance</title></head><body><h1>Be right back</h1></body></html>"
_TIME_FIELDS = frozenset(("T", "E", "time", "serverTime", "openTime", "closeTime"))
_ID_FIELDS = frozenset(("a", "f", "l", "id", "lastUpdateId", "firstId", "lastId"))
_KLINE_TIMES = (0, 6)
_KLINE_FIELDS = 12


class WrongBody(NamedTuple):
    """The body to send in place of the true one."""

    body: bytes
    is_page: bool = False
    goes_on: bytes | None = None
    """Keeps the connection open after the body and repeats this until the client disconnects. Empty: sends nothing."""


def wrong_body(fault: WrongAnswer, body: Any) -> WrongBody:  # noqa: PLR0911 - one for each form
    """The body to send in place of the true one."""
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
            return WrongBody(msgspec.json.encode(_ROWS[form](body)))
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


def _with_numbers(body: Any, fields: frozenset[str], places: tuple[int, ...], by: int) -> Any:
    """A body with `by` added to the integers in these fields, and at these places of a kline's row."""
    match body:
        case dict():
            return {
                name: value + by if name in fields and _is_integer(value) else _with_numbers(value, fields, places, by)
                for name, value in body.items()
            }
        case list() if len(body) == _KLINE_FIELDS and _is_integer(body[0]):
            return [value + by if place in places else value for place, value in enumerate(body)]
        case list() | tuple():
            return [_with_numbers(value, fields, places, by) for value in body]
    return body


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


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


_ROWS: dict[str, Callable[[Any], Any]] = {
    "times": lambda body: _with_numbers(body, _TIME_FIELDS, _KLINE_TIMES, TIME_SHIFT_MS),
    "ids": lambda body: _with_numbers(body, _ID_FIELDS, (), ID_SHIFT),
    "types": _with_other_types,
}
