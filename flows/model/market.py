"""Market data of the venue: trades, klines, tickers, books."""

from typing import Literal, TypeAlias

from msgspec import Struct

from flows.model.derivatives import DerivativeReport
from flows.model.ohlcv import TradedOhlcv

MARKET_FILL = "MARKET"
"""The only kind of fill that moves candles; futures also report `INSURANCE_FUND`, `ADL` and `NA`, far from the
market price.
"""
WITHDRAWN_FILL = "WITHDRAWN"
HIDDEN_FILLS = -2
"""First and last id of a withdrawn trade whose row names fills."""
"""Mark of a trade that the exchange withdrew: its id is used, without a trade."""
Voucher: TypeAlias = Literal["", "checksum", "rest"]
"""What of the exchange vouches for trades: nothing, the checksum of a file, or its REST side, asked for them anew."""


class Trade(Struct, frozen=True, gc=False):
    """One trade. Ids rise by one from trade to trade of an instrument, so a gap in them is a missing trade."""

    symbol: str
    id: int
    time: int
    price: float
    quantity: float
    buyer_is_maker: bool
    """True: the taker (aggressor) sold."""
    event_time: int
    fill: str = MARKET_FILL

    @property
    def first_id(self) -> int:
        """First raw trade id it covers: its own."""
        return self.id

    @property
    def last_id(self) -> int:
        """Last raw trade id it covers: its own."""
        return self.id


class AggregateTrade(Trade, frozen=True, gc=False, kw_only=True):
    """The fills of one taker order at one price, reported as one trade. `id` counts aggregates, not raw trades."""

    first_id: int
    last_id: int


class Kline(TradedOhlcv[int], frozen=True, gc=False, kw_only=True):
    """The exchange's own candle, running or closed."""

    symbol: str
    timeframe: str
    event_time: int
    is_closed: bool
    close_time: int = 0
    """Last millisecond of its period; 0 where the source does not report it."""
    quote_volume_slack: float = 0.0
    """How far `quote_volume` may be off: where a venue states a rounded average price, it is that times the volume."""


class TickerFigures(Struct, frozen=True, gc=False):
    """The exchange's statistics of 24 hours. `trades` is -1 where the venue does not count them."""

    symbol: str
    price_change: float
    price_change_percent: float
    weighted_average: float
    last_price: float
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float
    trades: int


class Ticker(TickerFigures, frozen=True, gc=False, kw_only=True):
    """The exchange's own statistics of the last 24 hours (rolling)."""

    event_time: int
    open_time: int
    close_time: int
    last_id: int = -1
    """Raw trade id of the newest trade in it; -1 where the venue does not report it."""


class NewestTrade(Struct, frozen=True, gc=False):
    """What the venue names as the newest trade of an instrument, at regular times, traded or not."""

    symbol: str
    event_time: int
    last_id: int
    """Raw trade id; -1 before the first trade."""


class MiniTicker(Struct, frozen=True, gc=False):
    """The short form of `Ticker`."""

    symbol: str
    event_time: int
    close: float
    open: float
    high: float
    low: float
    volume: float
    quote_volume: float


class BestPrices(Struct, frozen=True, gc=False):
    """Best bid and ask. An empty side has price and quantity 0.0."""

    symbol: str
    update_id: int
    bid_price: float
    bid_quantity: float
    ask_price: float
    ask_quantity: float


class BookTicker(BestPrices, frozen=True, gc=False):
    """Best bid and ask with their time."""

    event_time: int = 0
    """0 where the venue does not report it (Binance spot)."""


Level: TypeAlias = tuple[float, float]
"""Price and quantity. In a delta the quantity is absolute, and 0.0 removes the level."""


class BookDelta(Struct, frozen=True, gc=False):
    """Changes of an order book between two update ids, both inclusive."""

    symbol: str
    event_time: int
    first_update_id: int
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    previous_update_id: int | None = None
    """The `last_update_id` of the delta before it, where the venue reports it (USD-M)."""


class BookSnapshot(Struct, frozen=True, gc=False):
    """The best levels of an order book at one update id, best first."""

    symbol: str
    last_update_id: int
    bids: list[Level]
    asks: list[Level]
    event_time: int = 0


class BookCheck(Struct, frozen=True, gc=False):
    """The venue's checksum of a book after a message. Texts are those of the message's levels in their order, as the
    checksum counts them.
    """

    value: int
    bids: list[str]
    asks: list[str]


class LineDelta(BookDelta, frozen=True, gc=False):
    """Changes of a book whose snapshots come by the same stream. The ids are no update ids: both are the venue's time
    in microseconds, or any number that never falls; 0 where there is none.
    """

    check: BookCheck | None = None


class LineSnapshot(BookSnapshot, frozen=True, gc=False):
    """A whole book by its stream: the changes that follow are of this one. Its id is as of `LineDelta`."""

    depth: int = 0
    """Levels a side that the stream keeps: one that is pushed out is not reported. 0: all of the book."""
    check: BookCheck | None = None


MarketEvent: TypeAlias = (
    Trade | Kline | Ticker | NewestTrade | MiniTicker | BookTicker | BookDelta | BookSnapshot | DerivativeReport
)


class Gap(Struct, frozen=True):
    """Trades that were issued and did not arrive; ids inclusive, times of the trades on either side."""

    venue: str
    symbol: str
    first_id: int
    last_id: int
    after_time: int
    before_time: int


class TradeBatch(Struct, frozen=True, gc=False):
    """Trades of one instrument in the order of their ids, without a gap and without a duplicate.

    `late` batches fill an abandoned gap: their ids are lower than ids emitted before. Or they have the venue's REST
    version of trades that were emitted and are wrong: those are `replaced`.
    """

    venue: str
    symbol: str
    trades: list[Trade]
    late: bool = False
    begin: int = 0
    """With `end` the least and the largest of their times, ms UTC; 0 where not computed."""
    end: int = 0
    replaced: tuple[Trade, ...] = ()
    """Trades of the same ids to be removed. Candles keep them: a `Gap` marks those as wrong."""
    vouched_by: Voucher = ""
    """They replace stored trades of the same ids, whose time may be any within theirs, or from `begin` to `end`."""


class StoreOnlyTrades(Struct, frozen=True, gc=False):
    """Trades only for the store: an earlier process emitted them, and the store has lost them."""

    batch: TradeBatch
