"""Kraken's messages, field by field (https://docs.kraken.com/api/docs/websocket-v2/trade, /ohlc, /ticker, /book,
/instrument, /status).

Numbers are JSON numbers, times RFC 3339. Where digits matter the text is kept: `Raw` of prices and quantities of books,
which the checksum counts digit by digit, and of average prices, whose last digit says how exact they are. The bounds
are the rules for single fields: a frame that breaks one is rejected as a whole. Unknown fields are ignored.
"""

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta, Raw, Struct

Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
Price = Annotated[float, Meta(gt=0, lt=1e12)]
PriceOrZero = Annotated[float, Meta(ge=0, lt=1e12)]
Quantity = Annotated[float, Meta(gt=0, lt=1e18)]
QuantityOrZero = Annotated[float, Meta(ge=0, lt=1e24)]
Change = Annotated[float, Meta(gt=-1e12, lt=1e12)]
Symbol = Annotated[str, Meta(min_length=1, max_length=64)]
"""As in `BTC/USD`."""
Timestamp = Annotated[str, Meta(min_length=20, max_length=40)]
"""As in `2026-07-07T23:00:04.585581Z`, with up to nine decimals of a second."""
Word = Annotated[str, Meta(min_length=1, max_length=64)]
"""A status, as in `cancel_only`."""
Decimals = Annotated[int, Meta(ge=0, le=30)]
Checksum = Annotated[int, Meta(ge=0, lt=2**32)]

MOST_PRICE = 1e12
MOST_QUANTITY = 1e18
MOST_DIGITS = 40
"""Longest text of a number."""


class TradeRow(Struct, frozen=True, gc=False):
    """One trade: `side` is the taker's."""

    symbol: Symbol
    side: Literal["buy", "sell"]
    price: Price
    qty: Quantity
    trade_id: Id
    timestamp: Timestamp


class TradeMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="trade"):
    """Trades of one moment, ids rising.

    {"channel":"trade","type":"update","data":[{"symbol":"ETH/USD","side":"buy","price":1774.14,"qty":0.00147959,
     "ord_type":"limit","trade_id":64175815,"timestamp":"2026-07-07T23:00:04.585581Z"}]}
    """

    data: Annotated[list[TradeRow], Meta(max_length=10_000)]


class OhlcRow(Struct, frozen=True, gc=False):
    """One running period; `vwap` is cut to the decimals of prices, and 0 without trades."""

    symbol: Symbol
    open: Price
    high: Price
    low: Price
    close: Price
    vwap: Raw
    trades: Id
    volume: QuantityOrZero
    interval_begin: Timestamp
    interval: Annotated[int, Meta(gt=0, lt=10**6)]
    """Minutes."""


class OhlcMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="ohlc"):
    """The running period after a trade; there is no message that closes it. A snapshot has earlier ones too.

    {"channel":"ohlc","type":"update","timestamp":"2026-01-01T00:00:30.5Z","data":[{"symbol":"BTC/USD","open":93100.0,
     "high":93160.0,"low":93090.1,"close":93120.5,"vwap":93122.2,"trades":41,"volume":2.51,
     "interval_begin":"2026-01-01T00:00:00.000000000Z","interval":1,"timestamp":"2026-01-01T00:01:00.000000Z"}]}
    """

    type: Literal["snapshot", "update"]
    timestamp: Timestamp
    data: Annotated[list[OhlcRow], Meta(max_length=10_000)]


class TickerRow(Struct, frozen=True, gc=False):
    """Statistics of 24 hours and the best bid and ask; a side without offers is 0."""

    symbol: Symbol
    bid: PriceOrZero
    bid_qty: QuantityOrZero
    ask: PriceOrZero
    ask_qty: QuantityOrZero
    last: PriceOrZero
    volume: QuantityOrZero
    vwap: PriceOrZero
    low: PriceOrZero
    high: PriceOrZero
    change: Change
    change_pct: Change
    timestamp: Annotated[str, Meta(max_length=40)] = ""
    """Newer messages have one."""


class TickerMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="ticker"):
    """{"channel":"ticker","type":"update","data":[{"symbol":"BTC/USD","bid":93120.4,"bid_qty":0.5,"ask":93120.5,
    "ask_qty":1.2,"last":93120.5,"volume":2158.3,"vwap":93410.1,"low":92800.0,"high":94110.0,"change":-512.3,
    "change_pct":-0.55}]}
    """

    data: Annotated[list[TickerRow], Meta(max_length=10_000)]


class LevelRow(Struct, frozen=True, gc=False):
    """A level: quantities are absolute, and 0 removes."""

    price: Raw
    qty: Raw


Levels: TypeAlias = Annotated[list[LevelRow], Meta(max_length=10_000)]


class BookRow(Struct, frozen=True, gc=False):
    """A whole book or changes of it; `checksum` is that of the best ten levels a side after them."""

    symbol: Symbol
    bids: Levels
    asks: Levels
    checksum: Checksum
    timestamp: Annotated[str, Meta(max_length=40)] = ""
    """Older snapshots have none."""


class BookMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="book"):
    """{"channel":"book","type":"update","data":[{"symbol":"ETH/USD","bids":[],"asks":[{"price":1774.14,
    "qty":2.00130641}],"checksum":3356266482,"timestamp":"2026-07-07T23:00:03.977459Z"}]}
    """

    type: Literal["snapshot", "update"]
    data: Annotated[list[BookRow], Meta(max_length=100)]


class HeartbeatMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="heartbeat"):
    """{"channel":"heartbeat"}, each second in which nothing else is sent."""


class StatusRow(Struct, frozen=True, gc=False):
    """The status of the exchange."""

    system: Word


class StatusMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="status"):
    """The engine's status, at the begin of a connection and when it changes.

    {"channel":"status","type":"update","data":[{"version":"2.0.10","system":"online","api_version":"v2",
     "connection_id":4421894013101914413}]}
    """

    data: Annotated[list[StatusRow], Meta(max_length=100)]


class InstrumentRow(Struct, frozen=True, gc=False):
    """An instrument: its status, and the decimals in which prices and quantities are printed."""

    symbol: Symbol
    status: Word
    price_precision: Decimals
    qty_precision: Decimals


class Instruments(Struct, frozen=True, gc=False):
    """Those that changed; a snapshot has all. Assets are not read."""

    pairs: Annotated[list[InstrumentRow], Meta(max_length=100_000)]


class InstrumentMessage(Struct, frozen=True, gc=False, tag_field="channel", tag="instrument"):
    """{"channel":"instrument","type":"update","data":{"assets":[],"pairs":[{"symbol":"BTC/USD","base":"BTC",
    "quote":"USD","status":"cancel_only","qty_precision":8,"qty_increment":1e-08,"price_precision":1,"cost_precision":5,
    "marginable":true,"has_index":true,"cost_min":0.5,"tick_size":0.1,"price_increment":0.1,"qty_min":0.00005}]}}
    """

    data: Instruments


Message: TypeAlias = (
    TradeMessage | OhlcMessage | TickerMessage | BookMessage | HeartbeatMessage | StatusMessage | InstrumentMessage
)
"""Every message of a subscription."""


class Outline(Struct, gc=False):
    """The fields that say what any message is: data of a channel, or a reply to a request."""

    channel: str = ""
    method: str = ""
    error: str | msgspec.UnsetType = msgspec.UNSET
    success: bool | msgspec.UnsetType = msgspec.UNSET
