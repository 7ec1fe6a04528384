"""Error texts for wrong values, with what to write instead."""

from collections.abc import Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

_BOUNDS: Final = {
    "greater_than_equal": "write a number that is at least {ge}",
    "greater_than": "write a number above {gt}",
    "less_than_equal": "write a number that is at most {le}",
    "less_than": "write a number below {lt}",
}
_KINDS: Final = {
    "int": "write a whole number",
    "float": "write a number",
    "finite": "write a number that is finite",
    "bool": "write true or false",
    "string": "write a text",
    "path": "write the name of a folder",
    "dict": "write a mapping, as in 1m=7,5m=30",
    "tuple": "write a list, as in a,b",
    "list": "write a list, as in a,b",
    "model": "write a section with keys of its own",
    "datetime": "write a time, as in 2024-10-27T06:00",
}


def text_of(found: ErrorDetails) -> str:
    """The error text of a value. Our own checks bring their text; those of single constraints are here."""
    kind, context = found["type"], found.get("ctx", {})
    if kind in _BOUNDS:
        return _BOUNDS[kind].format_map({name: _number(value) for name, value in context.items()})
    if kind == "literal_error":
        return f"write {context['expected']}"
    if kind in ("too_short", "too_long", "string_too_short", "string_too_long"):
        return _length(context)
    if kind not in ("value_error", "setting"):
        for name, text in _KINDS.items():
            if kind.startswith(name):
                return text
    return found["msg"].removeprefix("Value error, ")


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) and abs(value) < 1e6 else str(value)  # noqa: PLR2004 - digits of :g


def _length(context: Mapping[str, Any]) -> str:
    least, most = context.get("min_length"), context.get("max_length")
    return f"it is too short: write at least {least}" if least is not None else f"it is too long: write at most {most}"
