"""Kraken's recorded frames and REST answers, and frames made by hand in the form of its documentation."""

import gzip
import json
from typing import Any

from flows.model import RawFrames, StreamNames
from tests.fakes.recordings import recording

STREAMS = StreamNames(
    frozenset(f"{symbol}@{kind}" for symbol in ("BTC-USD", "ETH-USD") for kind in ("trade", "depth@10"))
)
"""What the recording's connection had subscribed."""
REST_PAIR = "XBTUSDT"
REST_SYMBOL = "BTC-USDT"


def recorded_frames() -> list[bytes]:
    """A minute of books and trades of BTC/USD and ETH/USD."""
    path = recording("kraken-v2-2026-07-07") / "live-btc-eth.ndjson.gz"
    return gzip.decompress(path.read_bytes()).splitlines()


def rest_rows(name: str) -> list[Any]:
    """The rows of a recorded answer of REST: `http_ohlc` or `http_trades`."""
    path = recording("kraken-xbtusdt-2025-11-10") / f"{name}.json"
    rows: list[Any] = json.loads(path.read_bytes())["result"][REST_PAIR]
    return rows


def polled(*payloads: bytes, streams: StreamNames | None = STREAMS, line: str = "market") -> RawFrames:
    """Frames that arrived together."""
    return RawFrames(line, list(payloads), 0, streams)


def trade_frame(*rows: dict[str, Any], kind: str = "update") -> bytes:
    """Trades of one moment; what a row leaves out is as usual."""
    usual = {"symbol": "BTC/USD", "side": "buy", "price": 63501.9, "qty": 0.25, "ord_type": "limit", "trade_id": 1,
             "timestamp": "2026-07-07T23:00:04.590753Z"}  # fmt: skip
    return _frame("trade", kind, [usual | row for row in rows])


def ohlc_frame(*, sent: str, kind: str = "update", rows: list[dict[str, Any]]) -> bytes:
    """Running klines of BTC/USD."""
    usual = {"symbol": "BTC/USD", "open": 93100.0, "high": 93160.0, "low": 93090.1, "close": 93120.5, "vwap": 93122.2,
             "trades": 41, "volume": 2.5, "interval_begin": "2026-01-01T00:00:00.000000000Z", "interval": 1,
             "timestamp": "2026-01-01T00:01:00.000000Z"}  # fmt: skip
    return _frame("ohlc", kind, [usual | row for row in rows], timestamp=sent)


def ticker_frame(**values: Any) -> bytes:
    """Statistics of BTC/USD."""
    usual = {"symbol": "BTC/USD", "bid": 93120.4, "bid_qty": 0.5, "ask": 93120.5, "ask_qty": 1.2, "last": 93120.5,
             "volume": 2000.0, "vwap": 93410.5, "low": 92800.0, "high": 94110.0, "change": -512.5,
             "change_pct": -0.55}  # fmt: skip
    return _frame("ticker", "update", [usual | values])


def book_frame(kind: str, bids: str, asks: str, checksum: int, *, symbol: str = "BTC/USD", sent: str = "") -> bytes:
    """A book or its changes; levels are texts such as `45283.5 0.10000000; 45283.4 1.5`, kept to the digit."""
    timestamp = f',"timestamp":"{sent}"' if sent else ""
    return (
        f'{{"channel":"book","type":"{kind}","data":[{{"symbol":"{symbol}","bids":{_levels(bids)},'
        f'"asks":{_levels(asks)},"checksum":{checksum}{timestamp}}}]}}'
    ).encode()


def _levels(text: str) -> str:
    pairs = [level.split() for level in text.split(";") if level.strip()]
    return "[" + ",".join(f'{{"price":{price},"qty":{quantity}}}' for price, quantity in pairs) + "]"


def _frame(channel: str, kind: str, data: list[dict[str, Any]], **more: Any) -> bytes:
    return json.dumps({"channel": channel, "type": kind, **more, "data": data}, separators=(",", ":")).encode()
