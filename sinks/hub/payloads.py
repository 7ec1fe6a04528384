"""The `data` of the hub's messages, one shape a channel: field order and names are the contract with the clients.

Times are ISO-8601 text in UTC, prices in the quote currency, quantities and volumes in the base currency, quote volumes
in the quote currency, as in the model.
"""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final, NamedTuple

from msgspec import Struct

from flows.model import (
    BookTicker,
    BookView,
    Candle,
    ChannelStatus,
    FeedStatus,
    Heartbeat,
    Incident,
    InstrumentStatus,
    MarketData,
    Stats24h,
    Ticker,
    TradeBatch,
)

_LAST_MS: Final = 253_402_300_799_999


def iso_utc(time_ms: int) -> str:
    """Milliseconds since the epoch as ISO-8601: `2025-01-01T00:00:00Z`, or `2025-01-01T00:00:00.250Z`. What cannot be
    written that way becomes the epoch, or the last moment of the year 9999.
    """
    second, milliseconds = divmod(min(max(time_ms, 0), _LAST_MS), 1_000)
    return f"{_iso_second(second)}.{milliseconds:03}Z" if milliseconds else f"{_iso_second(second)}Z"


@lru_cache(maxsize=4_096)
def _iso_second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).strftime("%Y-%m-%dT%H:%M:%S")


class ChartNews(NamedTuple):
    """A closed candle, and the price of its instrument at that moment, if there is one."""

    candle: Candle
    market: MarketData | None


class LineNews(NamedTuple):
    """The state of a line, and where its data comes from (`live`, `testnet`, `replay`, `synthetic`)."""

    status: FeedStatus
    origin: str


class InstrumentNews(NamedTuple):
    """The state of an instrument, and where its data comes from."""

    status: InstrumentStatus
    origin: str


class HeartbeatNews(NamedTuple):
    """A sign of life of the flow, and where its data comes from."""

    heartbeat: Heartbeat
    origin: str


class MarketDataBody(Struct, frozen=True, gc=False):
    """Price in quote currency and how it moved in 24 hours; volume in base currency."""

    symbol: str
    price: float
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    timestamp: str

    @classmethod
    def of(cls, item: MarketData) -> "MarketDataBody":
        """From the model."""
        return cls(
            item.symbol,
            item.price,
            item.price_change_24h,
            item.price_change_percent_24h,
            item.volume_24h,
            iso_utc(item.time),
        )


class ChartCandle(Struct, frozen=True, gc=False):
    """A candle as charts draw it; `timestamp` is the begin of its period."""

    timestamp: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    is_closed: bool
    status: str
    revision: int

    @classmethod
    def of(cls, item: Candle) -> "ChartCandle":
        """From the model."""
        return cls(
            iso_utc(item.open_time),
            item.open,
            item.high,
            item.low,
            item.close,
            item.volume,
            item.is_closed,
            item.status,
            item.revision,
        )


class ChartUpdateBody(Struct, frozen=True):
    """A candle that closed or was amended, with the instrument's latest price (null before the first)."""

    symbol: str
    timeframe: str
    candle: ChartCandle
    latest_price: float | None
    price_change_24h: float | None
    price_change_percent_24h: float | None
    volume_24h: float | None
    timestamp: str

    @classmethod
    def of(cls, news: ChartNews) -> "ChartUpdateBody":
        """From the model. `timestamp` is when the candle's last news came, or its end where that is not known."""
        candle, market = news
        return cls(
            symbol=candle.symbol,
            timeframe=candle.timeframe,
            candle=ChartCandle.of(candle),
            latest_price=market.price if market else None,
            price_change_24h=market.price_change_24h if market else None,
            price_change_percent_24h=market.price_change_percent_24h if market else None,
            volume_24h=market.volume_24h if market else None,
            timestamp=iso_utc(candle.event_time or candle.close_time),
        )


