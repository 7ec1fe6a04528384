"""Binance's messages, field by field (spot `web-socket-streams`, USD-M futures `websocket-market-streams`).

Each type names its fields as the model does and maps them to the wire by `rename`, so decoding *is* the conversion: an
`AggTradeMessage` is an `AggregateTrade` and passes unchanged. Fields of trades are in the order of the wire, which is
faster to decode. Prices and quantities are quoted decimals; the decoders read them with `strict=False`, in C. The
bounds below are the rules for single fields: a frame that breaks one is rejected as a whole. Informative fields default
to 0.0. Unknown fields are ignored.
"""

from typing import Annotated, TypeAlias

from msgspec import Meta, Struct

from flows import model

Time = Annotated[int, Meta(ge=10**12, lt=10**17)]
"""Milliseconds, or microseconds where the connection requested them."""
Id = Annotated[int, Meta(ge=0, le=2**63 - 1)]
IdOrNone = Annotated[int, Meta(ge=-1, le=2**63 - 1)]
"""-1: none."""
Price = Annotated[float, Meta(gt=0, lt=1e12)]
PriceOrZero = Annotated[float, Meta(ge=0, lt=1e12)]
Quantity = Annotated[float, Meta(gt=0, lt=1e18)]
QuantityOrZero = Annotated[float, Meta(ge=0, lt=1e24)]
Change = Annotated[float, Meta(gt=-1e12, lt=1e12)]
Levels: TypeAlias = Annotated[list[tuple[Price, QuantityOrZero]], Meta(max_length=10_000)]

_TRADE = {
    "symbol": "s",
    "time": "T",
    "price": "p",
    "quantity": "q",
    "buyer_is_maker": "m",
    "event_time": "E",
}


class AggTradeMessage(
    model.AggregateTrade,
    frozen=True,
    gc=False,
    kw_only=True,
    tag_field="e",
    tag="aggTrade",
    rename=_TRADE | {"id": "a", "first_id": "f", "last_id": "l"},
):
    """`<symbol>@aggTrade`, both markets.

    {"e":"aggTrade","E":1767225600123,"s":"BTCUSDT","a":3512345678,"p":"93120.51000000","q":"0.01250000",
     "f":5412345001,"l":5412345003,"T":1767225600121,"m":true,"M":true}
    """

    event_time: Time
    symbol: str
    id: Id
    price: Price
    quantity: Quantity
    first_id: Id
    last_id: Id
    time: Time
    buyer_is_maker: bool


class TradeMessage(
    model.Trade,
    frozen=True,
    gc=False,
    kw_only=True,
    tag_field="e",
    tag="trade",
    rename=_TRADE | {"id": "t", "fill": "X"},
):
    """`<symbol>@trade`; USD-M adds the kind of fill: `NA` with price 0 for a fill that was no trade on the market.

    {"e":"trade","E":1767225600180,"T":1767225600179,"s":"BTCUSDT","t":6712345009,"p":"93118.40","q":"0.012",
     "X":"MARKET","m":false}
    """

    event_time: Time
    symbol: str
    id: Id
    price: PriceOrZero
    quantity: QuantityOrZero
    time: Time
    buyer_is_maker: bool
    fill: str = model.MARKET_FILL


class KlineFields(Struct, frozen=True, gc=False):
    """The inside of a kline message; `f` and `L` are -1 in a period without trades."""

    t: Time
    i: str
    f: IdOrNone
    L: IdOrNone
    o: Price
    c: Price
    h: Price
    l: Price  # noqa: E741 - the exchange's name
    v: QuantityOrZero
    n: Id
    x: bool
    T: IdOrNone = 0
    q: QuantityOrZero = 0.0
    V: QuantityOrZero = 0.0
    Q: QuantityOrZero = 0.0


class KlineMessage(Struct, frozen=True, gc=False, tag_field="e", tag="kline"):
    """`<symbol>@kline_<interval>`, both markets.

    {"e":"kline","E":1767225662005,"s":"BTCUSDT","k":{"t":1767225600000,"T":1767225659999,"s":"BTCUSDT","i":"1m",
     "f":5412345001,"L":5412346200,"o":"93120.51000000","c":"93155.00000000","h":"93160.00000000","l":"93101.20000000",
     "v":"18.40210000","n":1200,"x":true,"q":"1713905.11000000","V":"9.20100000","Q":"856950.42000000","B":"0"}}
    """

    E: Time
    s: str
    k: KlineFields


