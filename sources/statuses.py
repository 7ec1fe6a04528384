"""Statuses of instruments as venues say them by stream: again and again, of all, in words of their own."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from flows.model import TradingStatus

MOST_SYMBOLS: Final = 10_000
"""Most instruments that are remembered; of more, those that a connection carries."""
_WORD: Final = re.compile(r"[A-Z_]{1,32}")


def status_word(text: str) -> str:
    """A status in the model's form; `UNKNOWN` for what is no word in capitals."""
    return text if _WORD.fullmatch(text) else "UNKNOWN"


class NewStatuses:
    """A status is given when it is new, and only of symbols that the connection carries."""

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def __contains__(self, symbol: str) -> bool:
        """Whether a status of a symbol was given."""
        return symbol in self._given

    def take(self, said: Iterable[tuple[str, str]], carried: Collection[str]) -> list[TradingStatus]:
        """Takes the statuses of symbols. What is not named, and what is empty, stays as it was."""
        changed: dict[str, list[str]] = {}
        for symbol, status in said:
            if status and symbol in carried and self._given.get(symbol) != status:
                changed.setdefault(status, []).append(symbol)
                self._given[symbol] = status
        if len(self._given) > MOST_SYMBOLS:
            self._given = {symbol: self._given[symbol] for symbol in carried if symbol in self._given}
        return [TradingStatus(tuple(symbols), status) for status, symbols in changed.items()]
