"""Messages of the Advanced Trade feed, without `sequence_num`, which every connection has for itself.

Source: docs.cdp.coinbase.com, Advanced Trade WebSocket, and a recording of 2026-08-09. `side` is the maker's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from sources.replay.market.book import Level
from sources.replay.market.decimals import Decimals
from sources.replay.protocol.conversation import Numbered
from sources.replay.venues.coinbase.exchange_messages import maker_side
from sources.replay.venues.coinbase.products import stripped
from sources.replay.venues.rows import TradeRow
from sources.replay.venues.times import rfc3339

_NANOSECONDS = 9
_EVENTS = b'"events":'


class AdvancedEncoding(Numbered):
    """The frames of one connection: each has the next `sequence_num`, whatever its channel."""

    def payload(self, data: bytes, number: int) -> bytes:
        """A payload with its number."""
        return data.replace(_EVENTS, b'"sequence_num":%d,%b' % (number, _EVENTS), 1)


def books(product: str, bids: Iterable[Level], asks: Iterable[Level], time_ms: int, *, kind: str = "update") -> bytes:
    """An `l2_data` message: absolute quantities, 0 removes."""
    at = rfc3339(time_ms)
    updates = [
        {
            "side": side,
            "event_time": at,
            "price_level": stripped(price),
            "new_quantity": stripped(quantity),
        }
        for side, levels in (("bid", bids), ("offer", asks))
        for price, quantity in levels
    ]
    return _message("l2_data", time_ms, {"type": kind, "product_id": product, "updates": updates})


def trades(product: str, decimals: Decimals, rows: Sequence[TradeRow], time_ms: int, *, kind: str = "update") -> bytes:
    """A `market_trades` message, in the order of `rows`."""
    listed = [
        {
            "product_id": product,
            "trade_id": str(row.id),
            "price": stripped(decimals.price_text(row.price)),
            "size": stripped(decimals.quantity_text(row.lots)),
            "time": rfc3339(row.time_ms),
            "side": maker_side(row).upper(),
        }
        for row in rows
    ]
    return _message("market_trades", time_ms, {"type": kind, "trades": listed})


def heartbeat(counter: int, time_ms: int) -> bytes:
    """A `heartbeats` message; its time is written as Go writes one."""
    moment = datetime.fromtimestamp(time_ms // 1_000, UTC)
    text = f"{moment:%Y-%m-%d %H:%M:%S}.{time_ms % 1_000:03d}000000 +0000 UTC m=+{counter}.000000001"
    return _message("heartbeats", time_ms, {"current_time": text, "heartbeat_counter": counter})


def user(orders: Sequence[Mapping[str, Any]], time_ms: int, *, kind: str = "update") -> bytes:
    """A `user` message: orders of an account."""
    return _message("user", time_ms, {"type": kind, "orders": orders})


def subscriptions(channels: Mapping[str, Sequence[str]], time_ms: int) -> bytes:
    """The reply to every request: all subscriptions by channel."""
    return _message("subscriptions", time_ms, {"subscriptions": channels})


def _message(channel: str, time_ms: int, event: Any) -> bytes:
    body = {"channel": channel, "timestamp": rfc3339(time_ms, _NANOSECONDS), "events": [event]}
    return msgspec.json.encode(body)