class FullCandle(Struct, frozen=True, gc=False):
    """All that is known of a candle; ids are those of raw trades, -1 when the period has none."""

    timestamp: str
    open: float
    high: float
    low: float
    close: float
    volume: float
    quote_volume: float
    trades: int
    taker_buy_volume: float
    taker_buy_quote_volume: float
    first_id: int
    last_id: int
    is_closed: bool
    status: str
    revision: int


class CandleBody(Struct, frozen=True):
    """A candle that forms, closed or was amended."""

    symbol: str
    timeframe: str
    candle: FullCandle
    timestamp: str

    @classmethod
    def of(cls, item: Candle) -> "CandleBody":
        """From the model; `timestamp` as in `ChartUpdateBody`."""
        full = FullCandle(
            iso_utc(item.open_time),
            item.open,
            item.high,
            item.low,
            item.close,
            item.volume,
            item.quote_volume,
            item.trades,
            item.taker_buy_volume,
            item.taker_buy_quote_volume,
            item.first_id,
            item.last_id,
            item.is_closed,
            item.status,
            item.revision,
        )
        return cls(item.symbol, item.timeframe, full, iso_utc(item.event_time or item.close_time))


class TradeRow(Struct, frozen=True, gc=False):
    """One trade. `buyer_is_maker` true: the taker sold. `fill` is `MARKET` for all that moves candles."""

    id: int
    first_id: int
    last_id: int
    price: float
    quantity: float
    buyer_is_maker: bool
    fill: str
    timestamp: str


class TradeBody(Struct, frozen=True):
    """Trades in the order of their ids. `late`: they fill a hole, ids are lower than some that went before."""

    symbol: str
    late: bool
    trades: list[TradeRow]

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
                iso_utc(trade.time),
            )
            for trade in batch.trades
        ]
        return cls(batch.symbol, batch.late, rows)


class TickerBody(Struct, frozen=True, gc=False):
    """The exchange's own statistics of the last 24 hours."""

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
    timestamp: str

    @classmethod
    def of(cls, item: Ticker) -> "TickerBody":
        """From the model."""
        return cls(
            item.symbol,
            item.price_change,
            item.price_change_percent,
            item.weighted_average,
            item.last_price,
            item.open,
            item.high,
            item.low,
            item.volume,
            item.quote_volume,
            item.trades,
            iso_utc(item.event_time),
        )


class StatsBody(Struct, frozen=True, gc=False):
    """Our own statistics of the last 24 hours, since `open_time`. Unless `complete`, some of that is missing."""

    symbol: str
    open_time: str
    open: float
    high: float
    low: float
    last: float
    volume: float
    quote_volume: float
    change: float
    change_percent: float
    weighted_average: float
    trades: int
    complete: bool
    timestamp: str

    @classmethod
    def of(cls, item: Stats24h) -> "StatsBody":
        """From the model."""
        return cls(
            item.symbol,
            iso_utc(item.open_time),
            item.open,
            item.high,
            item.low,
            item.last,
            item.volume,
            item.quote_volume,
            item.change,
            item.change_percent,
            item.weighted_average,
            item.trades,
            item.complete,
            iso_utc(item.time),
        )


class BookTickerBody(Struct, frozen=True, gc=False):
    """Best bid and ask; on an empty side price and quantity are 0.0."""

    symbol: str
    update_id: int
    bid_price: float
    bid_quantity: float
    ask_price: float
    ask_quantity: float
    timestamp: str | None

    @classmethod
    def of(cls, item: BookTicker) -> "BookTickerBody":
        """From the model; the timestamp is null where the venue does not say."""
        return cls(
            item.symbol,
            item.update_id,
            item.bid_price,
            item.bid_quantity,
            item.ask_price,
            item.ask_quantity,
            iso_utc(item.event_time) if item.event_time else None,
        )