class TickerMessage(
    model.Ticker,
    frozen=True,
    gc=False,
    tag_field="e",
    tag="24hrTicker",
    rename={
        "symbol": "s",
        "event_time": "E",
        "price_change": "p",
        "price_change_percent": "P",
        "weighted_average": "w",
        "last_price": "c",
        "open": "o",
        "high": "h",
        "low": "l",
        "volume": "v",
        "quote_volume": "q",
        "open_time": "O",
        "close_time": "C",
        "trades": "n",
        "last_id": "L",
    },
):
    """`<symbol>@ticker`, both markets: a rolling window of 24 hours.

    {"e":"24hrTicker","E":1767225601011,"s":"BTCUSDT","p":"-512.30000000","P":"-0.547","w":"93410.11200000",
     "c":"93120.51000000","Q":"0.00400000","o":"93632.81000000","h":"94110.00000000","l":"92800.00000000",
     "v":"15321.40000000","q":"1431174689.20000000","O":1767139201010,"C":1767225601010,"F":5409000000,
     "L":5412345003,"n":3345004}
    """

    symbol: str
    event_time: Time
    price_change: Change
    price_change_percent: Change
    weighted_average: PriceOrZero
    last_price: PriceOrZero
    open: PriceOrZero
    high: PriceOrZero
    low: PriceOrZero
    volume: QuantityOrZero
    quote_volume: QuantityOrZero
    open_time: IdOrNone
    close_time: IdOrNone
    trades: IdOrNone
    last_id: IdOrNone = -1


class MiniTickerMessage(
    model.MiniTicker,
    frozen=True,
    gc=False,
    tag_field="e",
    tag="24hrMiniTicker",
    rename={
        "symbol": "s",
        "event_time": "E",
        "close": "c",
        "open": "o",
        "high": "h",
        "low": "l",
        "volume": "v",
        "quote_volume": "q",
    },
):
    """`<symbol>@miniTicker`, both markets.

    {"e":"24hrMiniTicker","E":1767225601011,"s":"BTCUSDT","c":"93120.51000000","o":"93632.81000000",
     "h":"94110.00000000","l":"92800.00000000","v":"15321.40000000","q":"1431174689.20000000"}
    """

    symbol: str
    event_time: Time
    close: PriceOrZero
    open: PriceOrZero
    high: PriceOrZero
    low: PriceOrZero
    volume: QuantityOrZero
    quote_volume: QuantityOrZero


_BOOK_TICKER = {
    "symbol": "s",
    "update_id": "u",
    "bid_price": "b",
    "bid_quantity": "B",
    "ask_price": "a",
    "ask_quantity": "A",
    "event_time": "E",
}


class SpotBookTickerMessage(model.BookTicker, frozen=True, gc=False, rename=_BOOK_TICKER):
    """`<symbol>@bookTicker` on spot: no event type, no time. An empty side is 0.

    {"u":59812345678,"s":"BTCUSDT","b":"93120.50000000","B":"2.10000000","a":"93120.51000000","A":"1.55000000"}
    """

    symbol: str
    update_id: Id
    bid_price: PriceOrZero
    bid_quantity: QuantityOrZero
    ask_price: PriceOrZero
    ask_quantity: QuantityOrZero
    event_time: Id = 0


class UsdmBookTickerMessage(SpotBookTickerMessage, frozen=True, gc=False, tag_field="e", tag="bookTicker"):
    """`<symbol>@bookTicker` on USD-M.

    {"e":"bookTicker","u":8312345678901,"s":"BTCUSDT","b":"93118.30","B":"4.210","a":"93118.40","A":"6.002",
     "T":1767225600220,"E":1767225600223}
    """


class DepthMessage(
    model.BookDelta,
    frozen=True,
    gc=False,
    tag_field="e",
    tag="depthUpdate",
    rename={
        "symbol": "s",
        "event_time": "E",
        "first_update_id": "U",
        "last_update_id": "u",
        "previous_update_id": "pu",
        "bids": "b",
        "asks": "a",
    },
):
    """`<symbol>@depth…`: quantities are absolute and 0 removes. USD-M adds `pu`, and sends its partial books this way.

    {"e":"depthUpdate","E":1767225600200,"s":"BTCUSDT","U":59812345670,"u":59812345678,
     "b":[["93120.50000000","2.10000000"]],"a":[["93120.51000000","0.00000000"]]}
    """

    symbol: str
    event_time: Time
    first_update_id: Id
    last_update_id: Id
    bids: Levels
    asks: Levels
    previous_update_id: IdOrNone | None = None


class PartialDepthMessage(Struct, frozen=True, rename={"last_update_id": "lastUpdateId"}):
    """`<symbol>@depth5|10|20` on spot: neither type nor symbol; the stream's name identifies the book.

    {"lastUpdateId":59812345678,"bids":[["93120.50000000","2.10000000"]],"asks":[["93120.51000000","1.55000000"]]}
    """

    last_update_id: Id
    bids: Levels
    asks: Levels
