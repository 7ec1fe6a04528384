"""Sanitises foreign texts: error texts, close reasons, names and payloads of an exchange, before they are shown.

Such a text may be anything: a page of HTML, a megabyte, escape sequences for a terminal, letters that change the
direction, or instructions for a language model. So it is cut, reduced to visible letters, and put between quotation
marks that it cannot close, after its source.
"""

import re
import unicodedata
from typing import Final

LIMIT: Final = 200
"""Most letters shown of a foreign text."""
EXCHANGE: Final = "the exchange"
DECODER: Final = "the decoder"
"""Its messages repeat parts of the undecodable input."""

_READ_TIMES = 8  # times the limit are read of a text, which may consist of invisible characters
_CUT = "…"
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*")
"""Complete terminal sequences, so that no part of them stays as letters: colours and cursors, titles and links."""
_NO_LETTERS = frozenset(("Cf", "Cs", "Co", "Cn"))
_GAPS = frozenset(("Cc", "Zl", "Zp", "Zs"))
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(first, last + 1)
}
"""Letters and marks by category that are invisible."""
_QUOTES = (
    '"`\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u275d\u275e'
    "\u301d\u301e\u301f\uff02\uff40\U0001f676\U0001f677\U0001f678"
)
_HARMLESS = str.maketrans(dict.fromkeys(_QUOTES, "'"))
"""Replaces characters that end a quotation."""
_TAGS = re.compile(r"<(?=[^\W\d_]|[/!?])")
"""Begin of an HTML tag; `<` before a number or a space stays."""


def visible(text: str, *, limit: int = LIMIT) -> str:
    """A foreign text in one line of at most `limit` visible letters; it ends with `…` where it was cut.

    Control characters, terminal sequences, line breaks, invisible characters and changes of direction are removed; runs
    of spaces become one.
    """
    return _cut(_cleaned(text, limit), limit, whole=len(text) <= _READ_TIMES * limit)


def _cleaned(text: str, limit: int) -> str:
    read = _ESCAPES.sub("", text[: _READ_TIMES * limit])
    return " ".join("".join(map(_shown, read)).split())


def _cut(shown: str, limit: int, *, whole: bool) -> str:
    if whole and len(shown) <= limit:
        return shown
    return shown[: limit - len(_CUT)].rstrip() + _CUT


def _shown(letter: str) -> str:
    if letter in _INVISIBLE:
        return ""
    category = unicodedata.category(letter)
    if category in _GAPS:
        return " "
    return "" if category in _NO_LETTERS else letter


def quoted(text: str | None, *, by: str = EXCHANGE, limit: int = LIMIT) -> str:
    """A foreign text with its source: `the exchange says: "…"`. The quotation contains no quotation mark, no backtick
    and no HTML tag; see `visible` for the rest.
    """
    given = text or ""
    harmless = _TAGS.sub("< ", _cleaned(given, limit).translate(_HARMLESS))
    shown = _cut(harmless, limit, whole=len(given) <= _READ_TIMES * limit)
    return f'{by} says: "{shown}"' if shown else f"{by} says nothing"


def shown_payload(payload: bytes, *, limit: int = LIMIT) -> str:
    """The begin of any payload as visible text."""
    return visible(payload[: _READ_TIMES * limit].decode(errors="replace"), limit=limit)
