"""When symbols of a synthetic market are to be listed, halted and delisted, as the command line says it."""

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from flows.names import symbol_of
from sources.replay.market.lives import Change, Life, Word

_TEXT: Final = re.compile(r"([^@]+)(?:@(\d{1,15}(?:\.\d{1,3})?)(?:\+(\d{1,9}(?:\.\d{1,3})?))?)?")
_UTC_FROM: Final = 10**11
"""From this on a time is ms UTC, else seconds after the begin."""
_FORMS: Final[dict[Word, str]] = {
    "list": "SYMBOL or SYMBOL@WHEN",
    "halt": "SYMBOL@WHEN+SECONDS",
    "delist": "SYMBOL@WHEN",
}


class Planned(NamedTuple):
    """One change of a symbol."""

    symbol: str
    word: Word
    when: float | None
    """Seconds after the begin of the market, or ms UTC; None: when it is ordered."""
    length_s: float | None = None
    """Of a halt."""


def parse_planned(word: Word, text: str) -> Planned:
    """The change that a text names; `ValueError` with the right form of a wrong one."""
    match = _TEXT.fullmatch(text)
    if match is None or bool(match[3]) != (word == "halt") or (match[2] is None and word != "list"):
        raise ValueError(f"--{word} {text}: write {_FORMS[word]}, seconds after the begin or ms UTC")
    when, length = (None if match[place] is None else float(match[place]) for place in (2, 3))
    return Planned(symbol_of(match[1]), word, when, length)


def all_planned(lists: Iterable[str], halts: Iterable[str], delists: Iterable[str]) -> list[Planned]:
    """The changes of the three options; errors as of `parse_planned`."""
    options: Sequence[tuple[Word, Iterable[str]]] = (("list", lists), ("halt", halts), ("delist", delists))
    return [parse_planned(word, text) for word, texts in options for text in texts]


def lives_of(planned: Iterable[Planned], begin_ms: int) -> dict[str, Life]:
    """The lives of the symbols that are named, of a market that begins at a time."""
    changes: defaultdict[str, list[Change]] = defaultdict(list)
    unlisted: set[str] = set()
    for one in planned:
        found = changes[one.symbol]
        if one.word == "list":
            unlisted.add(one.symbol)
        if one.when is None:
            continue
        at_ms = int(one.when if one.when >= _UTC_FROM else begin_ms + one.when * 1_000)
        found.append(Change(at_ms, one.word))
        if one.length_s is not None:
            found.append(Change(at_ms + int(one.length_s * 1_000), "resume"))
    return {symbol: Life(found, is_listed=symbol not in unlisted) for symbol, found in changes.items()}
