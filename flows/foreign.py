"""Words of others: error texts, close reasons, names and payloads of an exchange, before anybody is shown them.

Such a text may be anything: a page of HTML, a megabyte, escape sequences for a terminal, letters that turn the order of
others round, or sentences that are meant for a language model. So it is cut, freed of everything that is no visible
letter, and stands in quotation marks that it cannot close, behind the words that say whose it is.
"""

import re
import unicodedata
from typing import Final

LIMIT: Final = 200
"""Most letters of a foreign text that are shown."""
EXCHANGE: Final = "the exchange"
DECODER: Final = "the decoder"
"""Its messages repeat parts of what it could not decode."""

_READ_TIMES = 8  # of a text, so many times the limit are looked at: it may be made of nothing visible
_CUT = "…"
_ESCAPES = re.compile(r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f])[^\x07\x1b\x9c]*")
"""Whole terminal sequences, so that nothing of them stays as letters: colours and cursors, titles and links."""
_NO_LETTERS = frozenset(("Cf", "Cs", "Co", "Cn"))
_GAPS = frozenset(("Cc", "Zl", "Zp", "Zs"))
_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0") | {
    chr(code) for first, last in ((0xFE00, 0xFE0F), (0xE0100, 0xE01EF)) for code in range(first, last + 1)
}
"""Letters and marks by their category that show nothing."""
_QUOTES = (
    '"`\u00ab\u00bb\u201c\u201d\u201e\u201f\u2033\u2036\u275d\u275e'
    "\u301d\u301e\u301f\uff02\uff40\U0001f676\U0001f677\U0001f678"
)
_HARMLESS = str.maketrans(dict.fromkeys(_QUOTES, "'"))
"""What ends a quotation becomes its harmless likeness."""
_TAGS = re.compile(r"<(?=[^\W\d_]|[/!?])")
"""Where HTML would begin; `<` before a number or a space stays."""


def visible(text: str, *, limit: int = LIMIT) -> str:
    """A foreign text in one line of at most `limit` visible letters; the end says `…` where it was cut.

    Control characters, terminal sequences, line breaks, and what shows nothing or changes the direction are gone; runs
    of spaces are one.
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
    """A foreign text as its owner's: `the exchange says: "…"`. There is no quotation mark within the quotation, no
    backtick and no tag of HTML; see `visible` for the rest.
    """
    given = text or ""
    harmless = _TAGS.sub("< ", _cleaned(given, limit).translate(_HARMLESS))
    shown = _cut(harmless, limit, whole=len(given) <= _READ_TIMES * limit)
    return f'{by} says: "{shown}"' if shown else f"{by} says nothing"


def shown_payload(payload: bytes, *, limit: int = LIMIT) -> str:
    """The begin of a payload, whatever it is, as visible text."""
    return visible(payload[: _READ_TIMES * limit].decode(errors="replace"), limit=limit)
