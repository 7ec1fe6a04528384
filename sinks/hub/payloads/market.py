"""Market payloads: the `data` of messages about prices, candles, trades, tickers and books.

Prices are in the quote currency, quantities and volumes in the base currency, quote volumes in the quote currency, as
in the model. Times are ms UTC since the epoch.
"""

from typing import ClassVar, NamedTuple

from msgspec import Struct, field

from flows.model import (
    BestPrices,
    BookTicker,
    BookView,
    Candle,
    DayFigures,
    MarketData,
    Ohlcv,
    Stats24h,
    Ticker,
    TickerFigures,
    TradeBatch,
    TradedOhlcv,
)
from sinks.hub.payloads.form import Payload


class ChartUpdate(NamedTuple):
    """A closed candle, and the price of its instrument at that moment, if there is one."""

    candle: Candle
    market: MarketData | None


class MarketDataBody(Payload[MarketData], frozen=True, gc=False):
    """Price in quote currency and how it moved in 24 hours; volume in base currency."""

    symbol: str
    price: float
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    timestamp: int
    venue: str

    times: ClassVar = {"timestamp": "time"}


class ChartCandle(Ohlcv[int], Payload[Candle], frozen=True, gc=False):
    """A candle for charts; `timestamp` is the begin of its period."""

    open_time: int = field(name="timestamp")
    is_closed: bool
    status: str
    revision: int


class ChartUpdateBody(Struct, frozen=True):
    """A candle that closed or was amended, with the instrument's latest price (null before the first)."""

    symbol: str
    timeframe: str
    candle: ChartCandle
    latest_price: float | None
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    timestamp: int
    venue: str

    @classmethod
    def of(cls, update: ChartUpdate) -> "ChartUpdateBody":
        """From the model. `timestamp` is that of the candle's last event, or its end where that is not known."""
        candle, market = update
        return cls(
            symbol=candle.symbol,
            timeframe=candle.timeframe,
            candle=ChartCandle.of(candle),
            latest_price=market.price if market else None,
            price_change_24h=market.price_change_24h if market else None,
            price_change_percent_24h=market.price_change_percent_24h if market else None,
            volume_24h=market.volume_24h if market else None,
            timestamp=candle.event_time or candle.close_time,
            venue=candle.venue,
        )


class FullCandle(TradedOhlcv[int], Payload[Candle], frozen=True, gc=False):
    """A candle with all its fields; ids are those of raw trades, -1 when the period has none."""

    open_time: int = field(name="timestamp")
    is_closed: bool
    status: str
    revision: int


class CandleBody(Struct, frozen=True):
    """A candle that forms, closed or was amended."""

    symbol: str
    timeframe: str
    candle: FullCandle
    timestamp: int
    venue: str

    @classmethod
    def of(cls, item: Candle) -> "CandleBody":
        """From the model; `timestamp` as in `ChartUpdateBody`."""
        full = FullCandle.of(item)
        return cls(item.symbol, item.timeframe, full, item.event_time or item.close_time, item.venue)


class TradeRow(Struct, frozen=True, gc=False):
    """One trade. `buyer_is_maker` true: the taker sold. `fill` is `MARKET` for trades that move candles."""

    id: int
    first_id: int
    last_id: int
    price: float
    quantity: float
    buyer_is_maker: bool
    fill: str
    timestamp: int


class TradeBody(Struct, frozen=True):
    """Trades in the order of their ids. `late`: they fill a gap, ids are lower than some sent before."""

    symbol: str
    late: bool
    trades: list[TradeRow]
    venue: str

    @classmethod
    def of(cls, batch: TradeBatch) -> "TradeBody":
        """From the model."""
        rows = [
            TradeRow(
                trade.id,
                trade.first_id,
                trade.last_id,
                trade.price,
                trade.quantity,
                trade.buyer_is_maker,
                trade.fill,
                trade.time,
            )
            for trade in batch.trades
        ]
        return cls(batch.symbol, batch.late, rows, batch.venue)


class TickerBody(TickerFigures, Payload[Ticker], frozen=True, gc=False):
    """The exchange's own statistics of the last 24 hours."""

    timestamp: int
    venue: str

    given: ClassVar = 1
    times: ClassVar = {"timestamp": "event_time"}


class StatsBody(DayFigures[int], Payload[Stats24h], frozen=True, gc=False):
    """Our own statistics of the last 24 hours, since `open_time`. Unless `complete`, some of that is missing."""

    timestamp: int
    venue: str

    times: ClassVar = {"timestamp": "time"}


class BookTickerBody(BestPrices, Payload[BookTicker], frozen=True, gc=False):
    """Best bid and ask; an empty side has price and quantity 0.0. `timestamp` is null where the venue reports none."""

    timestamp: int | None
    venue: str

    given: ClassVar = 1
    times: ClassVar = {"timestamp": "event_time"}


class OrderBookBody(Payload[BookView], frozen=True):
    """The best levels, best first, each `[price, quantity]`; an empty side is an empty list. Unless `synced`, the book
    is not known to be the exchange's, and has no levels. `timestamp` is null where the venue reports none.
    """

    symbol: str
    synced: bool
    update_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    spread: float | None
    mid: float | None
    imbalance: float | None
    timestamp: int | None
    venue: str

    times: ClassVar = {"timestamp": "event_time"}
