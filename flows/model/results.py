"""What the flow makes of market data: prices, views of books, statistics."""

from typing import Generic, TypeAlias

from msgspec import Struct

from flows.model.candles import Candle, RefreshResult, StoreOnly
from flows.model.incidents import Incident, Rejected
from flows.model.market import (
    BookDelta,
    BookTicker,
    Gap,
    Kline,
    Level,
    StoreOnlyTrades,
    Ticker,
    Trade,
    TradeBatch,
)
from flows.model.ohlcv import Time
from flows.model.source_events import (
    ConnectionEvent,
    Coverage,
    Disconnected,
    Removed,
    Silent,
    Speaking,
    TradesRefused,
)
from flows.model.states import FeedStatus, Heartbeat, InstrumentStatus, TradeWitness


class MarketData(Struct, frozen=True, gc=False):
    """The price of an instrument and how it moved; the 24-hour figures are None until they are known."""

    venue: str
    symbol: str
    price: float
    time: int
    price_change_24h: float | None = None
    price_change_percent_24h: float | None = None
    volume_24h: float | None = None


class BookView(Struct, frozen=True, gc=False):
    """The best levels of an order book, best first. Unless `synced`, the book is not known to be the exchange's, and
    has no levels.
    """

    venue: str
    symbol: str
    synced: bool
    update_id: int = 0
    event_time: int = 0
    """Exchange time of the newest change in it; 0 where only a snapshot without a time is."""
    bids: list[Level] = []
    asks: list[Level] = []

    @property
    def spread(self) -> float | None:
        """Best ask less best bid, in the quote currency; None when a side is empty."""
        return self.asks[0][0] - self.bids[0][0] if self.bids and self.asks else None

    @property
    def mid(self) -> float | None:
        """Between best bid and best ask; None when a side is empty."""
        return (self.asks[0][0] + self.bids[0][0]) / 2 if self.bids and self.asks else None

    @property
    def imbalance(self) -> float | None:
        """Quantity bid less quantity asked, as a share of both, over the levels shown: 1.0 when nobody sells; None when
        both sides are empty.
        """
        bid, asked = sum(quantity for _, quantity in self.bids), sum(quantity for _, quantity in self.asks)
        return (bid - asked) / (bid + asked) if bid + asked else None


class DayFigures(Struct, Generic[Time], frozen=True, gc=False):
    """What an instrument did in 24 hours that begin with `open_time`, however they are told."""

    symbol: str
    open_time: Time
    """Begin of the first minute."""
    open: float
    """Price of the first trade; where there is none, the last price before."""
    high: float
    low: float
    last: float
    volume: float
    quote_volume: float
    change: float
    """`last` less `open`."""
    change_percent: float
    """The same, in percent of `open`."""
    weighted_average: float
    """Quote volume by volume; `last` where nothing was traded."""
    trades: int
    complete: bool
    """No minute is missing, and none lacks trades."""


class Stats24h(DayFigures[int], frozen=True, gc=False, kw_only=True):
    """Our own figures of the last 24 hours: the running minute, and the 1,440 before it."""

    venue: str
    time: int
    """Exchange time of the news that made this version, or begin of the minute that began without any."""


Publishable: TypeAlias = (
    MarketData
    | Candle
    | TradeBatch
    | Ticker
    | BookTicker
    | BookView
    | Stats24h
    | Incident
    | FeedStatus
    | InstrumentStatus
    | Heartbeat
)
"""What the broadcast hub takes."""

Document: TypeAlias = Candle | Stats24h
"""What the flow gives to MongoDB."""

TradeInput: TypeAlias = list[Trade] | list[Kline] | list[Ticker] | ConnectionEvent | TradesRefused | Coverage
"""What candles are made of: runs of one instrument's events, each of one type, and the events of its connections."""
TradeResult: TypeAlias = (
    TradeBatch
    | StoreOnlyTrades
    | Candle
    | StoreOnly
    | Incident
    | TradeWitness
    | Rejected
    | RefreshResult
    | Gap
    | TradeInput
)
"""What is made of that, and the input that no machine takes."""

BookInput: TypeAlias = list[BookDelta] | list[BookTicker] | Disconnected | Removed | Silent | Speaking
"""What the book of one instrument is kept from."""
BookResult: TypeAlias = BookView | BookTicker | Incident | Rejected
"""What is made of that."""

StatsInput: TypeAlias = Candle | Ticker | Removed
"""What the 24-hour statistics of one instrument are made of: its minutes, and the exchange's own statistics."""
StatsResult: TypeAlias = Stats24h | Incident
"""What is made of that."""
