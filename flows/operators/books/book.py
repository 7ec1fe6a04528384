"""An order book at one update id, and what makes it the exchange's: a snapshot and the differences after it."""

from flows.model import BookDelta, BookSnapshot
from flows.operators.books.ladder import Ladder


class Book:
    """Both sides of a book. `depth` is how many levels a side the snapshot's query names; no more are kept."""

    __slots__ = ("asks", "bids", "event_time", "update_id")

    def __init__(self, snapshot: BookSnapshot, *, depth: int) -> None:
        self.update_id = snapshot.last_update_id
        self.event_time = snapshot.event_time
        self.bids = Ladder(snapshot.bids, is_bids=True, depth=depth)
        self.asks = Ladder(snapshot.asks, is_bids=False, depth=depth)

    def apply(self, delta: BookDelta) -> None:
        """Takes the difference that follows."""
        self.bids.change(delta.bids)
        self.asks.change(delta.asks)
        self.update_id = delta.last_update_id
        self.event_time = delta.event_time

    def similarity(self, other: "Book", count: int) -> float:
        """The share of the best `count` levels of both sides that are the same in another book, as far as both know
        them; 1.0 where there are none.
        """
        same = all_ = 0
        for ours, theirs in ((self.bids, other.bids), (self.asks, other.asks)):
            known, others = ours.best(count), theirs.best(count)
            if not ours.is_whole:
                others = others[: len(known)]
            if not theirs.is_whole:
                known = known[: len(others)]
            same += len(set(known) & set(others))
            all_ += max(len(known), len(others))
        return same / all_ if all_ else 1.0
