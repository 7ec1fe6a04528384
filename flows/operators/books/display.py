"""What clients see of an order book: the best levels at a pace, best bid and ask at once; or that there is none."""

from flows.clock import Now
from flows.model import BookTicker, BookView, Level
from flows.operators.books.best import BestBidAsk
from flows.operators.books.results import Results


class BookDisplay:
    """The views of one instrument's book."""

    def __init__(self, venue: str, symbol: str, *, levels: int, every_ms: int) -> None:
        """At most `levels` a side every `every_ms` of local time; a view that would wait for less than half of
        that comes at once, and those after it when they would have come.
        """
        self._venue = venue
        self._symbol = symbol
        self._levels = levels
        self._every_ms = every_ms
        self._early_ms = every_ms // 2
        self._next_at = 0
        self.best = BestBidAsk(venue)
        """Also from the venue's own stream."""
        self.is_dirty = False
        """The book has changed since it was shown."""
        self.is_announced = False
        """Clients have a view, if only that there is no book."""

    @property
    def due(self) -> int | None:
        """Local time of the next view; None when nothing has changed."""
        return self._next_at if self.is_dirty else None

    def hurry(self, now: Now) -> None:
        """The next view is due now."""
        self._next_at, self.is_dirty = now.local, True

    def levels(self, now: Now) -> int:
        """Levels a side that are needed at this moment: all of a view that is due, or the best one."""
        return self._levels if self._is_due(now) else 1

    def _is_due(self, now: Now) -> bool:
        return now.local >= self._next_at - self._early_ms

    def show(self, number: int, event_time: int, bids: list[Level], asks: list[Level], now: Now, out: Results) -> None:
        """Shows a book that is right, under an update id; as many levels of it as `levels` says."""
        nothing = (0.0, 0.0)
        top = (*(bids or [nothing])[0], *(asks or [nothing])[0])
        self.best.show(BookTicker(self._symbol, number, *top, event_time=event_time), now, out)
        if self._is_due(now):
            self.is_dirty, self.is_announced = False, True
            self._next_at = max(self._next_at, now.local) + self._every_ms
            out.append(BookView(self._venue, self._symbol, True, number, event_time, bids, asks))

    def withdraw(self, out: Results) -> None:
        """There is no book that is known to be right."""
        self.is_dirty, self.is_announced = False, True
        out.append(BookView(self._venue, self._symbol, synced=False))
