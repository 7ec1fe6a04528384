"""Step `prices`: the current price of every instrument, straight from what was validated, so that it never waits for a
repair. The 24-hour figures are the exchange's own, from its long ticker or its short one.
"""

from collections.abc import Sequence

from flows.bounds import LATEST_MS, fault_of
from flows.clock import FeedClock
from flows.model import MARKET_FILL, Instrument, Kline, MarketData, MarketEvent, MiniTicker, Removed, Ticker, Trade
from flows.model.printed import change_of
from flows.operators.parse import Batch, InstrumentEvent, Trades, Validated
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
        touched: dict[str, _Price] = {}
        feed_ms = self._clock.now().feed
        latest = feed_ms + AHEAD_MS if feed_ms else LATEST_MS
        for item in items:
            if type(item) is Trades:
                self._take_trades(item, latest, touched)
            elif type(item) is Batch:
                if (price := self._take(item, latest)) is not None:
                    touched[item.key] = price
            elif type(item) is InstrumentEvent and type(item.event) is Removed and item.event.is_gone:
                self._prices.pop(item.key, None)
        return [data for price in touched.values() if (data := price.market_data()) is not None]

    def _take_trades(self, item: Trades, latest: int, touched: dict[str, _Price]) -> None:
        """The newest trade of each instrument."""
        for symbol, last in {trade.symbol: trade for trade in item.trades}.items():
            key = item.keys[symbol]
            price = touched[key] = self._price_of(key, latest)
            is_price = last.fill == MARKET_FILL and not fault_of(last)
            found = last if is_price else _newest_sound([trade for trade in item.trades if trade.symbol == symbol])
            if found is not None:
                price.take_trade(found)

    def _price_of(self, key: str, latest: int) -> _Price:
        price = self._prices.get(key)
        if price is None:
            price = self._prices[key] = _Price(key)
        elif price.confirmed > latest or price.trade_time > latest:
            price.forget_times_behind(latest - AHEAD_MS)
        return price

    def _take(self, batch: Batch, latest: int) -> _Price | None:
        last = batch.events[-1]
        if not isinstance(last, Trade | Kline | Ticker | MiniTicker):
            return None
        price = self._price_of(batch.key, latest)
        if isinstance(last, Trade):
            if (found := _newest_sound(batch.events)) is not None:
                price.take_trade(found)
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


def _newest_sound(events: Sequence[MarketEvent]) -> Trade | None:
    """The newest trade that is a price; None where there is none."""
    trades = (event for event in reversed(events) if isinstance(event, Trade) and event.fill == MARKET_FILL)
    return next((trade for trade in trades if not fault_of(trade)), None)


def _is_explained(trade: Trade, following: int, last_time: int) -> bool:
    """Whether a trade can have its id so soon after the newest one."""
    distance, elapsed = trade.id - following, trade.event_time - last_time
    return -MOST_SKIPPED <= distance <= MOST_SKIPPED + MOST_PER_MS * max(0, elapsed) and (
        distance >= 0 or elapsed < RESTART_MS
    )