class OrderBookBody(Struct, frozen=True):
    """The best levels, best first, each `[price, quantity]`; an empty side is an empty list. Unless `synced`, the book
    is not known to be the exchange's, and has no levels.
    """

    symbol: str
    synced: bool
    update_id: int
    bids: list[tuple[float, float]]
    asks: list[tuple[float, float]]
    spread: float | None
    mid: float | None
    imbalance: float | None
    timestamp: str | None

    @classmethod
    def of(cls, item: BookView) -> "OrderBookBody":
        """From the model; the timestamp is null where the venue does not say."""
        return cls(
            item.symbol,
            item.synced,
            item.update_id,
            item.bids,
            item.asks,
            item.spread,
            item.mid,
            item.imbalance,
            iso_utc(item.event_time) if item.event_time else None,
        )


class StatusBody(Struct, frozen=True):
    """The state of one line of the venue, and what its data is. `state` is `connected`, `live` or `disconnected` of the
    line and its `symbols`; or `removed`: these symbols are followed no more, and nothing known of them is the present.
    """

    venue: str
    origin: str
    line: str
    state: str
    symbols: tuple[str, ...]
    reason: str

    @classmethod
    def of(cls, news: LineNews) -> "StatusBody":
        """From the model."""
        status, origin = news
        return cls(status.venue, origin, status.line, status.state, status.symbols, status.reason)


class ChannelBody(Struct, frozen=True):
    """The state of one channel of an instrument, in the words of the model, and since when; null before the venue's
    time is known.
    """

    channel: str
    state: str
    since: str | None
    reason: str

    @classmethod
    def of(cls, status: ChannelStatus) -> "ChannelBody":
        """From the model."""
        return cls(status.channel, status.state, iso_utc(status.since) if status.since else None, status.reason)


class InstrumentBody(Struct, frozen=True):
    """The state of an instrument: that of the worst of its channels, since when, why, and each of them. It stays so
    until another one comes, as long as heartbeats do.
    """

    venue: str
    origin: str
    symbol: str
    state: str
    since: str | None
    reason: str
    channels: list[ChannelBody]

    @classmethod
    def of(cls, news: InstrumentNews) -> "InstrumentBody":
        """From the model."""
        status, origin = news
        return cls(
            status.venue,
            origin,
            status.symbol,
            status.state,
            iso_utc(status.since) if status.since else None,
            status.reason,
            [ChannelBody.of(channel) for channel in status.channels],
        )


class HeartbeatBody(Struct, frozen=True):
    """The flow is alive, once a second; where two are missing, nothing of what was said before is known to hold. `time`
    is what time it is at the venue, null before that is known; ages count from it. `clock` is `sure` or `unsure`.
    """

    venue: str
    origin: str
    state: str
    time: str | None
    clock: str

    @classmethod
    def of(cls, news: HeartbeatNews) -> "HeartbeatBody":
        """From the model."""
        beat, origin = news
        time = iso_utc(beat.time) if beat.time else None
        return cls(beat.venue, origin, "alive", time, "sure" if beat.is_sure else "unsure")


def status_body(news: LineNews | InstrumentNews | HeartbeatNews) -> StatusBody | InstrumentBody | HeartbeatBody:
    """What the channel `Status` says; the three shapes differ in their fields."""
    match news:
        case LineNews():
            return StatusBody.of(news)
        case InstrumentNews():
            return InstrumentBody.of(news)
        case HeartbeatNews():
            return HeartbeatBody.of(news)


class IncidentBody(Struct, frozen=True):
    """Something that a user of the data would want to know. `symbol` is "" when it concerns the whole venue."""

    kind: str
    venue: str
    symbol: str
    begin: str
    end: str
    cause: str
    outcome: str
    first_id: int
    last_id: int

    @classmethod
    def of(cls, item: Incident) -> "IncidentBody":
        """From the model."""
        return cls(
            item.kind,
            item.venue,
            item.symbol,
            iso_utc(item.begin),
            iso_utc(item.end),
            item.cause,
            item.outcome,
            item.first_id,
            item.last_id,
        )
