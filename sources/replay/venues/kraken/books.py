"""Order books as Kraken's clients keep them: cut off at the depth of their subscription, proven by a checksum.

A level that others push out of the depth gets no message: a client truncates its book by itself. A level that comes
back into it is sent again. Source: Kraken's guide "Book checksum (v2)".
"""

import zlib
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from sources.replay.market.book import Book, Level

DEPTHS = (10, 25, 100, 500, 1_000)
_PROVEN = 10
"""Levels a side that the checksum covers, whatever the depth."""


class Change(NamedTuple):
    """What a client is sent, and the checksum of its book after it."""

    bids: list[Level]
    asks: list[Level]
    checksum: int


class BookView:
    """The book that a client of one depth has."""

    def __init__(self, book: Book, depth: int) -> None:
        self._depth = depth
        self._bids, self._asks = dict(book.bids(depth)), dict(book.asks(depth))

    def snapshot(self) -> Change:
        """All levels, the best first."""
        return Change(list(self._bids.items()), list(self._asks.items()), self._checksum())

    def follow(self, book: Book) -> Change | None:
        """The changes of the levels in view; None without any."""
        bids, asks = dict(book.bids(self._depth)), dict(book.asks(self._depth))
        change = (
            _changes(self._bids, bids, lambda price: book.holds(price, bid=True)),
            _changes(self._asks, asks, lambda price: book.holds(price, bid=False)),
        )
        self._bids, self._asks = bids, asks
        return Change(change[0], change[1], self._checksum()) if any(change) else None

    def _checksum(self) -> int:
        return checksum(list(self._asks.items())[:_PROVEN], list(self._bids.items())[:_PROVEN])


def checksum(asks: Iterable[Level], bids: Iterable[Level]) -> int:
    """The CRC-32 of the best levels, asks first, each side the best first; texts in the decimals of the instrument."""
    text = "".join(_digits(price) + _digits(quantity) for side in (asks, bids) for price, quantity in side)
    return zlib.crc32(text.encode())


def _digits(number: str) -> str:
    return number.replace(".", "").lstrip("0")


def _changes(old: Mapping[str, str], new: Mapping[str, str], exists: Callable[[str], bool]) -> list[Level]:
    """Levels that were removed, which those pushed out of view are not, and levels that are new or have changed."""
    removed = [price for price in old if price not in new and not exists(price)]
    gone = [(price, _zero_like(old[price])) for price in removed]
    return gone + [level for level in new.items() if old.get(level[0]) != level[1]]


def _zero_like(quantity: str) -> str:
    _, point, fraction = quantity.partition(".")
    return f"0{point}{'0' * len(fraction)}"
