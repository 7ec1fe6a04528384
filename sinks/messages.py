"""The hub's messages: what a client reads, made from the model and encoded once for everyone.

    {"type":"MarketData","data":{…},"timestamp":"2025-01-01T00:00:00Z","seq":1}

`timestamp` is when the hub took the news (UTC); times inside `data` are the exchange's. Both are ISO 8601, with
milliseconds where there are any. What is not known is null.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Literal, TypeAlias

import msgspec

from flows.model import Candle, FeedStatus, Incident, MarketData, Publishable, Ticker, TradeBatch
from flows.websocket import BINARY, TEXT, encode_frame

Format: TypeAlias = Literal["json", "msgpack"]

Channel: TypeAlias = Literal["MarketData", "ChartUpdate", "Candle", "Trade", "Ticker", "Status", "Incident"]
CHANNELS: tuple[Channel, ...] = ("MarketData", "ChartUpdate", "Candle", "Trade", "Ticker", "Status", "Incident")
DEFAULT_CHANNELS: frozenset[Channel] = frozenset(("MarketData", "ChartUpdate"))
PLANNED_CHANNELS = ("OrderBook", "Stats", "Balance", "Position")
"""Channels of the contract that carry nothing yet; they may be subscribed."""


def iso(time_ms: int) -> str:
    """A time in ISO 8601, UTC; milliseconds only where there are any."""
    text = datetime.fromtimestamp(time_ms / 1_000, UTC).isoformat(
        timespec="milliseconds" if time_ms % 1_000 else "seconds"
    )
    return text.replace("+00:00", "Z")


def market_data(data: MarketData) -> dict[str, Any]:
    """The `data` of a `MarketData` message."""
    return {
        "symbol": data.symbol,
        "price": data.price,
        "price_change_24h": data.price_change_24h,
        "price_change_percent_24h": data.price_change_percent_24h,
        "volume_24h": data.volume_24h,
        "timestamp": iso(data.time),
    }


def chart_update(candle: Candle, price: MarketData | None) -> dict[str, Any]:
    """The `data` of a `ChartUpdate` message: a closed or amended candle, and the price at that moment."""
    return {
        "symbol": candle.symbol,
        "timeframe": candle.timeframe,
        "candle": {
            "timestamp": iso(candle.open_time),
            "open": candle.open,
            "high": candle.high,
            "low": candle.low,
            "close": candle.close,
            "volume": candle.volume,
            "is_closed": candle.is_closed,
            "status": candle.status,
            "revision": candle.revision,
        },
        "latest_price": price.price if price else None,
        "price_change_24h": price.price_change_24h if price else None,
        "price_change_percent_24h": price.price_change_percent_24h if price else None,
        "volume_24h": price.volume_24h if price else None,
        "timestamp": iso(candle.event_time),
    }


def candle(news: Candle) -> dict[str, Any]:
    """The `data` of a `Candle` message: everything about a candle, forming or closed."""
    data = msgspec.structs.asdict(news)
    data["open_time"] = iso(news.open_time)
    data["close_time"] = iso(news.close_time)
    data["timestamp"] = iso(data.pop("event_time"))
    return data


def trades(batch: TradeBatch) -> dict[str, Any]:
    """The `data` of a `Trade` message: trades of one instrument by rising id; `late` ones were missing before."""
    return {
        "symbol": batch.symbol,
        "late": batch.late,
        "trades": [
            {
                "id": trade.id,
                "price": trade.price,
                "quantity": trade.quantity,
                "buyer_is_maker": trade.buyer_is_maker,
                "fill": trade.fill,
                "timestamp": iso(trade.time),
            }
            for trade in batch.trades
        ],
    }


def _as_it_is(news: Ticker | FeedStatus | Incident) -> dict[str, Any]:
    return msgspec.structs.asdict(news)


_BODIES: dict[str, Callable[[Any], dict[str, Any]]] = {
    "MarketData": market_data,
    "Candle": candle,
    "Trade": trades,
    "Ticker": _as_it_is,
    "Status": _as_it_is,
    "Incident": _as_it_is,
}


def body_of(channel: Channel, news: Publishable, price: MarketData | None) -> dict[str, Any]:
    """The `data` of a channel's message."""
    if channel == "ChartUpdate" and isinstance(news, Candle):
        return chart_update(news, price)
    return _BODIES[channel](news)


_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


def frame_of(message: dict[str, Any], form: Format) -> bytes:
    """A message as a finished WebSocket frame."""
    if form == "json":
        return encode_frame(_json.encode(message), TEXT)
    return encode_frame(_msgpack.encode(message), BINARY)
