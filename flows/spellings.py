"""Spellings of instruments, by the venue's list: `btcusdt`, `BTC/USDT`, `BTC-USDT`, `BTC_USDT`, `XBT/USD` in any case.

A text is first of all the name that the venue itself uses. Else it is base and quote asset, with one of the separators
or without one, where an asset may have the older of two names. A text that may be two instruments is neither.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from itertools import product
from types import MappingProxyType
from typing import Final, TypeVar

from flows.model import ListedInstrument
from flows.names import symbol_of

OLDER_ASSETS: Final[Mapping[str, str]] = MappingProxyType({"XBT": "BTC", "XDG": "DOGE"})
"""Assets by their older names, which some venues and programs still use."""
_OLDER: Final = {usual: older for older, usual in OLDER_ASSETS.items()}
_SEPARATOR: Final = re.compile("[-_]")

T = TypeVar("T")


def asset_of(text: str) -> str:
    """The usual name of an asset, in capitals; `ValueError`, with a text for the user, for what can be none."""
    asset = symbol_of(text.strip())
    return OLDER_ASSETS.get(asset, asset)


class Spellings:
    """The spellings of the instruments of one venue."""

    def __init__(self, listed: Iterable[ListedInstrument]) -> None:
        instruments = list(listed)
        named = [one for one in instruments if _is_named_by_its_assets(one)]
        self._symbols = frozenset(one.symbol for one in instruments)
        self._pairs = _by_meaning((pair, one.symbol) for one in named for pair in _pairs_of(one)[:1])
        self._older_pairs = _by_meaning((pair, one.symbol) for one in named for pair in _pairs_of(one)[1:])
        self._joined = _by_meaning(("".join(pair), symbol) for pair, symbol in self._pairs.items())
        self._older_joined = _by_meaning(("".join(pair), symbol) for pair, symbol in self._older_pairs.items())

    def symbol(self, spelling: str) -> str | None:
        """The venue's own symbol of a spelling; None where it is none of a listed instrument, or one of several.
        `ValueError`, with a text for the user, for a text that can be no symbol.
        """
        text = symbol_of(spelling.strip())
        if text in self._symbols:
            return text
        pairs = [(text[: sign.start()], text[sign.end() :]) for sign in _SEPARATOR.finditer(text)]
        if pairs:
            return _first(pairs, self._pairs, self._older_pairs)
        return _first([text], self._joined, self._older_joined)


def _is_named_by_its_assets(listed: ListedInstrument) -> bool:
    """A delivery contract, for example, is not: its name has a day beside them."""
    return bool(listed.base and listed.quote) and any(
        _SEPARATOR.sub("", listed.symbol) == _SEPARATOR.sub("", base + quote) for base, quote in _pairs_of(listed)
    )


def _pairs_of(listed: ListedInstrument) -> list[tuple[str, str]]:
    """Base and quote by their usual names first, then with older ones."""
    names = [[asset, _OLDER[asset]] if asset in _OLDER else [asset] for asset in (listed.base, listed.quote)]
    return [(base, quote) for base, quote in product(*names)]


def _by_meaning(found: Iterable[tuple[T, str]]) -> dict[T, str]:
    """The symbol of each key; "" for a key of several."""
    symbols: defaultdict[T, set[str]] = defaultdict(set)
    for key, symbol in found:
        symbols[key].add(symbol)
    return {key: next(iter(of)) if len(of) == 1 else "" for key, of in symbols.items()}


def _first(keys: Collection[T], *tables: dict[T, str]) -> str | None:
    """What the first table says that knows any of the keys, where it is one symbol."""
    for table in tables:
        if found := {table[key] for key in keys if key in table}:
            return (found.pop() or None) if len(found) == 1 else None
    return None


class Catalogue:
    """The lists of several venues, as far as they are known; from any thread."""

    def __init__(self) -> None:
        self._spellings: Mapping[str, Spellings] = {}

    def put(self, venue: str, listed: Iterable[ListedInstrument]) -> None:
        """Replaces the list of a venue."""
        self._spellings = {**self._spellings, venue: Spellings(listed)}

    def symbol(self, venue: str, spelling: str) -> str | None:
        """As `Spellings.symbol`; None too while the venue's list is unknown."""
        spellings = self._spellings.get(venue)
        return spellings.symbol(spelling) if spellings else None

    def symbols(self, spelling: str, venues: Collection[str] | None = None) -> frozenset[str]:
        """What a spelling is at these venues, None: all. What is some venue's own name is that alone, unless venues are
        named; what is unknown stays as it is. `ValueError` as of `Spellings.symbol`.
        """
        text = symbol_of(spelling.strip())
        spellings = self._spellings
        found = {
            spellings[venue].symbol(text) for venue in (spellings if venues is None else venues & spellings.keys())
        }
        if not found - {None} or (venues is None and text in found):
            return frozenset((text,))
        return frozenset(symbol for symbol in found if symbol)
