"""Best bid and ask of an instrument, from the venue's own stream or from its book, whichever is newer."""

from flows.clock import Now
from flows.model import BookTicker
from flows.operators.books.results import Results
from flows.operators.refusals import rejected

MOST_JUMP = 1_000_000
"""Updates between two best bids and asks; a larger jump is held until another one goes on from there."""
LED_MS = 1_000
"""Best bids and asks that are all older than the one shown, for so long: that one was wrong."""


class BestBidAsk:
    """Gives a `BookTicker` at each change of price or quantity, update ids rising."""

    def __init__(self, venue: str) -> None:
        self._venue = venue
        self._best: BookTicker | None = None
        self._best_at = 0
        self._odd: BookTicker | None = None
        """One whose update id is far ahead."""

    def reset(self) -> None:
        """The connection was lost: the next one is shown, whatever its update id."""
        self._best = self._odd = None

    def take(self, ticker: BookTicker, now: Now, out: Results) -> None:
        """Takes one of the venue's own stream. An update id far ahead is believed when another one goes on from there;
        one that is shown and that none of the later ones reaches was wrong.
        """
        best, odd = self._best, self._odd
        if best is None:
            self._replace(ticker, now, out)
        elif ticker.update_id > best.update_id + MOST_JUMP:
            if odd is not None and odd.update_id <= ticker.update_id <= odd.update_id + MOST_JUMP:
                self._replace(ticker, now, out)
            else:
                self._odd = ticker
        elif ticker.update_id > best.update_id or now.local - self._best_at >= LED_MS:
            self._replace(ticker, now, out)

    def _replace(self, ticker: BookTicker, now: Now, out: Results) -> None:
        if self._odd is not None and self._odd is not ticker:
            out.append(rejected(self._venue, self._odd, "a best bid and ask that nothing followed"))
        self._odd = None
        if self._best is not None and ticker.update_id <= self._best.update_id:
            self._best = None  # that one was wrong
        self.show(ticker, now, out)

    def show(self, ticker: BookTicker, now: Now, out: Results) -> None:
        """Takes one that is known to be right, as of a book in sync; an older one than is shown is dropped."""
        best = self._best
        if best is not None:
            if ticker.update_id <= best.update_id:
                return
            self._best_at = now.local
            if _sides(ticker) == _sides(best):
                self._best = ticker
                return
        self._best, self._best_at = ticker, now.local
        out.append(ticker)


def _sides(ticker: BookTicker) -> tuple[float, float, float, float]:
    return ticker.bid_price, ticker.bid_quantity, ticker.ask_price, ticker.ask_quantity
