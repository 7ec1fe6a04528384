"""Changes single fields of a JSON text and leaves every other byte of it as it is. Pure.

A field is named by its path: `p`, `k.t`, `b.0.1` (the second value of the first row of `b`), `symbols.*.status` (in
every row).
"""

import re
from collections.abc import Callable
from decimal import Decimal, DecimalException
from typing import Any, TypeAlias

import msgspec

from sources.replay.faults.budget import LONGEST_FRAME

Change: TypeAlias = Callable[[bytes], bytes | None]
"""From the text of a value to the text that replaces it; None: unchanged."""

_DECODE = msgspec.json.Decoder(dict[str, msgspec.Raw] | list[msgspec.Raw]).decode
_EVERY = "*"
_INTEGER = re.compile(rb"-?\d{1,100}")
_MOST_DIGITS = 1_000
_QUOTE = b'"'


def changed(body: bytes, path: str, change: Change) -> bytes | None:
    """The text with the values at `path` changed; None when the path does not exist, no value was changed, or the new
    values together are longer than any message may be.
    """
    name, _, below = path.partition(".")
    try:
        node: Any = _DECODE(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    was_changed, size = False, 0
    for place in _places(node, name):
        old = bytes(node[place])
        new = changed(old, below, change) if below else change(old)
        if new is not None:
            size += len(new)
            if size > LONGEST_FRAME:
                return None
            node[place] = msgspec.Raw(new)
            was_changed = True
    return msgspec.json.encode(node) if was_changed else None


def value_at(body: bytes, path: str) -> bytes | None:
    """The text of the first value at `path`."""
    found: list[bytes] = []
    changed(body, path, found.append)
    return found[0] if found else None


def changed_all(body: bytes, paths: tuple[str, ...], change: Change) -> bytes | None:
    """The same for several paths; those that do not exist are skipped."""
    out = body
    for path in paths:
        out = changed(out, path, change) or out
    return None if out == body else out


def whole_number(text: bytes) -> int | None:
    """The whole number that a text is; None for any other."""
    return int(text) if _INTEGER.fullmatch(text) else None


def product_of(number: bytes, factor: Decimal) -> bytes | None:
    """A number's text, in quotes or not, multiplied; None when it is no finite number."""
    quote = _QUOTE if number.startswith(_QUOTE) else b""
    try:
        product = Decimal(number.strip(_QUOTE).decode()) * factor
    except (DecimalException, UnicodeDecodeError):
        return None
    if not product.is_finite() or abs(product.adjusted()) >= _MOST_DIGITS:
        return None
    return quote + format(product, "f").encode() + quote


def _places(node: dict[str, Any] | list[Any], name: str) -> list[Any]:
    if isinstance(node, dict):
        return list(node) if name == _EVERY else [name] * (name in node)
    if name == _EVERY:
        return list(range(len(node)))
    return [int(name)] if name.isdecimal() and int(name) < len(node) else []
