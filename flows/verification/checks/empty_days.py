"""Days without candles: where one is found, the next candle is looked up once, and the days up to it are not read.

Years may lie between two candles: a deployment was stopped, or one candle has a false time.
"""

from collections.abc import Iterable

from flows.model import DAY_MS
from flows.verification.checks.ledger import Ledger
from flows.verification.checks.reading import Stores

MOST_DAYS = 100
"""Days of which the ledger is read at once."""


class EmptyDays:
    """What is known of the days behind one without candles, of one instrument. Times in ms UTC."""

    def __init__(self, stores: Stores, symbol: str, *, latest: int) -> None:
        """`latest` is the latest valid time."""
        self._stores = stores
        self._symbol = symbol
        self._latest = latest
        self._begin = self._end = 0
        self._ledger = Ledger()
        self._ledger_until = 0

    def holds(self, begin: int, end: int) -> bool:
        """Whether no candle opens in `[begin, end)`, as far as that is known."""
        return self._begin <= begin and end <= self._end

    def look_behind(self, day_end: int, timeframes: Iterable[str]) -> None:
        """A day without candles ends: looks up the first candle behind it."""
        if self.holds(day_end - DAY_MS, day_end):
            return
        spans = [self._stores.candle_span(self._symbol, name, day_end, self._latest) for name in timeframes]
        first = min((span[0] for span in spans if span is not None), default=self._latest)
        self._begin, self._end = day_end, first - first % DAY_MS
        self._ledger_until = 0

    def ledger(self, begin: int, end: int) -> Ledger:
        """The incidents that touch `[begin, end)`, and others around it if no candle is in it."""
        if not self.holds(begin, end):
            return self._stores.ledger(self._symbol, begin, end)
        if end > self._ledger_until:
            self._ledger_until = min(self._end, begin + MOST_DAYS * DAY_MS)
            self._ledger = self._stores.ledger(self._symbol, begin, self._ledger_until)
        return self._ledger
