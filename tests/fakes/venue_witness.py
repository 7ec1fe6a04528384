"""The replay exchange as a witness in the dialects of Kraken and Coinbase: what it serves to any client, read by other
means than ours.
"""

import json
from datetime import datetime
from math import nan
from typing import Any, Final

import httpx
from websockets.sync.client import connect

from flows.model import Kline, timeframe_ms
from flows.process.proxy import trusted_by
from tests.fakes.witness import Book

PAGE = 1_000
KRAKEN_MINUTES: Final = {"1m": 1, "5m": 5, "1h": 60}
COINBASE_SECONDS: Final = {"1m": 60, "5m": 300, "1h": 3_600}
_LEVELS = 500
"""Another depth than the flow's, so that this book is the market's and not the one that the flow is sent."""


class _Client:
    """A client of the REST interface that has nothing in common with ours."""

    def __init__(self, rest_url: str) -> None:
        self._url = rest_url
        self._http = httpx.Client(base_url=rest_url, timeout=30, verify=trusted_by(rest_url))

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def state(self) -> dict[str, Any]:
        """What the control endpoint tells."""
        state: dict[str, Any] = self._get("/control/state")
        return state

    def _get(self, path: str, **parameters: Any) -> Any:
        response = self._http.get(path, params=parameters)
        response.raise_for_status()
        return response.json()


class KrakenWitness(_Client):
    """What Kraken serves. Its books come by the WebSocket: REST cuts their quantities."""

    def _public(self, name: str, **parameters: Any) -> Any:
        answer = self._get(f"/0/public/{name}", **parameters)
        assert answer["error"] == [], answer
        return answer["result"]

    def _rows(self, name: str, symbol: str, **parameters: Any) -> tuple[list[Any], int]:
        result = self._public(name, pair=symbol.replace("BTC", "XBT").replace("-", ""), **parameters)
        last = int(result.pop("last"))
        [rows] = result.values()
        return rows, last

    def server_time(self) -> int:
        """The exchange's time, ms UTC; it says whole seconds."""
        seconds: int = self._public("Time")["unixtime"]
        return 1_000 * seconds

    def aggregates(self, symbol: str, first_id: int) -> list[tuple[Any, ...]]:
        """`(id, time, price, quantity, buyer is maker)` of all trades from an id on."""
        found: dict[int, tuple[Any, ...]] = {}
        since = 0
        while True:
            rows, last = self._rows("Trades", symbol, since=since, count=PAGE)
            for price, quantity, seconds, side, _, _, number in rows:
                found[number] = (number, round(seconds * 1_000), float(price), float(quantity), side == "s")
            if len(rows) < PAGE:
                return [found[number] for number in sorted(found) if number >= first_id]
            assert last > since
            since = last

    def klines(self, symbol: str, timeframe: str, start_ms: int) -> list[Kline]:
        """Closed klines from a time on; none of a timeframe that Kraken does not have."""
        if timeframe not in KRAKEN_MINUTES:
            return []
        rows, _ = self._rows("OHLC", symbol, interval=KRAKEN_MINUTES[timeframe])
        return [_kraken_kline(symbol, timeframe, row) for row in rows[:-1] if row[0] * 1_000 >= start_ms]

    def book(self, symbol: str, levels: int = 20) -> Book:
        """The best levels of its book now; the id is its time, microseconds."""
        params = {"channel": "book", "symbol": [symbol.replace("-", "/")], "depth": _LEVELS}
        with connect(f"{self._url.replace('http', 'ws', 1)}/v2") as socket:
            socket.send(json.dumps({"method": "subscribe", "params": params}))
            while True:
                message = json.loads(socket.recv(timeout=30))
                if message.get("channel") == "book":
                    break
        [row] = message["data"]
        bids, asks = ([[level["price"], level["qty"]] for level in row[side][:levels]] for side in ("bids", "asks"))
        return Book(0, bids, asks)


class CoinbaseWitness(_Client):
    """What Coinbase serves."""

    def server_time(self) -> int:
        """The exchange's time, ms UTC."""
        seconds: float = self._get("/time")["epoch"]
        return round(1_000 * seconds)

    def aggregates(self, symbol: str, first_id: int) -> list[tuple[Any, ...]]:
        """`(id, time, price, quantity, buyer is maker)` of all trades from an id on."""
        found: list[tuple[Any, ...]] = []
        after: dict[str, int] = {}
        while True:
            rows = self._get(f"/products/{symbol}/trades", limit=PAGE, **after)
            found += [_coinbase_trade(row) for row in rows if row["trade_id"] >= first_id]
            if len(rows) < PAGE or rows[-1]["trade_id"] < first_id:
                return found[::-1]
            after = {"after": rows[-1]["trade_id"]}

    def klines(self, symbol: str, timeframe: str, start_ms: int) -> list[Kline]:
        """Closed klines from a time on; none of a timeframe that Coinbase does not have."""
        if timeframe not in COINBASE_SECONDS:
            return []
        rows = self._get(f"/products/{symbol}/candles", granularity=COINBASE_SECONDS[timeframe])
        begun = max((row[0] for row in rows), default=0)
        return [
            _coinbase_kline(symbol, timeframe, row)
            for row in reversed(rows)
            if row[0] * 1_000 >= start_ms and row[0] < begun
        ]

    def book(self, symbol: str, levels: int = 20) -> Book:
        """The best levels of its book now."""
        row = self._get(f"/products/{symbol}/book", level=2)
        bids, asks = ([[float(level[0]), float(level[1])] for level in row[side][:levels]] for side in ("bids", "asks"))
        return Book(0, bids, asks)


def _kraken_kline(symbol: str, timeframe: str, row: list[Any]) -> Kline:
    begin, opened, high, low, closed, average, volume, trades = row
    size, unit = float(volume), 10.0 ** -len(average.partition(".")[2])
    return Kline(
        **_common(symbol, timeframe, begin), open=float(opened), high=float(high), low=float(low), close=float(closed),
        volume=size, quote_volume=float(average) * size, trades=trades, quote_volume_slack=size * unit,
    )  # fmt: skip


def _coinbase_trade(row: dict[str, Any]) -> tuple[Any, ...]:
    time = round(1_000 * _seconds(row["time"]))
    return row["trade_id"], time, float(row["price"]), float(row["size"]), row["side"] == "buy"


def _seconds(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def _coinbase_kline(symbol: str, timeframe: str, row: list[Any]) -> Kline:
    begin, low, high, opened, closed, volume = row
    return Kline(
        **_common(symbol, timeframe, begin), open=opened, high=high, low=low, close=closed, volume=volume,
        quote_volume=nan, trades=-1,
    )  # fmt: skip


def _common(symbol: str, timeframe: str, begin_s: int) -> dict[str, Any]:
    begin = begin_s * 1_000
    end = begin + timeframe_ms(timeframe) - 1
    return {
        "symbol": symbol,
        "timeframe": timeframe,
        "event_time": end,
        "open_time": begin,
        "taker_buy_volume": nan,
        "taker_buy_quote_volume": nan,
        "first_id": -1,
        "last_id": -1,
        "is_closed": True,
    }
