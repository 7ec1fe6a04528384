"""An order book as a client keeps it: a snapshot, and the differences after it. Levels stay the exchange's own text."""

from collections.abc import Iterable
from itertools import islice
from typing import Any

import msgspec
from msgspec import Struct, field

from sources.replay.market import MarketKind

Level = tuple[str, str]
"""Price and quantity as printed."""


class DepthUpdate(Struct, gc=False):
    """The diff of a book, as far as a book needs it. Quantities are absolute; zero removes the level."""

    first_id: int = field(name="U")
    last_id: int = field(name="u")
    bids: list[Level] = field(name="b")
    asks: list[Level] = field(name="a")
    event_time: int = field(name="E", default=0)
    transaction_time: int = field(name="T", default=0)
    previous_id: int = field(name="pu", default=0)


class DepthSnapshot(Struct, gc=False):
    """The REST answer. The times are USD-M's."""

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
        self.bid_levels = dict(snapshot.bids)
        """Quantity by price, in no order."""
        self.ask_levels = dict(snapshot.asks)

    def apply(self, update: DepthUpdate) -> None:
        """Takes a diff; one that the book already contains changes nothing."""
        if update.last_id <= self.last_id:
            return
        _change(self.bid_levels, update.bids)
        _change(self.ask_levels, update.asks)
        self.last_id = update.last_id
        self.event_time, self.transaction_time = update.event_time, update.transaction_time

    def bids(self, limit: int) -> list[Level]:
        """The best bids, highest first."""
        return list(islice(sorted(self.bid_levels.items(), key=_price, reverse=True), limit))

    def asks(self, limit: int) -> list[Level]:
        """The best asks, lowest first."""
        return list(islice(sorted(self.ask_levels.items(), key=_price), limit))

    def best_bid(self) -> Level | None:
        """The highest bid; None on an empty side."""
        return max(self.bid_levels.items(), key=_price, default=None)

    def best_ask(self) -> Level | None:
        """The lowest ask; None on an empty side."""
        return min(self.ask_levels.items(), key=_price, default=None)

    def changes_to(self, other: "Book") -> tuple[list[Level], list[Level]]:
        """The bids and asks of a diff that turns this book into the other."""
        return _changes(self.bid_levels, other.bid_levels), _changes(self.ask_levels, other.ask_levels)

    def snapshot(self, limit: int, kind: MarketKind) -> dict[str, Any]:
        """The REST answer of this moment."""
        times = {"E": self.event_time, "T": self.transaction_time} if kind == "usdm" else {}
        return {"lastUpdateId": self.last_id, **times, "bids": self.bids(limit), "asks": self.asks(limit)}


def _price(level: Level) -> float:
    return float(level[0])


def _is_zero(quantity: str) -> bool:
    return not quantity.strip("0.")


def _change(side: dict[str, str], levels: Iterable[Level]) -> None:
    for price, quantity in levels:
        if _is_zero(quantity):
            side.pop(price, None)
        else:
            side[price] = quantity


def _changes(old: dict[str, str], new: dict[str, str]) -> list[Level]:
    gone = [
        (price, "0" if "." not in quantity else "0." + "0" * len(quantity.partition(".")[2]))
        for price, quantity in old.items()
        if price not in new
    ]
    return gone + [level for level in new.items() if old.get(level[0]) != level[1]]
