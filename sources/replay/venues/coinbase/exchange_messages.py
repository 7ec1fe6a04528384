"""Messages of the Exchange feed. Source: docs.cdp.coinbase.com, Exchange WebSocket, and a recording of 2026-07-07.

`side` is the maker's. `sequence` rises with every event of a product, of which these channels carry some.
"""

import hashlib
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from sources.replay.market.book import Book, DepthUpdate, Level
from sources.replay.market.decimals import Decimals
from sources.replay.market.encode import Statistics
from sources.replay.market.lives import State
from sources.replay.venues.coinbase.products import Product, product_row, stripped
from sources.replay.venues.rows import TradeRow
from sources.replay.venues.times import rfc3339

_EVENTS_A_TRADE = 7
"""How far `sequence` rises with each trade: books and orders count too."""


def maker_side(row: TradeRow) -> str:
    """The maker's side of a trade."""
    return "buy" if row.maker else "sell"


def sequence_after(trade_id: int) -> int:
    """The sequence of an event after a trade and before the next one."""
    return trade_id * _EVENTS_A_TRADE + 3


def match(product: str, decimals: Decimals, row: TradeRow, *, kind: str = "match") -> bytes:
    """A `match` or `last_match` message."""
    return (
        f'{{"type":"{kind}","trade_id":{row.id},"maker_order_id":"{_order_id(product, row.id, "maker")}",'
        f'"taker_order_id":"{_order_id(product, row.id, "taker")}","side":"{maker_side(row)}",'
        f'"size":"{stripped(decimals.quantity_text(row.lots))}","price":"{stripped(decimals.price_text(row.price))}",'
        f'"product_id":"{product}","sequence":{row.id * _EVENTS_A_TRADE},"time":"{rfc3339(row.time_ms)}"}}'
    ).encode()


def heartbeat(product: str, last_trade_id: int, time_ms: int) -> bytes:
    """A `heartbeat` message; its time is a whole second."""
    return (
        f'{{"type":"heartbeat","last_trade_id":{last_trade_id},"product_id":"{product}",'
        f'"sequence":{sequence_after(last_trade_id)},"time":"{rfc3339(time_ms - time_ms % 1_000)}"}}'
    ).encode()


def ticker(product: str, decimals: Decimals, row: TradeRow, day: Statistics) -> bytes:
    """A `ticker` message, sent with a match."""
    window = day.window
    return msgspec.json.encode(
        {
            "type": "ticker",
            "sequence": row.id * _EVENTS_A_TRADE,
            "product_id": product,
            "price": stripped(decimals.price_text(row.price)),
            "open_24h": stripped(decimals.price_text(window.open)),
            "volume_24h": decimals.quantity_text(window.volume),
            "low_24h": stripped(decimals.price_text(window.low)),
            "high_24h": stripped(decimals.price_text(window.high)),
            "volume_30d": decimals.quantity_text(window.volume * 30),
            "best_bid": day.bid[0],
            "best_bid_size": day.bid[1],
            "best_ask": day.ask[0],
            "best_ask_size": day.ask[1],
            "side": "sell" if row.maker else "buy",
            "time": rfc3339(row.time_ms),
            "trade_id": row.id,
            "last_size": stripped(decimals.quantity_text(row.lots)),
        }
    )


def snapshot(product: str, book: Book, time_ms: int, most: int) -> bytes:
    """The whole book."""
    return msgspec.json.encode(
        {
            "type": "snapshot",
            "product_id": product,
            "asks": book.asks(most),
            "bids": book.bids(most),
            "time": rfc3339(time_ms),
        }
    )


def book_update(product: str, update: DepthUpdate, time_ms: int) -> bytes:
    """An `l2update` message; sizes are absolute, 0 removes."""
    changes = [(side, *level) for side, levels in (("buy", update.bids), ("sell", update.asks)) for level in levels]
    body = {"type": "l2update", "product_id": product, "changes": changes, "time": rfc3339(time_ms)}
    return msgspec.json.encode(body)


def status(products: Mapping[Product, tuple[Decimals, State]]) -> bytes:
    """The `status` message of all products."""
    rows = [
        {**product_row(product, decimals, state), "type": "spot"} for product, (decimals, state) in products.items()
    ]
    assets = sorted({asset for product in products for asset in product})
    currencies = [{"id": asset, "name": asset, "status": "online", "min_size": "0.00000001"} for asset in assets]
    return msgspec.json.encode({"type": "status", "products": rows, "currencies": currencies})


def subscriptions(channels: Mapping[str, Sequence[str]]) -> bytes:
    """The reply to every request: all subscriptions by channel."""
    rows = [{"name": name, "product_ids": list(products), "account_ids": None} for name, products in channels.items()]
    return msgspec.json.encode({"type": "subscriptions", "channels": rows})


def error(message: str, reason: str | None = None) -> bytes:
    """An `error` message."""
    body: dict[str, Any] = {"type": "error", "message": message}
    return msgspec.json.encode(body if reason is None else {**body, "reason": reason})


def levels_text(levels: Sequence[Level]) -> list[list[Any]]:
    """Levels as REST sends them: with the number of orders."""
    return [[stripped(price), stripped(quantity), 1] for price, quantity in levels]


def _order_id(product: str, trade_id: int, role: str) -> str:
    digest = hashlib.sha256(f"{product}:{trade_id}:{role}".encode()).digest()
    return str(uuid.UUID(bytes=digest[:16], version=4))
