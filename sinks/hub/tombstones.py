"""Symbols that were removed a moment ago: what is still said of them was on its way, and is not the present."""

from collections.abc import Iterable
from typing import Final

LATE_MS: Final = 1_000
"""Time in which news of a symbol that was removed may still come, as they take another way than the removal."""


class Departed:
    """The symbols that were removed and have not come back. Times are ms of any clock that does not run backwards."""

    def __init__(self) -> None:
        self._until: dict[str, float] = {}

    def depart(self, symbols: Iterable[str], now_ms: float) -> None:
        """They are removed now."""
        self._until.update(dict.fromkeys(symbols, now_ms + LATE_MS))

    def come_back(self, symbols: Iterable[str]) -> None:
        """They are followed again: news of them are new."""
        if self._until:
            for symbol in symbols:
                self._until.pop(symbol, None)

    def is_late(self, symbol: str, now_ms: float) -> bool:
        """Whether news of a symbol that come now are of the time before its removal."""
        until = self._until.get(symbol)
        if until is None:
            return False
        if now_ms < until:
            return True
        del self._until[symbol]
        return False
