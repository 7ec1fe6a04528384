"""What a write finds of stored trades that new ones contradict."""

from collections.abc import Iterable

from msgspec import Struct

from flows.model import Voucher
from sinks.trades.codec import Row


class Dispute(Struct):
    """Stored trades of a symbol that differ from new ones with the same ids, or that cannot be true beside these."""

    symbol: str
    vouched_by: Voucher
    """What vouches for the new ones, which have replaced the stored ones; without it the stored ones are kept."""
    trades: int = 0
    first_id: int = -1
    last_id: int = -1
    begin: int = 0
    """Time of the first, ms UTC, as it is stored from now on."""
    end: int = 0

    def include(self, rows: Iterable[Row]) -> None:
        """Adds trades."""
        for row in rows:
            number, time = row[0], row[3]
            self.first_id, self.last_id = _wider(self.first_id, self.last_id, number, is_first=not self.trades)
            self.begin, self.end = _wider(self.begin, self.end, time, is_first=not self.trades)
            self.trades += 1


def _wider(low: int, high: int, value: int, *, is_first: bool) -> tuple[int, int]:
    return (value, value) if is_first else (min(low, value), max(high, value))
