"""The messages of Kraken's WebSocket v2, from whole numbers. Numbers are JSON numbers in the instrument's decimals.

Source: docs.kraken.com, WebSocket v2, and recordings of 2026-07-07.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from sources.replay.market.book import Level
from sources.replay.market.decimals import Decimals, decimal_text
from sources.replay.market.encode import Statistics
from sources.replay.market.klines import Kline
from sources.replay.market.lives import State
from sources.replay.venues.kraken.books import Change
from sources.replay.venues.kraken.pairs import Pair, asset_row, instrument_row
from sources.replay.venues.rows import TradeRow
from sources.replay.venues.times import rfc3339

HEARTBEAT = b'{"channel":"heartbeat"}'
INTERVALS = {1: "1m", 5: "5m", 15: "15m", 30: "30m", 60: "1h", 240: "4h", 1_440: "1d"}
"""The intervals of `ohlc` in minutes; Kraken's week and its fifteen days begin elsewhere than any other venue's."""
_MINUTE_MS = 60_000
_LIMIT_ORDERS = 3
"""One taker in so many sent a market order."""


def taker_side(row: TradeRow) -> str:
    """The taker's side of a trade."""
    return "sell" if row.maker else "buy"


def is_market_order(row: TradeRow) -> bool:
    """Whether the taker sent a market order."""
    return row.id % _LIMIT_ORDERS == 0


def trades(pair: Pair, decimals: Decimals, rows: Sequence[TradeRow], *, kind: str = "update") -> bytes:
    """A `trade` message: the fills of an order, or a snapshot."""
    texts = [
        f'{{"symbol":"{pair.symbol}","side":"{taker_side(row)}","price":{decimals.price_text(row.price)},'
        f'"qty":{decimals.quantity_text(row.lots)},"ord_type":"{"market" if is_market_order(row) else "limit"}",'
        f'"trade_id":{row.id},"timestamp":"{rfc3339(row.time_ms)}"}}'
        for row in rows
    ]
    return f'{{"channel":"trade","type":"{kind}","data":[{",".join(texts)}]}}'.encode()


def book(pair: Pair, change: Change, time_ms: int, *, kind: str = "update") -> bytes:
    """A `book` message."""
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{pair.symbol}","bids":{_levels(change.bids)},'
        f'"asks":{_levels(change.asks)},"checksum":{change.checksum},"timestamp":"{rfc3339(time_ms)}"}}]}}'
    ).encode()


def _levels(levels: Iterable[Level]) -> str:
    return "[" + ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in levels) + "]"


def candles(
    pair: Pair, decimals: Decimals, minutes: int, klines: Sequence[Kline], now_ms: int, *, kind: str = "update"
) -> bytes:
    """An `ohlc` message."""
    price = decimals.price_text
    texts = [
        f'{{"symbol":"{pair.symbol}","open":{price(kline.open)},"high":{price(kline.high)},"low":{price(kline.low)},'
        f'"close":{price(kline.close)},"trades":{kline.trades},"volume":{decimals.quantity_text(kline.volume)},'
        f'"vwap":{average_price(decimals, kline)},"interval_begin":"{rfc3339(kline.open_time, 9)}",'
        f'"interval":{minutes},"timestamp":"{rfc3339(kline.open_time + minutes * _MINUTE_MS)}"}}'
        for kline in klines
    ]
    return (
        f'{{"channel":"ohlc","type":"{kind}","timestamp":"{rfc3339(now_ms, 9)}","data":[{",".join(texts)}]}}'
    ).encode()


def average_price(decimals: Decimals, kline: Kline) -> str:
    """The average price by volume, in the decimals of prices; 0 without trades."""
    average = kline.quote // kline.volume if kline.volume else 0
    return decimals.price_text(average)


def ticker(pair: Pair, decimals: Decimals, day: Statistics, *, kind: str = "update") -> bytes:
    """A `ticker` message."""
    price, window = decimals.price_text, day.window
    change = window.close - window.open
    share = decimal_text(round(10_000 * change / window.open) if window.open else 0, 2, 2)
    return (
        f'{{"channel":"ticker","type":"{kind}","data":[{{"symbol":"{pair.symbol}","bid":{day.bid[0]},'
        f'"bid_qty":{day.bid[1]},"ask":{day.ask[0]},"ask_qty":{day.ask[1]},"last":{price(window.close)},'
        f'"volume":{decimals.quantity_text(window.volume)},"vwap":{average_price(decimals, window)},'
        f'"low":{price(window.low)},"high":{price(window.high)},"change":{price(change)},"change_pct":{share}}}]}}'
    ).encode()


def instruments(pairs: Mapping[Pair, tuple[Decimals, State]], *, kind: str = "snapshot") -> bytes:
    """A message of `instrument`: the snapshot has all assets and pairs, an `update` the pairs that changed."""
    assets = sorted({asset for pair in pairs for asset in pair}) if kind == "snapshot" else []
    rows = [instrument_row(pair, decimals, state) for pair, (decimals, state) in pairs.items()]
    data = {"assets": [asset_row(asset) for asset in assets], "pairs": rows}
    return msgspec.json.encode({"channel": "instrument", "type": kind, "data": data})


def status(connection_id: int) -> bytes:
    """The `status` message that begins every connection."""
    row = {"version": "2.0.10", "system": "online", "api_version": "v2", "connection_id": connection_id}
    return msgspec.json.encode({"channel": "status", "type": "update", "data": [row]})


def reply(method: str, request_id: int | None, now_ms: int, **fields: Any) -> bytes:
    """The reply to a request; `fields` are what differs between kinds of replies."""
    times = {"time_in": rfc3339(now_ms), "time_out": rfc3339(now_ms)}
    given = {} if request_id is None else {"req_id": request_id}
    return msgspec.json.encode({"method": method, **given, **fields, **times})
