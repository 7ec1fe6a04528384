"""Trades whose ids the time cannot explain: they wait until another one continues them, and are refused when the old
sequence goes on instead.
"""

from flows.model import Trade

MOST_SKIPPED = 1_000_000
"""Ids that may be missing at once, and more for the time since the newest trade: `MOST_PER_MS` each ms."""
MOST_PER_MS = 20
"""No instrument trades faster."""
RESTART_MS = 60_000
"""A known id on a trade so much newer than the last one may mean that the venue counts anew."""
MOST_KEPT = 100
"""Trades that wait; one more, and the oldest is refused."""


def is_explained(trade: Trade, following: int, last_time: int) -> bool:
    """Whether a trade can have its id, where `following` is the next one and the newest trade was made at
    `last_time`.
    """
    distance = trade.id - following
    if distance < 0 and trade.time > last_time + RESTART_MS:
        return False
    return abs(distance) <= MOST_SKIPPED + MOST_PER_MS * abs(trade.time - last_time)


def largest_cluster(trades: list[Trade]) -> list[Trade]:
    """Of trades whose ids lie far apart, those that belong together and are most; ids rising."""
    ordered = sorted(trades, key=lambda trade: trade.id)
    clusters = [[ordered[0]]]
    for trade in ordered[1:]:
        last = clusters[-1][-1]
        if is_explained(trade, last.id + 1, last.time):
            clusters[-1].append(trade)
        else:
            clusters.append([trade])
    return max(clusters, key=len)


class Quarantine:
    """Trades that wait for one that continues them."""

    def __init__(self) -> None:
        self.trades: tuple[Trade, ...] = ()
        """Those that wait, in the order of arrival."""
        self.is_queried = False
        """The venue's REST side is queried for some of them."""

    def put(self, trade: Trade) -> list[Trade]:
        """Lets a trade wait; gives those that are refused for it."""
        waiting = [*self.trades, trade]
        self.trades = tuple(waiting[-MOST_KEPT:])
        return waiting[:-MOST_KEPT]

    def continued_by(self, trade: Trade) -> list[Trade]:
        """The trades that one follows, which wait no longer; empty when it follows none."""
        chain: list[Trade] = []
        following = trade
        for waiting in reversed(self.trades):
            if waiting.id == following.id - 1 and waiting.time <= following.time:
                chain.insert(0, waiting)
                following = waiting
        self.trades = tuple(waiting for waiting in self.trades if waiting not in chain)
        return chain

    def take_older(self, time: int) -> list[Trade]:
        """Those that were made before a time, ms UTC: later trades have come of the old sequence. They wait no longer.
        None while some are queried.
        """
        if self.is_queried:
            return []
        return self.take(tuple(trade for trade in self.trades if trade.time < time))

    def take(self, trades: tuple[Trade, ...]) -> list[Trade]:
        """Of these, those that wait still; they wait no longer."""
        taken = [trade for trade in self.trades if trade in trades]
        self.trades = tuple(trade for trade in self.trades if trade not in trades)
        return taken
