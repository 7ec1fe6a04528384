"""An order book on the exchange's side: it changes, and says so in differences and snapshots."""

from random import Random
from typing import Literal

from flows.model import BookDelta, BookSnapshot, Level

SYMBOL = "BTCUSDT"


class ExchangeBook:
    """Knows all of its levels. Spot ids rise by one with each change, those of USD-M jump."""

    def __init__(self, market: Literal["spot", "usdm"] = "spot", *, seed: int = 0, levels: int = 10) -> None:
        self._market = market
        self._random = Random(seed)
        self.update_id = 100
        self.time = 1_700_000_000_000
        self.bids = {100.0 - step: 1.0 for step in range(1, levels + 1)}
        self.asks = {100.0 + step: 1.0 for step in range(1, levels + 1)}
        self._told = self.update_id
        self._first: int | None = None
        self._changed: dict[str, dict[float, float]] = {"bids": {}, "asks": {}}

    def change(self, side: Literal["bids", "asks"], price: float, quantity: float) -> None:
        """One level becomes so much."""
        self.update_id += 1 if self._market == "spot" else self._random.randint(1, 9)
        self.time += 10
        self._first = self._first or self.update_id
        self._changed[side][price] = quantity
        levels = getattr(self, side)
        levels[price] = quantity
        if not quantity:
            del levels[price]

    def wander(self, changes: int) -> None:
        """So many random changes that leave the book uncrossed."""
        for _ in range(changes):
            bid, ask = max(self.bids), min(self.asks)
            side: Literal["bids", "asks"] = "bids" if self._random.random() < 0.5 else "asks"
            own = self.bids if side == "bids" else self.asks
            if self._random.random() < 0.4 and len(own) > 2:
                self.change(side, self._random.choice(list(own)), 0.0)
            else:
                away = self._random.randint(0, 12) / 2
                price = min(ask - 0.5, bid + 2 - away) if side == "bids" else max(bid + 0.5, ask - 2 + away)
                self.change(side, price, self._random.randint(1, 9) / 4)

    def delta(self) -> BookDelta:
        """All that changed since the last one; there must be something."""
        assert self._first is not None
        previous = self._told if self._market == "usdm" else None
        changed = self._changed
        delta = BookDelta(
            SYMBOL, self.time, self._first, self.update_id,
            list(changed["bids"].items()), list(changed["asks"].items()), previous,
        )  # fmt: skip
        self._told, self._first, self._changed = self.update_id, None, {"bids": {}, "asks": {}}
        return delta

    def deltas(self, count: int, *, changes: int = 3) -> list[BookDelta]:
        """So many differences of random changes."""
        made = []
        for _ in range(count):
            self.wander(changes)
            made.append(self.delta())
        return made

    def snapshot(self, depth: int = 1_000) -> BookSnapshot:
        """The best levels of this moment."""
        return BookSnapshot(SYMBOL, self.update_id, self.best_bids(depth), self.best_asks(depth))

    def best_bids(self, count: int) -> list[Level]:
        """Highest first."""
        return sorted(self.bids.items(), reverse=True)[:count]

    def best_asks(self, count: int) -> list[Level]:
        """Lowest first."""
        return sorted(self.asks.items())[:count]
