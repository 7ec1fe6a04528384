"""Coinbase's messages, field by field.

Exchange feed: https://docs.cdp.coinbase.com/exchange/websocket-feed/channels
Advanced Trade feed: https://docs.cdp.coinbase.com/coinbase-app/advanced-trade-apis/websocket/websocket-channels

Prices and quantities are quoted decimals; the decoders read them with `strict=False`, in C. Times are ISO-8601 with up
to nine decimals of a second. The bounds below are the rules for single fields: a frame that breaks one is rejected as a
whole. Unknown fields are ignored.
"""

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from msgspec import Meta, Struct

from sources.coinbase.names import SYMBOL_LENGTH

Time = Annotated[datetime, Meta(tz=True)]
Product = Annotated[str, Meta(min_length=1, max_length=SYMBOL_LENGTH)]
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Price = Annotated[float, Meta(gt=0, lt=1e12)]
PriceOrZero = Annotated[float, Meta(ge=0, lt=1e12)]
Quantity = Annotated[float, Meta(gt=0, lt=1e18)]
QuantityOrZero = Annotated[float, Meta(ge=0, lt=1e24)]
Side = Literal["buy", "sell"]
"""The maker's: `sell` means that the taker bought."""
MOST_TRADES = 10_000
"""Trades of a message; one has some, its snapshot 100."""
MOST_LEVELS = 500_000
"""Levels of a whole book; one has 44,000."""


class MatchMessage(Struct, frozen=True, gc=False, tag_field="type", tag="match"):
    """Channel `matches`: one trade.

    {"type":"match","trade_id":1052000002,"maker_order_id":"6b39…","taker_order_id":"b364…","side":"buy","size":"0.2",
     "price":"93120.49","product_id":"BTC-USD","sequence":132000000003,"time":"2026-01-01T00:00:01.164892Z"}
    """

    trade_id: Id
    side: Side
    size: Quantity
    price: Price
    product_id: Product
    time: Time


class LastMatchMessage(MatchMessage, frozen=True, gc=False, tag_field="type", tag="last_match"):
    """The newest trade before a subscription, once for each product."""


class HeartbeatMessage(Struct, frozen=True, gc=False, tag_field="type", tag="heartbeat"):
    """Channel `heartbeat`: once a second for each product, on the whole second.

    {"type":"heartbeat","last_trade_id":1052000002,"product_id":"BTC-USD","sequence":132000000010,
     "time":"2026-01-01T00:00:02.000000Z"}
    """

    last_trade_id: Id
    product_id: Product
    time: Time


class TickerMessage(Struct, frozen=True, gc=False, tag_field="type", tag="ticker"):
    """Channel `ticker`: at each trade, figures of the last 24 hours. Several trades of one moment are one message.

    {"type":"ticker","sequence":132000000003,"product_id":"BTC-USD","price":"93120.49","open_24h":"92001.1",
     "volume_24h":"8012.45","low_24h":"91500","high_24h":"94020","volume_30d":"312045.1","best_bid":"93120.48",
     "best_bid_size":"0.5","best_ask":"93120.49","best_ask_size":"0.2","side":"buy",
     "time":"2026-01-01T00:00:01.164892Z","trade_id":1052000002,"last_size":"0.2"}
    """

    product_id: Product
    price: Price
    open_24h: PriceOrZero
    volume_24h: QuantityOrZero
    low_24h: PriceOrZero
    high_24h: PriceOrZero
    time: Time
    trade_id: Id


ExchangeMessage: TypeAlias = MatchMessage | LastMatchMessage | HeartbeatMessage | TickerMessage
"""Messages with data of the Exchange feed."""


class ProductState(Struct, frozen=True):
    """Whether a product trades: of the flags, those that say that nothing is traded."""

    id: Product
    status: Annotated[str, Meta(max_length=SYMBOL_LENGTH)]
    trading_disabled: bool = False
    cancel_only: bool = False
    post_only: bool = False

    @property
    def state(self) -> str:
        """`TRADING`, or why it does not trade."""
        if self.status != "online":
            return self.status.upper()
        flags = ("trading_disabled", "cancel_only", "post_only")
        return next((flag.upper() for flag in flags if getattr(self, flag)), "TRADING")


class StatusMessage(Struct, frozen=True):
    """Channel `status`: all products every few seconds. Currencies are not read.

    {"type":"status","products":[{"id":"BTC-USD","base_currency":"BTC","quote_currency":"USD","status":"online",
     "status_message":"","post_only":false,"limit_only":false,"cancel_only":false}],"currencies":[]}
    """

    products: Annotated[list[ProductState], Meta(max_length=100_000)]


class LevelUpdate(Struct, frozen=True, gc=False):
    """A level of a book; the quantity is absolute, and 0 removes it, also where there is none."""

    side: Literal["bid", "offer"]
    event_time: Time
    """When it changed: the same for all levels of a message, and later from message to message of a book."""
    price_level: Price
    new_quantity: QuantityOrZero


class LevelsEvent(Struct, frozen=True, gc=False):
    """The whole book of a product, or changes of it."""

    type: Literal["snapshot", "update"]
    product_id: Product
    updates: Annotated[list[LevelUpdate], Meta(min_length=1, max_length=MOST_LEVELS)]


class LevelsMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="l2_data"):
    """Channel `level2` of the Advanced feed: a snapshot of each book, then what changes.

    {"channel":"l2_data","timestamp":"2026-01-01T00:00:01.4Z","sequence_num":4,"events":[{"type":"update",
     "product_id":"BTC-USD","updates":[{"side":"bid","event_time":"2026-01-01T00:00:01.4Z","price_level":"93120.00",
     "new_quantity":"2.00000000"}]}]}
    """

    timestamp: Time
    sequence_num: Id
    events: list[LevelsEvent]


class HeartbeatsMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="heartbeats"):
    """Channel `heartbeats` of the Advanced feed, a sign of life once a second: nothing in it is read."""


BooksMessage: TypeAlias = LevelsMessage | HeartbeatsMessage
"""Messages of a connection with books."""


class AdvancedTrade(Struct, frozen=True, gc=False):
    """A trade of the Advanced feed, with the id that it has on the Exchange feed; the side is the maker's."""

    trade_id: Id
    product_id: Product
    price: Price
    size: Quantity
    side: Literal["BUY", "SELL"]
    time: Time


class TradesEvent(Struct, frozen=True, gc=False):
    """The newest trades before a subscription, newest first, or those of the last 250 ms, in any order."""

    type: Literal["snapshot", "update"]
    trades: Annotated[list[AdvancedTrade], Meta(max_length=MOST_TRADES)]


class TradesMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="market_trades"):
    """Channel `market_trades` of the Advanced feed.

    {"channel":"market_trades","timestamp":"2026-01-01T00:00:01.25Z","sequence_num":5,"events":[{"type":"update",
     "trades":[{"trade_id":"1052000002","product_id":"BTC-USD","price":"93120.49","size":"0.2","side":"BUY",
     "time":"2026-01-01T00:00:01.164892Z"}]}]}
    """

    timestamp: Time
    sequence_num: Id
    events: list[TradesEvent]


class Outline(Struct, gc=False):
    """The fields that identify any message of either feed."""

    type: str = ""
    channel: str = ""
    message: str = ""
    reason: str = ""
