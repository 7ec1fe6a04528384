"""The state of one venue, as one hub tells it: the latest news of everything. Pure.

Ages are in the feed's time, carried forward by the monotonic clock: what a snapshot says was old already when it came.
"""

from collections import Counter, deque
from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Final

from api.heard import News
from flows.clock import FeedClock

INCIDENTS_KEPT: Final = 200
EVENTS: Final = ("Trade", "Incident", "Candle", "ChartUpdate")
"""Channels of which the latest message is not the state."""
TIMELESS: Final = ("Status", "Incident")
"""Channels whose stamps do not tell the feed's time: before the first news of the market they are of the wall clock."""


class Board:
    """Latest price, ticker, book and statistics of each symbol that is followed, state of each line, last incidents."""

    def __init__(self, venue: str, clock: FeedClock | None = None) -> None:
        self.venue = venue
        self.origin = ""
        self.clock = clock or FeedClock()
        self.incidents: deque[News] = deque(maxlen=INCIDENTS_KEPT)
        self.counts: Counter[str] = Counter()
        """Messages by channel."""
        self.last_heard: dict[str, int] = {}
        """Stamp of the newest message by channel."""
        self._latest: dict[tuple[str, str], News] = {}
        self._lines: dict[str, News] = {}
        self._symbols: frozenset[str] | None = frozenset()  # None when it is to be made anew

    def take(self, news: News) -> None:
        """Takes a message."""
        channel = news.channel
        if channel not in TIMELESS:
            self.clock.observe(news.stamp_ms)
        self.counts[channel] += 1
        self.last_heard[channel] = max(news.stamp_ms, self.last_heard.get(channel, 0))
        if channel == "Status":
            self._take_status(news)
        elif channel == "Incident":
            self.incidents.append(news)
        elif channel not in EVENTS:
            key = channel, news.symbol
            if key not in self._latest:
                self._symbols = None
            self._latest[key] = news

    def _take_status(self, news: News) -> None:
        self.origin = news.body.origin
        self._symbols = None
        if news.body.state == "removed":
            gone = frozenset(news.body.symbols)
            self._latest = {key: known for key, known in self._latest.items() if key[1] not in gone}
        else:
            self._lines[news.body.line] = news

    def forget(self) -> None:
        """The hub says that what is known is not the present any more. Incidents have happened all the same."""
        self._latest.clear()
        self._lines.clear()
        self._symbols = None

    def latest(self, channel: str, symbol: str) -> News | None:
        """The newest message of a channel about a symbol."""
        return self._latest.get((channel, symbol))

    def all_latest(self, channel: str) -> list[News]:
        """The newest message about every symbol, in their alphabetical order."""
        return [self._latest[key] for key in sorted(key for key in self._latest if key[0] == channel)]

    def lines(self) -> list[News]:
        """The state of every line of the venue, by name."""
        return [self._lines[line] for line in sorted(self._lines)]

    def symbols(self) -> AbstractSet[str]:
        """The symbols that it knows anything of."""
        if self._symbols is None:
            told = (symbol for _, symbol in self._latest if symbol)
            self._symbols = frozenset(told).union(*(news.body.symbols for news in self._lines.values()))
        return self._symbols

    def age_ms(self, news: News) -> int:
        """How long ago the hub made a message."""
        return self.ages_ms([news])[0]

    def ages_ms(self, news: Iterable[News]) -> list[int]:
        """How long ago the hub made each message."""
        now_ms = self.clock.now().feed
        return [max(0, now_ms - one.stamp_ms) for one in news]
