"""The rules of Coinbase."""

from typing import Final

from flows.bounds import VenueRules
from flows.model import BOUGHT
from sources.coinbase.names import BOOKS_LINE

UNREPORTED: Final = frozenset(("quote_volume", *BOUGHT, "trades"))
"""The venue's candles have the volume alone."""

RULES: Final = VenueRules(
    book_line=BOOKS_LINE,
    # nothing says to which moment the figures of its ticker reach back
    has_comparable_ticker=False,
    unreported_fields=UNREPORTED,
    second_reorder_ms=1_000,  # sent every 250 ms, in any order within a second
    has_books_on_line=True,
)
