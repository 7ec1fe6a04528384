"""The hub's messages in Simple Binary Encoding, for clients of the subprotocol `sbe`: what the model has, as
`docs/marketflow-sbe.xml` lays it out.

Only the channels of `BINARY` have a binary form; all else goes to these clients as JSON text, and so do replies.
"""

from collections.abc import Callable
from math import nan
from typing import Any, Final

from flows.model import Candle, MarketData, Trade, TradeBatch
from sinks.hub.sbe_codec import STATUS, TradeTrades, encode_candle, encode_market_data, encode_trade

FILL_BYTES: Final = 16
"""Longest kind of fill; a longer one is cut."""


def _market_data(item: MarketData, seq: int, sent_ms: int) -> bytes:
    change, percent, volume = (
        nan if figure is None else figure
        for figure in (item.price_change_24h, item.price_change_percent_24h, item.volume_24h)
    )
    return encode_market_data(seq, sent_ms, item.time, item.price, change, percent, volume, item.venue, item.symbol)


def _candle(item: Candle, seq: int, sent_ms: int) -> bytes:
    return encode_candle(
        seq, sent_ms, item.event_time or item.close_time, *item.figures, item.revision, item.is_closed,
        STATUS[item.status], item.venue, item.symbol, item.timeframe,
    )  # fmt: skip


def _trade(item: TradeBatch, seq: int, sent_ms: int) -> bytes:
    return encode_trade(seq, sent_ms, item.late, map(_row, item.trades), item.venue, item.symbol)


def _row(trade: Trade) -> TradeTrades:
    return (
        trade.id, trade.first_id, trade.last_id, trade.time, trade.price, trade.quantity, trade.buyer_is_maker,
        trade.fill.encode("ascii", "replace")[:FILL_BYTES],
    )  # fmt: skip


BINARY: Final[dict[str, Callable[[Any, int, int], bytes]]] = {
    "MarketData": _market_data,
    "Candle": _candle,
    "Trade": _trade,
}
"""By channel, what encodes an item with its number and the time at which the hub made the message, ms UTC."""
