"""What a verification reads, as protocols: the stores of a venue, and the exchange's own candles."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import polars as pl
from msgspec import Struct

from flows.model import Kline
from flows.verification.checks.claims import StoredCandle
from flows.verification.checks.held import FirstSeen
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.unreadable import UnreadableRecord

OnBad = Callable[[UnreadableRecord], None]


class Stores(Protocol):
    """The stored data of one venue. Every method may block, and raises the stores' exceptions."""

    def frames(self, symbol: str, start: int, end: int, on_bad: OnBad) -> Iterator[pl.DataFrame]:
        """The trades in `[start, end)`, ms UTC, every kind of fill and every version, as from `TradeView.iterate`.
        `on_bad` gets the records that cannot be read, as far as they have been come upon.
        """

    def trade_span(self, symbol: str, start: int, end: int) -> tuple[int, int] | None:
        """Times of the first and the last trade in `[start, end)`; None without any."""

    def candle_span(self, symbol: str, timeframe: str, start: int, end: int) -> tuple[int, int] | None:
        """Open times of the first and the last candle in `[start, end)`; None without any."""

    def candles_outside(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        """Some of the candles that do not open in `[start, end)`, or whose open time is no number."""

    def candles(self, symbol: str, timeframe: str, start: int, end: int) -> list[StoredCandle]:
        """The candles that open in `[start, end)`, oldest first."""

    @property
    def has_trades(self) -> bool:
        """Whether there is a trade store at all."""

    def first_seen(self, symbol: str) -> FirstSeen | None:
        """The first trade that was ever to be stored; None where that is not known."""

    def kept_ms(self, symbol: str, timeframe: str) -> int | None:
        """How long the first stored candle is kept behind its end; None for ever, or without any candle."""

    def is_made_elsewhere(self, symbol: str, timeframe: str, start: int, end: int) -> bool:
        """Whether another symbol has a `final` candle that opens in `[start, end)`."""

    def ledger(self, symbol: str, start: int, end: int) -> Ledger:
        """The incidents of the symbol, and of the whole venue, that touch `[start, end)`."""


class Klines(Struct, frozen=True):
    """The exchange's own candles of a part of a day."""

    klines: Mapping[int, Kline]
    """Closed ones by open time."""
    covered: tuple[int, int]
    """`[begin, end)` in ms UTC: all that open in it are included."""


GetKlines = Callable[[str, str, int, int], Klines]
"""The exchange's candles of a symbol and timeframe that open in `[start, end)`."""
