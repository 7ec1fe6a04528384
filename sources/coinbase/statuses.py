"""What Coinbase's channel `status` says of products: whether they trade."""

import re
from collections.abc import Collection, Iterable
from typing import Final

from flows.model import TradingStatus
from sources.coinbase.wire import ProductState

MOST_SYMBOLS: Final = 10_000
"""Most products that are remembered; of more, those that a connection carries."""
_WORD: Final = re.compile(r"[A-Z_]{1,32}")


class Statuses:
    """A status is given when it is new, and only of symbols that the connection carries: the channel says all of them
    every few seconds.
    """

    def __init__(self) -> None:
        self._given: dict[str, str] = {}

    def take(self, products: Iterable[ProductState], carried: Collection[str]) -> list[TradingStatus]:
        """Takes a message of the channel. What it does not name stays as it was."""
        changed: dict[str, list[str]] = {}
        for product in products:
            status = status_of(product)
            if product.id in carried and self._given.get(product.id) != status:
                changed.setdefault(status, []).append(product.id)
                self._given[product.id] = status
        if len(self._given) > MOST_SYMBOLS:
            self._given = {symbol: self._given[symbol] for symbol in carried if symbol in self._given}
        return [TradingStatus(tuple(symbols), status) for status, symbols in changed.items()]


def status_of(product: ProductState) -> str:
    """`TRADING`, or why it does not trade; `UNKNOWN` for what is no word."""
    return product.state if _WORD.fullmatch(product.state) else "UNKNOWN"
