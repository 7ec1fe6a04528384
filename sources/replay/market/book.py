"""An order book as a client keeps it: a snapshot and the differences after it. Levels stay in the exchange's text."""

from bisect import bisect_left, insort
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct, field

from sources.replay.market.market import MarketKind

Level = tuple[str, str]
"""Price and quantity as printed."""


class DepthUpdate(Struct, gc=False):
    """The fields of a diff that a book needs. Quantities are absolute; zero removes the level."""

    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    event_time: int = field(name="E", default=0)
    transaction_time: int = field(name="T", default=0)
    previous_id: int = field(name="pu", default=0)


class DepthSnapshot(Struct, gc=False):
    """The REST answer. Only USD-M sends the times."""

    last_id: int = field(name="lastUpdateId")
    bids: list[Level]
    asks: list[Level]
    event_time: int = field(name="E", default=0)
    transaction_time: int = field(name="T", default=0)


decode_update = msgspec.json.Decoder(DepthUpdate).decode
decode_snapshot = msgspec.json.Decoder(DepthSnapshot).decode


class Book:
    """Levels of one symbol at `last_id`."""

    def __init__(self, snapshot: DepthSnapshot) -> None:
        self.last_id = snapshot.last_id
        self.event_time = snapshot.event_time
        self.transaction_time = snapshot.transaction_time
        self._bids = _Side(snapshot.bids)
        self._asks = _Side(snapshot.asks)

    def apply(self, update: DepthUpdate) -> None:
        """Applies a diff; one that the book already contains changes nothing."""
        if update.last_id <= self.last_id:
            return
        self._bids.change(update.bids)
        self._asks.change(update.asks)
        self.last_id = update.last_id
        self.event_time, self.transaction_time = update.event_time, update.transaction_time

    def bids(self, limit: int) -> list[Level]:
        """The best bids, highest first."""
        return self._bids.highest(limit)

    def asks(self, limit: int) -> list[Level]:
        """The best asks, lowest first."""
        return self._asks.lowest(limit)

    def best_bid(self) -> Level | None:
        """The highest bid; None on an empty side."""
        return next(iter(self.bids(1)), None)

    def best_ask(self) -> Level | None:
        """The lowest ask; None on an empty side."""
        return next(iter(self.asks(1)), None)

    def holds(self, price: str, *, bid: bool) -> bool:
        """Whether there is a level of a price, as printed, on a side."""
        return price in (self._bids if bid else self._asks).quantities

    def changes_to(self, other: "Book") -> tuple[list[Level], list[Level]]:
        """The bids and asks of a diff that turns this book into the other."""
        theirs = other._bids, other._asks  # noqa: SLF001  # of its own kind
        return self._bids.changes_to(theirs[0]), self._asks.changes_to(theirs[1])

    def snapshot(self, limit: int, kind: MarketKind) -> dict[str, Any]:
        """The REST answer for the present book."""
        times = {"E": self.event_time, "T": self.transaction_time} if kind == "usdm" else {}
        return {"lastUpdateId": self.last_id, **times, "bids": self.bids(limit), "asks": self.asks(limit)}


class _Side:
    """Quantity by price, and the prices in order once they are wanted so."""

    def __init__(self, levels: Iterable[Level]) -> None:
        self.quantities = dict(levels)
        self._sorted: list[str] | None = None

    def change(self, levels: Iterable[Level]) -> None:
        quantities, order = self.quantities, self._sorted
        for price, quantity in levels:
            known = price in quantities
            if not _is_zero(quantity):
                quantities[price] = quantity
                if order is not None and not known:
                    insort(order, price, key=_rank)
            elif known:
                del quantities[price]
                if order is not None:
                    del order[bisect_left(order, _rank(price), key=_rank)]

    def lowest(self, limit: int) -> list[Level]:
        return [(price, self.quantities[price]) for price in self._order()[:limit]]

    def highest(self, limit: int) -> list[Level]:
        return [(price, self.quantities[price]) for price in self._order()[: -limit - 1 : -1]]

    def _order(self) -> list[str]:
        if self._sorted is None:
            self._sorted = sorted(self.quantities, key=_rank)
        return self._sorted

    def changes_to(self, other: "_Side") -> list[Level]:
        old, new = self.quantities, other.quantities
        gone = [(price, _zero_like(quantity)) for price, quantity in old.items() if price not in new]
        return gone + [level for level in new.items() if old.get(level[0]) != level[1]]


def _rank(price: str) -> tuple[float, str]:
    return float(price), price


def _is_zero(quantity: str) -> bool:
    return not quantity.strip("0.")


def _zero_like(quantity: str) -> str:
    """Zero with the decimals of another quantity."""
    _, point, fraction = quantity.partition(".")
    return "0" + point + "0" * len(fraction)
