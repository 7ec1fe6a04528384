"""Results of the flow: prices, views of books, statistics; and the unions of inputs and results of its machines."""

from typing import Generic, TypeAlias

from msgspec import Struct

from flows.model.account import AccountItem, AccountRecord
from flows.model.alerts import Alert
from flows.model.candles import Candle, RefreshResult, StoreOnly
from flows.model.derivatives import DerivativeRecord, DerivativeUpdate
from flows.model.incidents import Incident, Rejected
from flows.model.market import (
    BookDelta,
    BookTicker,
    Gap,
    Kline,
    Level,
    LineSnapshot,
    NewestTrade,
    StoreOnlyTrades,
    Ticker,
    Trade,
    TradeBatch,
)
from flows.model.ohlcv import Time
from flows.model.printed import difference, middle, printed
from flows.model.source_events import (
    ConnectionEvent,
    Coverage,
    Disconnected,
    Removed,
    Silent,
    Speaking,
    TradesRefused,
)
from flows.model.states import FeedStatus, Heartbeat, InstrumentStatus, TradeWitness, Watermark, WholeFrom


class MarketData(Struct, frozen=True, gc=False):
    """The price of an instrument and its change; the 24-hour figures are None until they are known."""

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
    """Exchange time of its newest change; 0 with only a snapshot without a time."""
    bids: list[Level] = []
    asks: list[Level] = []

    @property
    def spread(self) -> float | None:
        """Best ask less best bid, in the quote currency; None when a side is empty."""
        return difference(self.asks[0][0], self.bids[0][0]) if self.bids and self.asks else None

    @property
    def mid(self) -> float | None:
        """Mean of best bid and best ask; None when a side is empty."""
        return middle(self.asks[0][0], self.bids[0][0]) if self.bids and self.asks else None

    @property
    def imbalance(self) -> float | None:
        """Bid quantity less ask quantity, as a share of their sum, over the levels shown: 1.0 without asks; None when
        both sides are empty.
        """
        bid, ask = sum(quantity for _, quantity in self.bids), sum(quantity for _, quantity in self.asks)
        return printed((bid - ask) / (bid + ask)) if bid + ask else None


class DayFigures(Struct, Generic[Time], frozen=True, gc=False):
    """Statistics of an instrument over 24 hours that begin with `open_time`, in the model and in payloads."""

    symbol: str
    open_time: Time
    """Begin of the first minute."""
    open: float
    """Price of the first trade; without one, the last price before."""
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
    """Quote volume by volume; `last` without trades."""
    trades: int
    complete: bool
    """No minute and no trade is missing."""


class Stats24h(DayFigures[int], frozen=True, gc=False, kw_only=True):
    """Our own figures of the last 24 hours: the running minute, and the 1,440 before it."""

    venue: str
    time: int
    """Exchange time of the event that made this version, or begin of a minute without any."""


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
    | DerivativeUpdate
    | AccountItem
    | Alert
)
"""Input of the broadcast hub."""

Document: TypeAlias = Candle | Stats24h | DerivativeRecord | AccountRecord
"""Results for MongoDB."""


class Seeded(Struct, frozen=True):
    """The period of a candle holds the exchange's running kline in the place of some of its trades."""

    timeframe: str
    open_time: int


TradeInput: TypeAlias = (
    list[Trade] | list[Kline] | list[Ticker] | list[NewestTrade] | ConnectionEvent | TradesRefused | Coverage
)
"""Input of the candles: runs of one instrument's events, each of one type, and the events of its connections."""
TradeResult: TypeAlias = (
    TradeBatch
    | StoreOnlyTrades
    | Candle
    | StoreOnly
    | Incident
    | TradeWitness
    | Rejected
    | RefreshResult
    | Seeded
    | Gap
    | Watermark
    | WholeFrom
    | TradeInput
)
"""Their results, and the input that no machine takes."""

BookInput: TypeAlias = (
    list[BookDelta] | list[BookTicker] | list[LineSnapshot] | Disconnected | Removed | Silent | Speaking
)
"""Input of the book of one instrument."""
BookResult: TypeAlias = BookView | BookTicker | Incident | Rejected
"""Its results."""

StatsInput: TypeAlias = Candle | Ticker | Removed
"""Input of the 24-hour statistics of one instrument: its minutes, and the exchange's own statistics."""
StatsResult: TypeAlias = Stats24h | Incident
"""Their results."""


class VenueItems(list[Publishable]):
    """Items of one venue for clients: not all of them name it."""

    def __init__(self, venue: str, items: list[Publishable]) -> None:
        super().__init__(items)
        self.venue = venue
