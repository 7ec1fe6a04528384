"""Step `prices`: the current price of every instrument, straight from what was validated, so that it never waits for a
repair. The 24-hour figures are the exchange's own, from its long ticker or its short one.
"""

from flows.bounds import LATEST_MS, fault_of
from flows.clock import FeedClock
from flows.model import MARKET_FILL, Instrument, Kline, MarketData, MarketEvent, MiniTicker, Removed, Ticker, Trade
from flows.model.printed import change_of
from flows.operators.parse import Batch, InstrumentEvent, Validated
from flows.operators.time_gate import AHEAD_MS
from flows.operators.trades.quarantine import MOST_PER_MS

MOST_SKIPPED = 10_000
"""Ids that may be missing between two prices, and more for the time between them."""
RESTART_MS = 1_000
"""Known ids on trades so much newer than the last one contradict it."""


class _Price:
    """Latest price of one instrument."""

    __slots__ = (
        "change", "confirmed", "instrument", "last_id", "odd", "percent", "price", "sent", "time", "trade_time",
        "volume",
    )  # fmt: skip

    def __init__(self, key: str) -> None:
        self.instrument = Instrument.of(key)
        self.price = 0.0
        self.time = 0
        self.confirmed = 0
        self.trade_time = 0
        """Event time of the newest trade."""
        self.last_id = -1
        """Its id."""
        self.odd: Trade | None = None
        """A trade whose id the time does not explain: believed when another continues it."""
        self.change: float | None = None
        self.percent: float | None = None
        self.volume: float | None = None
        self.sent: tuple[float | None, ...] = ()

    def take(self, price: float, time: int) -> None:
        """The newest exchange time wins; of equal times the later arrival."""
        if time >= self.confirmed and price:
            self.price, self.time, self.confirmed = price, time, time

    def repeat(self, price: float, time: int) -> None:
        """A price that something else than a trade names; one that is named again is as old as before."""
        if price != self.price:
            self.take(price, time)
        elif time > self.confirmed:
            self.confirmed = time

    def take_trade(self, trade: Trade) -> None:
        """The newest id wins, unless something else has named a price of a later time."""
        following = self.last_id + 1
        if following and not _is_explained(trade, following, self.trade_time):
            odd, self.odd = self.odd, trade
            if odd is None or trade.id <= odd.id or not _is_explained(trade, odd.id + 1, odd.event_time):
                return
        elif trade.id < following:
            return
        self.odd, self.last_id, self.trade_time = None, trade.id, trade.event_time
        self.take(trade.price, trade.event_time)

    def forget_times_behind(self, latest: int) -> None:
        """The venue's clock has gone back to `latest`, or was never as far: whatever comes now is newer."""
        self.confirmed = 0
        self.time = min(self.time, latest)
        self.trade_time = min(self.trade_time, latest)

    def market_data(self) -> MarketData | None:
        """The price, if it or its 24-hour figures changed since the last call."""
        figures = (self.price, self.change, self.percent, self.volume)
        if figures == self.sent or not self.price:
            return None
        self.sent = figures
        venue, symbol = self.instrument
        return MarketData(venue, symbol, self.price, self.time, self.change, self.percent, self.volume)


class Prices:
    """Follows trades, klines and tickers; at most one `MarketData` an instrument and poll. A removed symbol is
    dropped.
    """

    def __init__(self, clock: FeedClock | None = None) -> None:
        """`clock` is the venue's: no price is of a later time for long."""
        self._clock = clock or FeedClock()
        self._prices: dict[str, _Price] = {}

    def __call__(self, items: list[Validated]) -> list[MarketData]:
        """The prices that these events changed."""
        touched = {}
        feed_ms = self._clock.now().feed
        latest = feed_ms + AHEAD_MS if feed_ms else LATEST_MS
        for item in items:
            if type(item) is Batch and (price := self._take(item, latest)) is not None:
                touched[item.key] = price
            elif type(item) is InstrumentEvent and type(item.event) is Removed and item.event.is_gone:
                self._prices.pop(item.key, None)
        return [data for price in touched.values() if (data := price.market_data()) is not None]

    def _take(self, batch: Batch, latest: int) -> _Price | None:
        last = batch.events[-1]
        if not isinstance(last, Trade | Kline | Ticker | MiniTicker):
            return None
        price = self._prices.get(batch.key)
        if price is None:
            price = self._prices[batch.key] = _Price(batch.key)
        elif price.confirmed > latest or price.trade_time > latest:
            price.forget_times_behind(latest - AHEAD_MS)
        if isinstance(last, Trade):
            self._take_trade(price, last, batch.events)
        elif isinstance(last, Kline):
            price.repeat(last.close, last.event_time)
        elif isinstance(last, Ticker):
            price.repeat(last.last_price, last.event_time)
            price.change = last.price_change
            price.percent = last.price_change_percent
            price.volume = last.volume
        else:
            price.repeat(last.close, last.event_time)
            price.change, percent = change_of(last.open, last.close)
            price.percent = percent if last.open else None
            price.volume = last.volume
        return price

    @staticmethod
    def _take_trade(price: _Price, last: Trade, events: list[MarketEvent]) -> None:
        """The newest trade of a batch that is a price."""
        if last.fill != MARKET_FILL or fault_of(last):
            sound = (trade for trade in reversed(events) if isinstance(trade, Trade) and trade.fill == MARKET_FILL)
            found = next((trade for trade in sound if not fault_of(trade)), None)
            if found is None:
                return
            last = found
        price.take_trade(last)


def _is_explained(trade: Trade, following: int, last_time: int) -> bool:
    """Whether a trade can have its id so soon after the newest one."""
    distance, elapsed = trade.id - following, trade.event_time - last_time
    return -MOST_SKIPPED <= distance <= MOST_SKIPPED + MOST_PER_MS * max(0, elapsed) and (
        distance >= 0 or elapsed < RESTART_MS
    )
