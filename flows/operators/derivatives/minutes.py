"""What of the mark prices is stored: the first of each minute."""

from flows.model import MarkPrice

MINUTE_MS = 60_000


class FirstOfMinute:
    """Passes on the first mark price of each minute and instrument."""

    def __init__(self) -> None:
        self._minutes: dict[tuple[str, str], int] = {}

    def __call__(self, prices: list[MarkPrice]) -> list[MarkPrice]:
        """Those that begin a minute which is newer than all before."""
        return [price for price in prices if self._is_first(price)]

    def _is_first(self, price: MarkPrice) -> bool:
        key, minute = (price.venue, price.symbol), price.event_time // MINUTE_MS
        is_first = minute > self._minutes.get(key, -1)
        if is_first:
            self._minutes[key] = minute
        return is_first
