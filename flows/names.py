"""Names of instruments: which texts are valid, and how spellings are normalised. The rule for every interface.

A symbol is what the exchange lists: 1 to 64 characters, letters and digits of any script (with the marks that a script
needs for its letters), `_` and `-`; the first is a letter or a digit. Never spaces, controls, dots, slashes, quotes,
brackets, other signs, or invisible characters. So a symbol is safe in a path, a key, a log line, a page.

Two spellings are the same symbol if they differ in case, in Unicode normalisation, or in `/` for `-`, and in nothing
else; `flows/spellings.py` knows more where the venue's list of instruments is known.

* The symbol itself is in normal form C, upper case, and the same after it was lower-cased (as in names of streams) and
  upper-cased again. `İ` and `ẞ` are not: each would come back as something else.
* A spelling is upper-cased only where that changes nothing but the case. `ß` (upper case `SS`), `ſ` (`S`) and `ı` (`I`)
  would become the name of another instrument, so they are refused.
* Full-width letters are distinct: `ＢＴＣ` is a legal name, and not `BTC`.
"""  # noqa: RUF002

import unicodedata
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final

SYMBOL_LENGTH: Final = 64
"""Longest symbol, in characters."""
SYMBOL_CHARACTERS: Final = (
    r"[^\u0000-\u002c\u002e\u003a-\u0040\u005b-\u005e\u0060\u007b-\u00a9\u00ab-\u00b4\u00b6-\u00b9\u00bb-\u00bf"
    r"\u02c2-\u02c5\u2000-\u2070\u2072-\u207e\u2080-\u208f\u209d-\u20cf\u2190-\u2bff\u3000-\u3004\u3008-\u3020"
    r"\ue000-\uf8ff\ufeff\ufff0-\uffff]"
)
"""A regular expression that permits slightly more than a symbol, for schemas: also `/`. `symbol_of` is the rule."""
TEXT_END: Final = r"(?![\s\S])"
"""The end of a text in a pattern: to Python `$` also matches before a line break, and `\\Z` means nothing elsewhere."""
SYMBOL_PATTERN: Final = rf"^{SYMBOL_CHARACTERS}{{1,{SYMBOL_LENGTH}}}{TEXT_END}"
"""A pattern that every symbol matches, as Python and JavaScript read it."""

_SHOWN: Final = 80
_SIGNS: Final = frozenset("_-")
_LETTERS_AND_DIGITS: Final = frozenset(("Lu", "Ll", "Lt", "Lm", "Lo", "Nd"))
_MARKS: Final = frozenset(("Mn", "Mc"))
_INVISIBLE: Final = frozenset(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, *range(0xFE00, 0xFE10), 0xFFA0))
) | frozenset(map(chr, range(0xE0100, 0xE01F0)))
"""Invisible letters and marks (Unicode's Default_Ignorable_Code_Point)."""


def is_symbol(text: str) -> bool:
    """Whether a text is a symbol as the exchange lists it: in upper case and normal form C."""
    return _has_form(text) and unicodedata.normalize("NFC", text) == text == text.upper() == text.lower().upper()


@lru_cache(maxsize=4_096)  # requests name the same symbols again and again
def symbol_of(text: str) -> str:
    """The symbol of a spelling in any case, with `-` or `/`; `ValueError`, with a text for the user, for another."""
    if len(text) <= SYMBOL_LENGTH:
        composed = unicodedata.normalize("NFC", text).replace("/", "-")
        symbol = composed.upper()
        if is_symbol(symbol) and symbol.lower() == composed.lower():
            return symbol
    raise ValueError(f"{shown(text)} is no symbol: write the exchange's own name, as in BTCUSDT")


def shown(text: str) -> str:
    """A text of unknown origin in quotes: unprintable characters are escaped, a long text is cut."""
    return repr(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")


def nearest(name: str, known: Iterable[str], *, most: int = 1, likeness: float = 0.6) -> list[str]:
    """The known names that are most like one that is none of them, best first; `likeness` is from 0 to 1."""
    from difflib import get_close_matches  # noqa: PLC0415 - only on the way to an error

    return get_close_matches(name, sorted(known), n=most, cutoff=likeness)


def did_you_mean(names: Sequence[str]) -> str:
    """The end of a sentence that refuses a name: what may have been meant; empty without any."""
    return f"; did you mean {', '.join(names)}?" if names else ""


def _has_form(text: str) -> bool:
    """Whether length and characters are those of a symbol, whatever the case."""
    if not 0 < len(text) <= SYMBOL_LENGTH or not _INVISIBLE.isdisjoint(text):
        return False
    categories = [unicodedata.category(character) for character in text]
    if categories[0] not in _LETTERS_AND_DIGITS:
        return False
    return all(
        category in _LETTERS_AND_DIGITS or category in _MARKS or character in _SIGNS
        for category, character in zip(categories, text, strict=True)
    )
