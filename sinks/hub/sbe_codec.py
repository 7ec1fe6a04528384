"""Encodes the messages of docs/marketflow-sbe.xml (Simple Binary Encoding), from which this file is made by
`python -m tests.sbe_codec`: change that, not this.
"""

from collections.abc import Iterable
from struct import Struct
from typing import Final, TypeAlias

SCHEMA: Final = 7101
VERSION: Final = 0

_GROUP = Struct("<HI")
_LENGTH = Struct("<H")
STATUS: Final = {
    "forming": 0,
    "final": 1,
    "repaired": 2,
    "venue": 3,
    "partial": 4,
    "unproven": 5,
}


_market_data = Struct("<HHHHQqqdddd")


def encode_market_data(
    seq: int,
    sent_time: int,
    time: int,
    price: float,
    price_change24h: float,
    price_change_percent24h: float,
    volume24h: float,
    venue: str,
    symbol: str,
) -> bytes:
    """A message `MarketData`."""
    message = _market_data.pack(
        56,
        1,
        SCHEMA,
        VERSION,
        seq,
        sent_time,
        time,
        price,
        price_change24h,
        price_change_percent24h,
        volume24h,
    )
    message += _text(venue)
    message += _text(symbol)
    return message


_candle = Struct("<HHHHQqqqddddddqddqqqBB")


def encode_candle(
    seq: int,
    sent_time: int,
    time: int,
    open_time: int,
    open_: float,
    high: float,
    low: float,
    close: float,
    volume: float,
    quote_volume: float,
    trades: int,
    taker_buy_volume: float,
    taker_buy_quote_volume: float,
    first_id: int,
    last_id: int,
    revision: int,
    is_closed: bool,
    status: int,
    venue: str,
    symbol: str,
    timeframe: str,
) -> bytes:
    """A message `Candle`."""
    message = _candle.pack(
        130,
        2,
        SCHEMA,
        VERSION,
        seq,
        sent_time,
        time,
        open_time,
        open_,
        high,
        low,
        close,
        volume,
        quote_volume,
        trades,
        taker_buy_volume,
        taker_buy_quote_volume,
        first_id,
        last_id,
        revision,
        is_closed,
        status,
    )
    message += _text(venue)
    message += _text(symbol)
    message += _text(timeframe)
    return message


_trade = Struct("<HHHHQqB")
_trade_trades = Struct("<qqqqddB16s")
TradeTrades: TypeAlias = tuple[
    int,
    int,
    int,
    int,
    float,
    float,
    bool,
    bytes,
]
"""id_, first_id, last_id, time, price, quantity, buyer_is_maker, fill"""


def encode_trade(
    seq: int,
    sent_time: int,
    late: bool,
    trades: Iterable[TradeTrades],
    venue: str,
    symbol: str,
) -> bytes:
    """A message `Trade`."""
    trades_rows = [_trade_trades.pack(*row) for row in trades]
    message = _trade.pack(
        17,
        3,
        SCHEMA,
        VERSION,
        seq,
        sent_time,
        late,
    )
    message += _GROUP.pack(65, len(trades_rows)) + b"".join(trades_rows)
    message += _text(venue)
    message += _text(symbol)
    return message


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _LENGTH.pack(len(encoded)) + encoded
