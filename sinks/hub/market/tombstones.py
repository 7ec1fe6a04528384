"""Recently unsubscribed symbols. Late messages for them are dropped."""

from collections.abc import Iterable
from typing import Final

LATE_MS: Final = 1_000
"""How long messages of a removed symbol may still arrive: they take another path than the removal."""


class Tombstones:
    """Symbols that are removed and not subscribed again. Times are ms of any monotonic clock."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def add(self, symbols: Iterable[str], now_ms: float) -> None:
        """These symbols are removed now."""
        self._until.update(dict.fromkeys(symbols, now_ms + LATE_MS))

    def remove(self, symbols: Iterable[str]) -> None:
        """These symbols are subscribed again: their messages are current."""
        if self._until:
            for symbol in symbols:
                self._until.pop(symbol, None)

    def is_late(self, symbol: str, now_ms: float) -> bool:
        """Whether a message of a symbol that arrives now is from before its removal."""
        until = self._until.get(symbol)
        if until is None:
            return False
        if now_ms < until:
            return True
        del self._until[symbol]
        return False
