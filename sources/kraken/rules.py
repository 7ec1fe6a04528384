"""The rules of Kraken's spot market."""

from collections.abc import Sequence
from typing import Final
from zlib import crc32

from msgspec import Struct

from flows.bounds import VenueRules
from flows.model import BOUGHT, BookTicker, Ticker

MARKET_LINE: Final = "market"
BOOK_LINE: Final = "book"
MOST_KLINES: Final = 720
"""Rows of an answer of klines, the newest; older ones are not served (https://docs.kraken.com/api, `OHLC`)."""


class Crc32(Struct, frozen=True):
    """The digits of price and quantity of the best ten asks and then of the best ten bids, without points and leading
    zeros (https://docs.kraken.com/api/docs/guides/spot-ws-book-v2).
    """

    levels: int = 10

    def of(self, bids: Sequence[str], asks: Sequence[str]) -> int:
        """CRC-32 (IEEE) of the joined texts."""
        return crc32("".join((*asks, *bids)).encode())


RULES: Final = VenueRules(
    # each trade has an id of its own, and klines count trades
    fills_follow=True,
    ticker_counts_trades=False,
    unreported_fields=frozenset(BOUGHT),
    # the product of volume and a rounded average price
    rounded_fields=frozenset(("quote_volume",)),
    klines_kept=MOST_KLINES,
    book_line=BOOK_LINE,
    has_books_on_line=True,
    book_checksum=Crc32(),
    borrowed_times=frozenset((Ticker, BookTicker)),
)
