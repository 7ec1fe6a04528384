"""What Kraken says of its instruments: their decimals, and whether they and the exchange trade."""

from collections.abc import Collection, Iterable
from typing import Final

from flows.model import TradingStatus
from sources.kraken.names import symbol_of_venue
from sources.kraken.wire import InstrumentRow
from sources.statuses import MOST_SYMBOLS, NewStatuses, status_word

TRADING: Final = "TRADING"
_TRADING_WORDS: Final = frozenset(("online", "limit_only", "reduce_only"))


def status_of(word: str) -> str:
    """The status in the model's words: `TRADING` where trades are made, and else the venue's word in capitals."""
    return status_word(TRADING if word in _TRADING_WORDS else word.upper())


class Instruments:
    """Learnt from the channels `instrument` and `status`; with one more than `MOST_SYMBOLS` all are learnt anew."""

    def __init__(self) -> None:
        self._decimals: dict[str, tuple[int, int]] = {}
        self._statuses: dict[str, str] = {}
        self._system = TRADING
        self._given = NewStatuses()

    def decimals_of(self, symbol: str) -> tuple[int, int]:
        """The decimals of prices and quantities; 0 while they are not known, so that digits count as they are
        printed.
        """
        return self._decimals.get(symbol, (0, 0))

    def take(self, rows: Iterable[InstrumentRow], carried: Collection[str]) -> list[TradingStatus]:
        """Takes instruments that are new or have changed."""
        for row in rows:
            symbol = symbol_of_venue(row.symbol)
            if len(self._decimals) >= MOST_SYMBOLS and symbol not in self._decimals:
                self._decimals, self._statuses = {}, {}
            self._decimals[symbol] = row.price_precision, row.qty_precision
            self._statuses[symbol] = status_of(row.status)
        return self._changed(carried)

    def take_system(self, word: str, carried: Collection[str]) -> list[TradingStatus]:
        """Takes the status of the whole exchange: where that does not trade, no instrument does."""
        self._system = status_of(word)
        return self._changed(carried)

    def _changed(self, carried: Collection[str]) -> list[TradingStatus]:
        return self._given.take(((symbol, self._status(symbol)) for symbol in sorted(carried)), carried)

    def _status(self, symbol: str) -> str:
        """Empty while nothing is known of the instrument, and the exchange has always traded."""
        if self._system != TRADING:
            return self._system
        return self._statuses.get(symbol) or (TRADING if symbol in self._given else "")
