"""The replay exchange as a witness: what it tells anybody over REST, against what the stores hold."""

from pathlib import Path
from typing import Any, NamedTuple, Protocol

import httpx
from pymongo import MongoClient

from flows.model import Candle, Kline
from flows.operators.candles.compare import differing_fields
from flows.process.proxy import trusted_by
from sinks.mongo.reader import read_candles
from sinks.trades.reader import TradeReader

PAGE = 1_000
PATIENCE_S = 240
"""Longest wait for an answer: a bound for broken runs, not a measure."""


class Book(NamedTuple):
    """Levels of price and quantity, the best first."""

    update_id: int
    bids: list[list[float]]
    asks: list[list[float]]


class Exchange(Protocol):
    """What a witness says of an exchange."""

    def server_time(self) -> int:
        """The exchange's time, ms UTC."""

    def aggregates(self, symbol: str, first_id: int) -> list[tuple[Any, ...]]:
        """`(id, time, price, quantity, buyer is maker)` of all from an id on, as the stream brings them."""

    def klines(self, symbol: str, timeframe: str, start_ms: int) -> list[Kline]:
        """Closed klines from a time on, without ids."""

    def book(self, symbol: str, levels: int = 20) -> Book:
        """The best levels of its book now."""

    def state(self) -> dict[str, Any]:
        """What the control endpoint tells."""


class ClosingExchange(Exchange, Protocol):
    """A witness that has connections."""

    def close(self) -> None:
        """Ends its connections."""


class Witness:
    """A client of the exchange's REST interface that has nothing in common with ours."""

    def __init__(self, rest_url: str) -> None:
        self._http = httpx.Client(base_url=rest_url, timeout=PATIENCE_S, verify=trusted_by(rest_url))

    def close(self) -> None:
        """Ends its connections."""
        self._http.close()

    def _get(self, path: str, **parameters: Any) -> Any:
        response = self._http.get(path, params=parameters)
        response.raise_for_status()
        return response.json()

    def server_time(self) -> int:
        """The exchange's time, ms UTC."""
        now: int = self._get("/api/v3/time")["serverTime"]
        return now

    def newest_id(self, symbol: str) -> int:
        """Id of the newest aggregate."""
        [row] = self._get("/api/v3/aggTrades", symbol=symbol, limit=1)
        newest: int = row["a"]
        return newest

    def newer_than(self, symbol: str, last_fill: int) -> list[dict[str, Any]]:
        """The newest aggregates, as told, whose fills are all newer than one."""
        rows = self._get("/api/v3/aggTrades", symbol=symbol, limit=PAGE)
        return [row for row in rows if row["f"] > last_fill]

    def is_between_orders(self, symbol: str) -> bool:
        """Whether every fill that was traded is in an aggregate that was told: klines count single fills."""
        [fill] = self._get("/api/v3/trades", symbol=symbol, limit=1)
        [aggregate] = self._get("/api/v3/aggTrades", symbol=symbol, limit=1)
        return bool(fill["id"] == aggregate["l"])

    def first_id(self, symbol: str, since_ms: int) -> int:
        """Id of the first aggregate from a time on: what a synthetic market had before it began is endless."""
        [row] = self._get("/api/v3/aggTrades", symbol=symbol, startTime=since_ms, limit=1)
        first: int = row["a"]
        return first

    def aggregates(self, symbol: str, first_id: int) -> list[tuple[Any, ...]]:
        """`(id, time, price, quantity, buyer is maker)` of all from an id on."""
        rows: list[tuple[Any, ...]] = []
        while True:
            page = self._get("/api/v3/aggTrades", symbol=symbol, fromId=first_id, limit=PAGE)
            rows += [(row["a"], row["T"], float(row["p"]), float(row["q"]), row["m"]) for row in page]
            if len(page) < PAGE:
                return rows
            first_id = page[-1]["a"] + 1

    def klines(self, symbol: str, timeframe: str, start_ms: int) -> list[Kline]:
        """Closed klines from a time on, without ids."""
        rows = self._get("/api/v3/klines", symbol=symbol, interval=timeframe, startTime=start_ms, limit=PAGE)
        return [_kline(symbol, timeframe, row) for row in rows[:-1]]

    def running_kline(self, symbol: str, timeframe: str) -> Kline:
        """The running one."""
        [row] = self._get("/api/v3/klines", symbol=symbol, interval=timeframe, limit=1)
        return _kline(symbol, timeframe, row)

    def book(self, symbol: str, levels: int = 20) -> Book:
        """The best levels of its book now."""
        row = self._get("/api/v3/depth", symbol=symbol, limit=levels)
        bids, asks = ([[float(price), float(size)] for price, size in row[side]] for side in ("bids", "asks"))
        return Book(row["lastUpdateId"], bids, asks)

    def state(self) -> dict[str, Any]:
        """What the control endpoint tells."""
        state: dict[str, Any] = self._get("/control/state")
        return state


def _kline(symbol: str, timeframe: str, row: list[Any]) -> Kline:
    return Kline(
        symbol=symbol, timeframe=timeframe, event_time=row[6], open_time=row[0], open=float(row[1]),
        high=float(row[2]), low=float(row[3]), close=float(row[4]), volume=float(row[5]),
        quote_volume=float(row[7]), trades=row[8], taker_buy_volume=float(row[9]),
        taker_buy_quote_volume=float(row[10]), first_id=-1, last_id=-1, is_closed=True,
    )  # fmt: skip


def stored_trades(store: Path, symbol: str) -> list[tuple[Any, ...]]:
    """The same of what is stored."""
    with TradeReader(store) as reader:
        frame = reader.trades(symbol, 0, 2 << 42)
    return frame.select("id", "time", "price", "quantity", "buyer_is_maker").rows()


def last_stored(store: Path, symbol: str) -> int | None:
    """Id of the newest stored trade."""
    if not any(store.glob("part-*")):
        return None
    with TradeReader(store) as reader:
        return reader.last_id(symbol)


def stored_candles(
    mongod_uri: str, database: str, symbol: str, timeframe: str, *, venue: str = "binance"
) -> list[Candle]:
    """What is stored of a timeframe, oldest first."""
    with MongoClient[dict[str, Any]](mongod_uri) as client:
        return read_candles(client[database], venue, symbol, timeframe, 0, 2 << 42)


def disagreements(candles: list[Candle], klines: list[Kline]) -> list[tuple[int, list[str]]]:
    """Open times and fields in which closed candles do not say what the exchange does; what is missing, too."""
    ours = {candle.open_time: candle for candle in candles if candle.is_closed}
    out: list[tuple[int, list[str]]] = []
    for kline in klines:
        candle = ours.get(kline.open_time)
        fields = ["missing"] if candle is None else differing_fields(candle, kline)
        if fields:
            out.append((kline.open_time, fields))
    return out
